"""Where a broadcast goes, as an address that is safe to show: the stream key never is.

Pure functions, for the settings, the sinks and the page; opens nothing.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from turbostream.stream.recording import RecordingError

FORMS = "rtmp://HOST/APP/KEY, rtmps://HOST/APP/KEY, srt://HOST:PORT or a folder for HLS"
MOST_CHARACTERS = 2000
_HOST = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")


class PushAddressError(RecordingError):
    """An address that cannot be broadcast to; the sentence does not quote it."""


@dataclass(frozen=True)
class PushAddress:
    """kind: rtmp, rtmps, srt or hls. url: what FFmpeg opens, or the folder; contains the key.
    shown: the same without key, user name, password and query. host: '' for a folder."""

    kind: str
    url: str = field(repr=False)
    shown: str
    host: str = ""


def parse(text: str) -> PushAddress:
    """Raises PushAddressError."""
    text = text.strip()
    scheme, colon, rest = text.partition(":")
    if text.startswith(("/", "~")) or (scheme.lower() == "hls" and colon):
        return _folder(rest if scheme.lower() == "hls" and colon else text)
    if len(text) > MOST_CHARACTERS or not re.fullmatch(r"[\x21-\x7e]+", text):
        raise PushAddressError(
            f"An address has at most {MOST_CHARACTERS} ASCII characters, without blanks: {FORMS}."
        )
    try:
        parts = urlsplit(text)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        raise PushAddressError(f"The address cannot be read; send {FORMS}.") from None
    kind = parts.scheme
    place = parts.netloc.rpartition("@")[2]
    if kind not in ("rtmp", "rtmps", "srt") or not _HOST.fullmatch(place):
        raise PushAddressError(f"The address must be {FORMS}.")
    if kind == "srt":
        if not port:
            raise PushAddressError("An SRT address needs a port, as in srt://HOST:PORT.")
        return PushAddress(kind, text, f"srt://{place}", host)
    segments = [one for one in parts.path.split("/") if one]
    if not segments:
        raise PushAddressError(
            f"The address needs an application and a key: {kind}://HOST/APP/KEY."
        )
    # Only the first can be shown: with a trailing slash or a long path, the key is in any other.
    app = f"/{segments[0]}" if len(segments) > 1 else ""
    return PushAddress(kind, text, f"{kind}://{place}{app}/***", host)


def _folder(text: str) -> PushAddress:
    """A folder for HLS, without control characters and `%`, which FFmpeg expands."""
    if not text.isprintable() or "%" in text or len(text) > MOST_CHARACTERS:
        raise PushAddressError(
            "An HLS folder must not have a control character or '%' in its path."
        )
    try:
        folder = Path(text).expanduser()
    except RuntimeError:
        raise PushAddressError("The home folder that the ~ stands for is unknown.") from None
    if not folder.is_absolute():
        raise PushAddressError("Give the HLS folder as an absolute path, such as hls:/srv/live.")
    path = os.path.normpath(folder)
    return PushAddress("hls", path, f"hls:{path}")

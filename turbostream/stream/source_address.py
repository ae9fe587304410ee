"""The setting SOURCE: where the program itself takes input pictures from, safe to show.

Pure functions, for the settings and the sources; looks at the disk, and opens nothing.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

SCHEMES = ("http", "https", "rtsp", "rtsps")
FORMS = "a picture, a folder of pictures, a video, or an address (http, https, rtsp or rtsps)"
MOST_CHARACTERS = 2000
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class SourceAddressError(ValueError):
    """One sentence about a source that cannot be used; it does not quote an address."""


@dataclass(frozen=True)
class SourceAddress:
    """kind: none, file, folder or url. place: the path, or the address with its user name and
    password. shown: the same without user name, password and query."""

    kind: str
    place: str = field(repr=False, default="")
    shown: str = ""


def parse(text: str) -> SourceAddress:
    """Raises SourceAddressError, also for a file that does not exist."""
    text = text.strip()
    if text.lower() == "none":
        return SourceAddress("none", shown="none")
    if _URL.match(text):
        return _url(text)
    return _path(text)


def shown(text: str) -> str:
    """What was parsed before, without user name, password and query; does not look at the disk."""
    return _url(text).shown if _URL.match(text) else text


def _url(text: str) -> SourceAddress:
    if len(text) > MOST_CHARACTERS or not re.fullmatch(r"[\x21-\x7e]+", text):
        raise SourceAddressError(
            f"An address has at most {MOST_CHARACTERS} ASCII characters, without blanks."
        )
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise SourceAddressError("The address cannot be read.") from None
    if parts.scheme not in SCHEMES or not host:
        raise SourceAddressError(f"The source must be {FORMS}.")
    place = parts.netloc.rpartition("@")[2]
    query = "?***" if parts.query else ""
    shown = f"{parts.scheme}://{place}{parts.path}{query}"
    return SourceAddress("url", text.partition("#")[0], shown)


def _path(text: str) -> SourceAddress:
    if not text.isprintable():
        raise SourceAddressError("A path has no control characters.")
    try:
        path = Path(text).expanduser().absolute()
        is_folder, is_file = path.is_dir(), path.is_file()
        is_there = is_folder or is_file or path.exists()
    except RuntimeError:
        raise SourceAddressError("The home folder that the ~ stands for is unknown.") from None
    except OSError as error:
        raise SourceAddressError(f"{error.strerror}.") from None
    if not is_there:
        # A mistyped address may contain a password.
        name = "of that name" if "@" in text else str(path)
        raise SourceAddressError(f"There is no file or folder {name}.")
    if not (is_folder or is_file):
        raise SourceAddressError(f"The source must be {FORMS}.")
    if not os.access(path, os.R_OK):
        raise SourceAddressError("This user may not read it.")
    return SourceAddress("folder" if is_folder else "file", str(path), str(path))

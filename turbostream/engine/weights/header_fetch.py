"""The headers of safetensors, from files or by requests to the hub for their first bytes.

No torch; any thread. huggingface_hub's own `parse_safetensors_file_metadata` is
not used: it reads a whole file into memory where a mirror ignores the range.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from turbostream.engine.weights import model_files
from turbostream.engine.weights.families import ROWS
from turbostream.engine.weights.headers import header_of, parsed
from turbostream.engine.weights.hub_errors import first_line

log = logging.getLogger(__name__)

FIRST = 65_536  # bytes of the first request for a file
MOST = 800_000  # bytes of all requests for one model or one LoRA
TIMEOUT_S = 10.0
EMPTY = 416  # how a range of a file without bytes is answered


def local_headers(path: Path) -> list[dict[str, Any]]:
    """Those of a complete folder or of a single file that were checked before."""
    if path.is_file():
        return [header_of(path)]
    row = ROWS[model_files.read_object(path / model_files.INDEX)["_class_name"]]
    files = model_files.weight_files(model_files.files_of(path), row)
    return [header_of(path / file) for file in files]


def remote_headers(repository: str, commit: str, files: Iterable[str]) -> list[dict[str, Any]]:
    """Those of the safetensors among `files`; empty, with a warning in the log, if the hub does not
    give them within `MOST` bytes: the memory is then checked by loading the model."""
    from httpx2 import HTTPError

    reader = _Reader(repository, commit)
    try:
        return [reader.header(file) for file in files if file.endswith(".safetensors")]
    except (OSError, HTTPError, ValueError) as error:
        log.warning(
            "[init] the memory that %s needs is not known before the download (%s).",
            repository,
            first_line(error),
        )
        return []


class Head(NamedTuple):
    """The beginning of a file on the hub, and the size of the whole file in bytes; None where the
    server does not tell."""

    content: bytes
    size: int | None


def remote_head(repository: str, revision: str, file: str) -> Head:
    """The beginning of one file: where it is safetensors, as much of its header as `MOST` bytes
    hold. Raises the errors of huggingface_hub's client."""
    return _Reader(repository, revision).head(file)


class _Reader:
    """Reads the beginnings of files with huggingface_hub's client, so with its proxies, mirror and
    token."""

    def __init__(self, repository: str, revision: str) -> None:
        self._repository = repository
        self._revision = revision
        self._left = MOST

    def header(self, file: str) -> dict[str, Any]:
        head = self.head(file).content
        end = 8 + int.from_bytes(head[:8], "little")
        if not 8 <= len(head) >= end:
            raise ValueError(f"the header of {file} is missing or too long")
        return parsed(head[8:end])

    def head(self, file: str) -> Head:
        head, size = self._read(file, 0, FIRST)
        rest = 8 + int.from_bytes(head[:8], "little") - len(head)
        if len(head) >= FIRST and 0 < rest <= self._left:
            head += self._read(file, len(head), rest).content
        return Head(head, size)

    def _read(self, file: str, begin: int, wanted: int) -> Head:
        """At most `wanted` bytes, whether or not the server honors the range."""
        from huggingface_hub import HfApi, hf_hub_url
        from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

        wanted = min(wanted, self._left)
        url = hf_hub_url(self._repository, file, revision=self._revision, endpoint=HfApi().endpoint)
        headers = build_hf_headers() | {
            "Range": f"bytes={begin}-{begin + wanted - 1}",
            "Accept-Encoding": "identity",
        }
        options = {"headers": headers, "timeout": TIMEOUT_S, "follow_redirects": True}
        with get_session().stream("GET", url, **options) as response:
            if response.status_code == EMPTY and begin == 0:
                return Head(b"", 0)
            hf_raise_for_status(response)
            if "text/html" in response.headers.get("Content-Type", ""):
                raise OSError("it answers with a web page")  # of a network that wants a login
            is_part = response.status_code == 206
            skip = 0 if is_part else begin
            size = response.headers.get("Content-Length", "")
            if is_part:
                size = response.headers.get("Content-Range", "").rpartition("/")[2]
            read = b""
            for piece in response.iter_raw(16_384):
                read += piece
                self._left -= len(piece)
                if len(read) >= skip + wanted or self._left <= 0:
                    break
        return Head(read[skip : skip + wanted], int(size) if size.isdigit() else None)

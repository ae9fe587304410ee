"""Pictures over HTTP without FFmpeg: one picture, or those of a multipart stream (MJPEG).

Runs in the process of `video_process.py`. Redirects are followed here, since each of them has to be
checked.
"""

from __future__ import annotations

import base64
import http.client
import re
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from turbostream.sources.picture import MOST_BYTES

MOST_HEAD_LINES, MOST_LINE = 64, 4096
SCHEMES = ("http", "https")


class WrongAddress(OSError):
    """A redirect to what is neither http nor https."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    def __init__(self, check: Callable[[str], None]) -> None:
        self._check = check

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        scheme = urlsplit(headers.get("Location") or "").scheme  # empty: within this server
        if scheme and scheme.lower() not in SCHEMES:  # urllib would report the status instead
            raise WrongAddress
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        if urlsplit(newurl).scheme not in SCHEMES:
            raise WrongAddress
        self._check(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def open_url(url: str, check: Callable[[str], None], timeout_s: float) -> http.client.HTTPResponse:
    """The answer, after redirects. check: called with every address before it is asked; what it
    raises is passed on. Raises OSError."""
    parts = urlsplit(url)
    check(url)
    place = parts.netloc.rpartition("@")[2]
    request = urllib.request.Request(urlunsplit(parts._replace(netloc=place)))
    request.add_header("User-Agent", "turbostream")
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        value = "Basic " + base64.b64encode(pair).decode()
        request.add_unredirected_header("Authorization", value)
    opener = urllib.request.build_opener(_Redirects(check))
    answer: http.client.HTTPResponse = opener.open(request, timeout=timeout_s)
    return answer


def final_url(url: str, answer: http.client.HTTPResponse) -> str:
    """Where `answer` came from, with the user name and password of `url` if that is its host."""
    parts, last = urlsplit(url), urlsplit(answer.url)
    if last.netloc == parts.netloc.rpartition("@")[2]:
        last = last._replace(netloc=parts.netloc)
    return urlunsplit(last)


def boundary(answer: http.client.HTTPResponse) -> bytes | None:
    """Of a multipart stream; None for anything else."""
    if answer.headers.get_content_maintype() != "multipart":
        return None
    found = str(answer.headers.get_param("boundary", ""))
    return b"--" + found.removeprefix("--").encode()


def parts(answer: http.client.HTTPResponse, border: bytes) -> Iterator[bytes]:
    """The pictures' files of a multipart stream until it ends. Raises OSError."""
    line = answer.readline(MOST_LINE)
    while line:
        if not line.startswith(border):
            line = answer.readline(MOST_LINE)
            continue
        size: int | None = None
        for _ in range(MOST_HEAD_LINES):
            head = answer.readline(MOST_LINE)
            if not head.strip():
                break
            if found := re.fullmatch(rb"content-length:\s*([0-9]{1,9})", head.strip().lower()):
                size = int(found[1])
        if size is not None:
            data = answer.read(min(size, MOST_BYTES + 1))
            line = answer.readline(MOST_LINE)
        else:
            data, line = _until(answer, border)
        if data:
            yield data


def _until(answer: http.client.HTTPResponse, border: bytes) -> tuple[bytes, bytes]:
    """(a picture's file that does not tell its length, the line that ends it)."""
    lines: list[bytes] = []
    size = 0
    while line := answer.readline(MOST_BYTES):
        if line.startswith(border):
            break
        size += len(line)
        if size <= MOST_BYTES + 1:
            lines.append(line)
    return b"".join(lines).removesuffix(b"\n").removesuffix(b"\r"), line

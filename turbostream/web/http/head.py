"""The head of a request: h11 parses it, and what h11 tolerates is refused separately.

Sans-I/O. Requests are smuggled past a proxy where two programs read one request differently, so
there is one reading or none: every defect is a `Refused`, after which the connection closes. h11
0.16 accepts bare LF, folded lines, control characters in values, HTTP/9.9, repeated and listed
lengths, and a length beside a transfer coding; `_TOLERATED` and `parse` do not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import h11

from turbostream.web.http.limits import Refused, malformed

LONGEST_LINE = 8192  # of the request line
MOST_LINES = 100
END = b"\r\n\r\n"
VERSIONS = (b"1.0", b"1.1")

_BARE = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)")
_TOLERATED = re.compile(rb"\r\n[ \t]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LENGTH = re.compile(rb"(?i)\r\ncontent-length:[ \t]*([^\r]*?)[ \t]*(?=\r)")
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")
_ABSOLUTE = re.compile(rb"(?i)https?://([^/?#]*)([^#]*)")


@dataclass(frozen=True)
class Head:
    """A request's head, free of defects. Names of headers are in lower case."""

    method: str
    target: str  # the path and the query, "*", or an authority after CONNECT
    version: str  # "1.0" or "1.1"
    headers: list[tuple[str, str]]  # values as latin-1, in the order of arrival
    length: int  # of the body in bytes; 0 with `chunked`
    chunked: bool
    keep_alive: bool  # the client can read another response on this connection
    expects_continue: bool


def find_end(data: bytearray, searched: int, most: int) -> int:
    """Where the head in `data` ends, or -1 if more is needed; the first `searched` bytes were
    searched before. Refuses what no further byte can repair."""
    found = _BARE.search(data, max(0, searched - 1))
    end = data.find(END, max(0, searched - 3))
    if found is not None and (end < 0 or found.start() < end):
        raise malformed("a line ends with CR LF, never with one of them")
    if len(data) > LONGEST_LINE and data.find(b"\r\n", 0, LONGEST_LINE + 2) < 0:
        raise Refused(414, f"An address has at most {LONGEST_LINE:,} characters.")
    if (end if end >= 0 else len(data)) > most:
        raise too_large(most)
    return -1 if end < 0 else end + len(END)


def too_large(most: int) -> Refused:
    return Refused(431, f"The head of a request has at most {most:,} bytes and 100 lines.")


def parse(raw: bytes, most: int) -> Head:
    """The head whose bytes, up to and with the blank line, are `raw`. Raises Refused."""
    line, _, rest = raw.partition(b"\r\n")
    _check_request_line(line)
    if rest.count(b"\r\n") > MOST_LINES + 1:
        raise too_large(most)
    if _TOLERATED.search(raw):
        raise malformed("a header is continued on a second line, or holds a control character")
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=len(raw))
    parser.receive_data(raw)
    try:
        event = parser.next_event()
    except h11.RemoteProtocolError as error:
        raise malformed(str(error).partition(": bytearray")[0]) from None
    if not isinstance(event, h11.Request):
        raise malformed("no request line")
    if event.http_version not in VERSIONS:
        raise malformed("only HTTP/1.0 and HTTP/1.1 are supported")
    headers = [(name.decode("ascii"), value.decode("latin-1")) for name, value in event.headers]
    named = dict(headers)
    length, chunked = _framing(raw, "transfer-encoding" in named, event.http_version)
    host = named.get("host", "").encode("latin-1")
    if not _HOST.fullmatch(host):
        raise malformed("the Host header names no host")
    options = {
        option.strip().lower()
        for name, value in headers
        if name == "connection"
        for option in value.split(",")
    }
    modern = event.http_version == b"1.1"
    return Head(
        event.method.decode("ascii"),
        _target(event.method, event.target, host).decode("ascii"),
        event.http_version.decode("ascii"),
        headers,
        length,
        chunked,
        "close" not in options and (modern or "keep-alive" in options),
        parser.they_are_waiting_for_100_continue,
    )


def _check_request_line(line: bytes) -> None:
    if len(line) > LONGEST_LINE:
        raise Refused(414, f"An address has at most {LONGEST_LINE:,} characters.")
    if any(byte > 127 for byte in line):
        raise Refused(400, "The address holds characters that are not escaped; escape them.")
    if re.fullmatch(rb"[^ ]+ [^ ]+", line):  # HTTP/0.9 has no version
        raise malformed("only HTTP/1.0 and HTTP/1.1 are supported")


def _framing(raw: bytes, coded: bool, version: bytes) -> tuple[int, bool]:
    """(length of the body, whether it comes in chunks); h11 has checked the coding."""
    lengths = _LENGTH.findall(raw)
    if len(lengths) > 1 or not all(re.fullmatch(rb"[0-9]{1,18}", one) for one in lengths):
        raise malformed("Content-Length must be one number")
    if coded and (lengths or version == b"1.0"):
        raise malformed("Transfer-Encoding is for HTTP/1.1, without a Content-Length")
    return int(lengths[0]) if lengths else 0, coded


def _target(method: bytes, target: bytes, host: bytes) -> bytes:
    if b"#" in target:
        raise malformed("an address in a request has no fragment")
    if target.startswith(b"/") or method == b"CONNECT" or (target, method) == (b"*", b"OPTIONS"):
        return target
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or absolute[1].lower() != host.lower():
        raise malformed("the address must begin with a slash")
    return absolute[2] if absolute[2].startswith(b"/") else b"/" + absolute[2]

"""What one client, and all of them together, may use, and the answer when it is too much.

Pure data, no I/O; every other module of this room reads it.
"""

from __future__ import annotations

import json
import logging
import resource
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

from turbostream.settings import Settings

log = logging.getLogger(__name__)

RESERVED_FILES = 64  # descriptors for the log, the model, the GPU's driver and the like


@dataclass(frozen=True)
class Limits:
    """The settings that bound a connection; see the README's table."""

    max_connections: int
    max_connections_per_address: int
    max_header_bytes: int
    request_timeout_s: float
    idle_timeout_s: float
    dead_viewer_s: float

    @classmethod
    def of(cls, settings: Settings, max_connections: int) -> Limits:
        return cls(
            max_connections,
            settings.max_connections_per_address,
            settings.max_header_bytes,
            settings.request_timeout_s,
            settings.idle_timeout_s,
            settings.dead_viewer_s,
        )

    @property
    def reserved(self) -> int:
        """Slots for local clients only: the tunnel, or a proxy."""
        return min(64, max(1, self.max_connections // 8))


class Refused(Exception):
    """A request that is not served: its status and the one sentence of the answer."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code, self.sentence = code, sentence

    def response(self) -> bytes:
        return refusal(self.code, self.sentence)


def malformed(what: str) -> Refused:
    return Refused(400, f"This is not an HTTP request that this server accepts: {what}.")


def refusal(code: int, sentence: str) -> bytes:
    """A complete response, for requests that do not reach Flask."""
    body = json.dumps({"status": "error", "error": sentence}).encode() + b"\n"
    retry = "Retry-After: 2\r\n" if code == 503 else ""
    head = (
        f"HTTP/1.1 {code} {HTTPStatus(code).phrase}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n{retry}Connection: close\r\n\r\n"
    )
    return head.encode() + body


def connections_possible(wanted: int) -> int:
    """How many of `wanted` connections the system's limit on open files allows; raises the limit
    as far as this process may."""
    need = wanted + RESERVED_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= need:
        return wanted
    most = need if hard == resource.RLIM_INFINITY else min(need, hard)
    with suppress(OSError, ValueError):  # macOS has a lower limit of its own
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    if soft >= need:
        return wanted
    possible = max(8, soft - RESERVED_FILES)
    log.warning(
        "[flask] only %d files may be open at once (ulimit -n), so %d connections are served "
        "instead of MAX_CONNECTIONS=%d.",
        soft,
        possible,
        wanted,
    )
    return possible

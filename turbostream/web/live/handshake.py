"""The handshake of a WebSocket (RFC 6455, section 4.2): what is accepted, and what is refused.

Pure. The rules are those of `websockets`; the sentences are ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

from websockets.datastructures import Headers
from websockets.exceptions import InvalidHeader, InvalidMethod, InvalidProtocol, InvalidUpgrade
from websockets.http11 import Request
from websockets.server import ServerProtocol

UPGRADE = "turbostream.upgrade"  # the key in WSGI's environ, as web/http/environ.py sets it
VERSION = "13"
INVITATION = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": VERSION,
}  # what a 426 has to name (RFC 9110, 15.5.22; RFC 6455, 4.4)


class HandshakeRefused(Exception):
    """One sentence; the status and the headers of the answer."""

    def __init__(self, code: int, sentence: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.code, self.sentence, self.headers = code, sentence, headers or {}


def accept(
    method: str, version: str, headers: Iterable[tuple[str, str]], has_body: bool
) -> dict[str, str]:
    """The headers of the 101 that answers a request; raises HandshakeRefused.

    version: such as "HTTP/1.1". No extension is accepted: each compressed connection would keep
    its own window in memory. Nor is a subprotocol.
    """
    if has_body:
        raise HandshakeRefused(
            HTTPStatus.BAD_REQUEST, "The handshake of a WebSocket has no body; send none."
        )
    protocol = ServerProtocol()
    answer = protocol.accept(Request("/", Headers(headers), method, version))
    fault = protocol.handshake_exc
    if fault is None:
        names = ("Upgrade", "Connection", "Sec-WebSocket-Accept")
        return {name: answer.headers[name] for name in names}
    if isinstance(fault, InvalidMethod):
        raise HandshakeRefused(
            HTTPStatus.METHOD_NOT_ALLOWED, "A WebSocket is opened with GET.", {"Allow": "GET"}
        )
    if isinstance(fault, InvalidProtocol):
        raise HandshakeRefused(
            HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "A WebSocket is opened with HTTP/1.1."
        )
    if isinstance(fault, InvalidUpgrade):
        raise HandshakeRefused(
            HTTPStatus.UPGRADE_REQUIRED,
            "This address is a WebSocket; connect with a WebSocket client, or send changes to "
            "PATCH /parameters.",
            INVITATION,
        )
    if isinstance(fault, InvalidHeader) and fault.name == "Sec-WebSocket-Version":
        raise HandshakeRefused(
            HTTPStatus.UPGRADE_REQUIRED,
            f"Only version {VERSION} of the WebSocket protocol is supported; send "
            f"Sec-WebSocket-Version: {VERSION}.",
            INVITATION,
        )
    if isinstance(fault, InvalidHeader) and fault.name == "Sec-WebSocket-Key":
        raise HandshakeRefused(
            HTTPStatus.BAD_REQUEST, "Sec-WebSocket-Key must be 16 random bytes in Base64."
        )
    raise HandshakeRefused(
        HTTPStatus(answer.status_code), "The header of the WebSocket handshake is malformed."
    )

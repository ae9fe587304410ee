"""Who asks: the owner, a watcher or a stranger, by a request's peer, token, password or cookie.

A loopback peer with a loopback `Host` and no forwarding header is the owner: that is the tunnel,
or somebody at this machine. Everybody else needs a token, the owner's or the view-only one, as a
bearer header or as the cookie that /login makes of it; the view-only token also as a password, for
players that support nothing else.

Knows no Flask and no rates.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from werkzeug.datastructures import Headers

from turbostream.web.auth.origin import is_local, is_own, may_change
from turbostream.web.auth.tokens import Tokens

OWNER, WATCHER = "owner", "watcher"


@dataclass(frozen=True)
class Visitor:
    """Who asks. `key` names the token or cookie, for rates; the owner on this machine has none."""

    role: str
    key: str | None = None

    @property
    def may_write(self) -> bool:
        return self.role == OWNER


class WrongToken(Exception):
    """The request carries a token or cookie that is not, or no longer, valid."""


class OwnersPassword(Exception):
    """The owner's token came as a password, which browsers keep and send unasked."""


def cookie_name(host: str) -> str:
    """Cookies are not bound to a port, so the port is in the name: this keeps two servers on one
    host apart."""
    port = re.search(r":([0-9]{1,5})$", host)
    return f"turbostream_{port[1]}" if port else "turbostream"


class Authenticator:
    """The rules over one pair of tokens."""

    def __init__(
        self, tokens: Tokens, loopback_owner: bool, allowed: frozenset[str] = frozenset()
    ) -> None:
        """allowed: other origins that may send requests."""
        self.allowed = allowed
        self._secrets = {OWNER: tokens.owner.encode(), WATCHER: tokens.watch.encode()}
        self._loopback_owner = loopback_owner

    def visitor(
        self, method: str, peer: str, headers: Headers, cookies: Mapping[str, str]
    ) -> Visitor | None:
        """Who asks, or None for a stranger without a token; raises WrongToken, OwnersPassword."""
        if self._loopback_owner and is_local(peer, headers):
            return Visitor(OWNER)
        scheme, _, credentials = headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            role = self.role_of(credentials.strip())
            if role is None:
                raise WrongToken
            return Visitor(role, key=role)
        if scheme.lower() == "basic":
            role = self.role_of(_password(credentials))
            if role is None:
                raise WrongToken
            if role == OWNER:
                raise OwnersPassword
            return Visitor(role, key=role)
        cookie = cookies.get(cookie_name(headers.get("Host", "")))
        if cookie is None:
            return None
        visitor = self._visitor_of_cookie(cookie)
        if may_change(method, headers) and "Sec-Fetch-Site" not in headers:
            # A browser that marks nothing (plain http to an address) also sends the cookie for
            # a page on another port of the same host; only the origin tells them apart.
            origin = headers.get("Origin", "")
            if not is_own(origin, headers) and origin.lower() not in self.allowed:
                return None
        return visitor

    def role_of(self, token: str) -> str | None:
        """The role that a token gives; the time it takes says nothing about the token."""
        given = token.encode("utf-8", "surrogatepass")
        matches = [role for role in self._secrets if _same(given, self._secrets[role])]
        return matches[0] if matches else None

    def new_cookie(self, role: str) -> str:
        """A session for `role`. It holds no token, needs no memory, and ends with the token."""
        nonce = secrets.token_urlsafe(12)
        return f"{role}.{nonce}.{self._signature(role, nonce)}"

    def _visitor_of_cookie(self, cookie: str) -> Visitor:
        role, _, rest = cookie.partition(".")
        nonce, _, signature = rest.partition(".")
        if role in self._secrets and _same(
            signature.encode("utf-8", "surrogatepass"), self._signature(role, nonce).encode()
        ):
            return Visitor(role, key=f"{role}.{nonce}")
        raise WrongToken

    def _signature(self, role: str, nonce: str) -> str:
        message = f"{role}.{nonce}".encode("utf-8", "surrogatepass")
        return hmac.new(self._secrets[role], message, hashlib.sha256).hexdigest()


def _password(credentials: str) -> str:
    """The password of Basic credentials (RFC 7617); empty if they are malformed."""
    try:
        return base64.b64decode(credentials.strip(), validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def _same(given: bytes, right: bytes) -> bool:
    # Hashed first: compare_digest reveals the length of what it compares.
    return hmac.compare_digest(hashlib.sha256(given).digest(), hashlib.sha256(right).digest())

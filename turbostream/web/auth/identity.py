"""Who may ask: the rules alone, as functions of a request's peer, headers and cookie.

A loopback peer with a loopback `Host` and no forwarding header is the owner: that is the tunnel,
or the person at the keyboard. Everybody else needs a token, the owner's or the one that may only
watch, as a bearer header or as the cookie that /login makes of it; the second also as a password,
for players that know nothing else. What a browser marks about where a request comes from is
believed, so that no other site can drive the stream.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from werkzeug.datastructures import Headers

from turbostream.web.auth.tokens import Tokens

FORWARDING_HEADERS = (
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Real-Ip",
    "Via",
)
READING = ("GET", "HEAD", "OPTIONS")
OWNER, WATCHER = "owner", "watcher"


@dataclass(frozen=True)
class Visitor:
    """Who asks. `key` names the token or cookie, for rates; the owner on this machine has none."""

    role: str
    key: str | None = None
    by_cookie: bool = False

    @property
    def may_write(self) -> bool:
        return self.role == OWNER


class WrongToken(Exception):
    """A token or cookie was shown that is not (or no longer) one of ours."""


class OwnersPassword(Exception):
    """The owner's token came as a password, which browsers keep and send by themselves."""


def is_loopback(address: str) -> bool:
    """True for 127.0.0.0/8 and ::1, also written as an IPv4 address inside IPv6."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return bool((mapped or parsed).is_loopback)


def is_loopback_host(host: str) -> bool:
    """True if a `Host` header names this machine; a name that merely resolves here does not
    (DNS rebinding)."""
    name = host.strip().lower()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    return name == "localhost" or is_loopback(name)


def is_local(peer: str, headers: Headers) -> bool:
    """True for whoever sits at this machine or at the near end of the tunnel."""
    return (
        is_loopback(peer)
        and is_loopback_host(headers.get("Host", ""))
        and not any(name in headers for name in FORWARDING_HEADERS)
    )


def crosses_sites(method: str, path: str, headers: Headers, allowed: frozenset[str]) -> bool:
    """True if a browser says that another site (or another port of this one) is asking.

    Exceptions: a link to the page itself, opened at the top level, and the origins in `allowed`.
    """
    site = headers.get("Sec-Fetch-Site")
    origin = headers.get("Origin")
    if origin is not None and origin.lower() in allowed:
        return False
    if site is None:
        return method not in READING and origin is not None and not _own(origin, headers)
    if site in ("none", "same-origin"):
        return False
    return not (
        method == "GET"
        and path == "/"
        and headers.get("Sec-Fetch-Mode") == "navigate"
        and headers.get("Sec-Fetch-Dest") == "document"
    )


def _own(origin: str, headers: Headers) -> bool:
    return origin.partition("://")[2] == headers.get("Host", "")


def cookie_name(host: str) -> str:
    """Cookies know no ports, so the port is in the name: two servers of one host stay apart."""
    port = re.search(r":([0-9]{1,5})$", host)
    return f"turbostream_{port[1]}" if port else "turbostream"


class Access:
    """The rules over one pair of tokens."""

    def __init__(
        self, tokens: Tokens, loopback_owner: bool, allowed: frozenset[str] = frozenset()
    ) -> None:
        self.allowed = allowed
        self._secrets = {OWNER: tokens.owner.encode(), WATCHER: tokens.watch.encode()}
        self._loopback_owner = loopback_owner

    def visitor(
        self, method: str, peer: str, headers: Headers, cookies: Mapping[str, str]
    ) -> Visitor | None:
        """Who asks, or None for a stranger without a token; raises WrongToken, OwnersPassword."""
        if self._loopback_owner and is_local(peer, headers):
            return Visitor(OWNER)
        kind, _, token = headers.get("Authorization", "").partition(" ")
        if kind.lower() == "bearer":
            role = self.role_of(token.strip())
            if role is None:
                raise WrongToken
            return Visitor(role, key=role)
        if kind.lower() == "basic":
            role = self.role_of(_password(token))
            if role is None:
                raise WrongToken
            if role == OWNER:
                raise OwnersPassword
            return Visitor(role, key=role)
        cookie = cookies.get(cookie_name(headers.get("Host", "")))
        if cookie is None:
            return None
        visitor = self._of_cookie(cookie)
        if method not in READING and "Sec-Fetch-Site" not in headers:
            # A browser that marks nothing (plain http to an address) sends the cookie along for
            # a page on another port of the same host; only the origin tells them apart.
            origin = headers.get("Origin", "")
            if not _own(origin, headers) and origin.lower() not in self.allowed:
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

    def _of_cookie(self, cookie: str) -> Visitor:
        role, _, rest = cookie.partition(".")
        nonce, _, signature = rest.partition(".")
        if role in self._secrets and _same(
            signature.encode("utf-8", "surrogatepass"), self._signature(role, nonce).encode()
        ):
            return Visitor(role, key=f"{role}.{nonce}", by_cookie=True)
        raise WrongToken

    def _signature(self, role: str, nonce: str) -> str:
        message = f"{role}.{nonce}".encode("utf-8", "surrogatepass")
        return hmac.new(self._secrets[role], message, hashlib.sha256).hexdigest()


def _password(credentials: str) -> str:
    """The password of Basic credentials (RFC 7617); empty if they cannot be read."""
    try:
        return base64.b64decode(credentials.strip(), validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def _same(given: bytes, right: bytes) -> bool:
    # Hashed first: compare_digest gives away the length of what it compares.
    return hmac.compare_digest(hashlib.sha256(given).digest(), hashlib.sha256(right).digest())

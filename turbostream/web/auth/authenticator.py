"""Who asks: the owner, a watcher or a stranger, by a request's peer, token, password or cookies.

A loopback peer with a loopback `Host` and no forwarding header is the owner: that is the tunnel,
or somebody at this machine. Everybody else needs a token, for control or view-only, of the whole
server or of one channel: as a bearer header, or as the cookie that /login makes of it; a view-only
token also as a password, for players that support nothing else.

Knows no Flask and no rates.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from werkzeug.datastructures import Headers

from turbostream.stream.channel_names import MOST_CHANNELS, NAME
from turbostream.web.auth.origin import is_local, is_own, may_change
from turbostream.web.auth.tokens import Tokens

OWNER, WATCHER = "owner", "watcher"


@dataclass(frozen=True)
class Grant:
    """What a token gives: a role, on the whole server or on one `channel`."""

    role: str
    channel: str | None = None

    def __str__(self) -> str:
        return self.role if self.channel is None else f"{self.role}@{self.channel}"

    @classmethod
    def parse(cls, text: str) -> Grant | None:
        role, at, channel = text.partition("@")
        if role not in (OWNER, WATCHER) or (at and not NAME.fullmatch(channel)):
            return None
        return cls(role, channel if at else None)


@dataclass(frozen=True)
class Visitor:
    """Who asks. `key` names the token or cookie, for rates; the owner on this machine has none.
    `channel`: the only one that the visitor may use; None: all."""

    role: str
    key: str | None = None
    channel: str | None = None

    @property
    def may_write(self) -> bool:
        return self.role == OWNER

    @property
    def owns_server(self) -> bool:
        """Whether the visitor may also use what belongs to no channel."""
        return self.may_write and self.channel is None


class WrongToken(Exception):
    """The request carries a token that is not, or no longer, valid. `cookies`: names of those that
    hold it, if any do."""

    def __init__(self, cookies: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.cookies = cookies


class OwnersPassword(Exception):
    """A token for control came as a password, which browsers keep and send unasked."""


def cookie_name(host: str, channel: str | None = None) -> str:
    """Cookies are not bound to a port, so the port is in the name: this keeps two servers on one
    host apart. So is the channel of a token of one channel: a browser may have several of them."""
    port = re.search(r":([0-9]{1,5})$", host)
    whole = f"turbostream_{port[1]}" if port else "turbostream"
    return whole if channel is None else f"{whole}.{channel}"


def cookies_of(host: str, cookies: Mapping[str, str]) -> list[str]:
    """The names of those of `cookies` that are this server's."""
    whole = cookie_name(host)
    return [name for name in cookies if name == whole or name.startswith(f"{whole}.")]


class Authenticator:
    """The rules over one pair of tokens."""

    def __init__(
        self, tokens: Tokens, loopback_owner: bool, allowed: frozenset[str] = frozenset()
    ) -> None:
        """allowed: other origins that may send requests."""
        self.allowed = allowed
        self._tokens = tokens
        self._loopback_owner = loopback_owner

    def visitor(
        self, method: str, peer: str, headers: Headers, cookies: Mapping[str, str], channel: str
    ) -> Visitor | None:
        """Who asks, or None for a stranger without a token; raises WrongToken, OwnersPassword.

        channel: what the request is for, which decides between several cookies.
        """
        if self._loopback_owner and is_local(peer, headers):
            return Visitor(OWNER)
        scheme, _, credentials = headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            grant = self.grant_of(credentials.strip())
            if grant is None:
                raise WrongToken
            return _visitor(grant)
        if scheme.lower() == "basic":
            grant = self.grant_of(_password(credentials))
            if grant is None:
                raise WrongToken
            if grant.role == OWNER:
                raise OwnersPassword
            return _visitor(grant)
        visitor = self._visitor_of_cookies(headers.get("Host", ""), cookies, channel)
        if visitor is None:
            return None
        if may_change(method, headers) and "Sec-Fetch-Site" not in headers:
            # A browser that marks nothing (plain http to an address) also sends the cookie for
            # a page on another port of the same host; only the origin tells them apart.
            origin = headers.get("Origin", "")
            if not is_own(origin, headers) and origin.lower() not in self.allowed:
                return None
        return visitor

    def grant_of(self, token: str) -> Grant | None:
        """What a token gives; the time it takes says nothing about the secret in the token."""
        given = token.encode("utf-8", "surrogatepass")
        name, dot, _ = token.partition(".")
        channel = name if dot and NAME.fullmatch(name) else None
        grants = [Grant(OWNER, channel), Grant(WATCHER, channel)]
        matches = [grant for grant in grants if _same(given, self._secret(grant))]
        return matches[0] if matches else None

    def new_cookie(self, grant: Grant) -> str:
        """A session for `grant`. It holds no token, needs no memory, and ends with the token."""
        nonce = secrets.token_urlsafe(12)
        return f"{grant}.{nonce}.{self._signature(grant, nonce)}"

    def _visitor_of_cookies(
        self, host: str, cookies: Mapping[str, str], channel: str
    ) -> Visitor | None:
        """The visitor with the most rights on `channel`, else one of another channel; None without
        a cookie. Raises WrongToken if none is valid."""
        names = cookies_of(host, cookies)
        own = {cookie_name(host), cookie_name(host, channel)}
        if found := self._valid(cookies[name] for name in own.intersection(names)):
            return max(found, key=lambda one: (one.may_write, one.channel is None))
        others = sorted(set(names) - own)[:MOST_CHANNELS]  # each of them takes time to check
        if found := self._valid(cookies[name] for name in others):
            return found[0]
        if names:
            raise WrongToken(tuple(names))
        return None

    def _valid(self, cookies: Iterable[str]) -> list[Visitor]:
        visitors = map(self._visitor_of_cookie, cookies)
        return [visitor for visitor in visitors if visitor is not None]

    def _visitor_of_cookie(self, cookie: str) -> Visitor | None:
        text, _, rest = cookie.partition(".")
        nonce, _, signature = rest.partition(".")
        grant = Grant.parse(text)
        if grant is not None and _same(
            signature.encode("utf-8", "surrogatepass"), self._signature(grant, nonce).encode()
        ):
            return _visitor(grant, nonce)
        return None

    def _secret(self, grant: Grant) -> bytes:
        whole = grant.channel is None
        tokens = self._tokens if whole else self._tokens.of_channel(str(grant.channel))
        return (tokens.owner if grant.role == OWNER else tokens.watch).encode()

    def _signature(self, grant: Grant, nonce: str) -> str:
        message = f"{grant}.{nonce}".encode("utf-8", "surrogatepass")
        return hmac.new(self._secret(grant), message, hashlib.sha256).hexdigest()


def _visitor(grant: Grant, nonce: str | None = None) -> Visitor:
    key = str(grant) if nonce is None else f"{grant}.{nonce}"
    return Visitor(grant.role, key, grant.channel)


def _password(credentials: str) -> str:
    """The password of Basic credentials (RFC 7617); empty if they are malformed."""
    try:
        return base64.b64decode(credentials.strip(), validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def _same(given: bytes, right: bytes) -> bool:
    # Hashed first: compare_digest reveals the length of what it compares.
    return hmac.compare_digest(hashlib.sha256(given).digest(), hashlib.sha256(right).digest())

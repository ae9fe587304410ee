"""Admits or refuses every request to the Flask application, and checks logins.

A wrong token is answered late, and an address that keeps guessing has to wait. This machine's own
address never has to wait: all clients behind a tunnel or a proxy share it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

import gevent
from flask import Flask, Request, Response, g, redirect, request
from flask_cors import CORS
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import BadRequest, Forbidden, TooManyRequests, Unauthorized
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wrappers import Response as BaseResponse

from turbostream.settings import Settings
from turbostream.web.auth import channel_limits, origin
from turbostream.web.auth.authenticator import (
    Authenticator,
    Grant,
    OwnersPassword,
    Visitor,
    WrongToken,
    cookie_name,
    cookies_of,
)
from turbostream.web.auth.embedding import Embedding
from turbostream.web.auth.rate_limits import FREE_FAILURES, FailedLogins, RateLimit
from turbostream.web.auth.security_headers import protect
from turbostream.web.auth.tokens import Tokens

log = logging.getLogger(__name__)

WRONG_TOKEN_S = 0.5  # how late a wrong token is answered
COOKIE_S = 365 * 24 * 3600
WATCHERS_POST = ("acknowledge", "login")  # endpoints
NO_TOKEN = (
    "This address needs a token: open the link that you were given, or localhost on the machine "
    "itself."
)
OTHER_SITE = (
    "Requests from other sites are refused; open the page itself, or name the site in CORS_ORIGINS "
    "for scripts or in EMBED_ORIGINS for frames and images."
)
WRONG = "This token is not, or no longer, valid; ask for a new link."
NO_OWNER_PASSWORD = "The owner's token is not accepted as a password; use the view-only token."
VIEW_ONLY = "This link is view-only; changing the picture needs the owner's link."
NOT_TO_WATCH = "This link is view-only; this address needs the owner's link."
PAGE = "index"  # endpoint
BEARER = WWWAuthenticate("bearer")
# Players and camera software support nothing else (http://any:TOKEN@host/stream), and most of them
# send their password only when they are asked for it.
BASIC = WWWAuthenticate("basic", {"realm": "turbostream: the view-only token, as password"})


class OtherLinkNeeded(Forbidden):
    """The visitor's token is of one channel, and this belongs to another or to none."""


class AccessControl:
    """Admits requests to `app`; views find who asks in `g.visitor`."""

    def __init__(self, app: Flask, settings: Settings, tokens: Tokens) -> None:
        allowed = _origins(settings.cors_origins)
        self._embedding = Embedding(_origins(settings.embed_origins))
        self._authenticator = Authenticator(tokens, settings.loopback_owner, allowed)
        self._recipes = settings.recipes
        self._changes = RateLimit(settings.prompt_rate)
        self._failed_logins = FailedLogins()
        self._default_channel = settings.channel_names[0]
        if settings.trust_forwarded:
            app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
                app.wsgi_app, x_for=1, x_proto=1, x_host=1
            )
        app.before_request(self._admit)
        app.after_request(self._allow_embedding)  # after `protect`: hooks run in reverse order
        app.after_request(protect)
        app.after_request(_delete_wrong_cookies)
        if allowed:
            CORS(
                app,
                origins=sorted(allowed),
                methods=["GET", "POST", "PATCH", "PUT", "DELETE"],
                supports_credentials=True,  # the origin is named, never "*"
                allow_headers=["Authorization", "Content-Type"],
                expose_headers=["X-Stream-Id", "X-Boundary", "X-Frame-Id", "Retry-After"],
                max_age=600,
            )

    def spend_change(self) -> None:
        """Count one change of the scene by the visitor; raises TooManyRequests."""
        if self.take_change(g.visitor):
            raise TooManyRequests(self.too_many_changes, retry_after=1)

    def take_change(self, visitor: Visitor) -> float:
        """Count one change of the scene by `visitor`; 0, or the seconds until one is accepted, and
        then none is counted. Also outside a request."""
        key, now = visitor.key, time.monotonic()
        if key is None or self._changes.take(key, now):
            return 0.0
        return self._changes.wait_s(key, now)

    @property
    def too_many_changes(self) -> str:
        return f"At most {self._changes.per_second:g} changes a second are accepted; wait a moment."

    def wants_recipe(self) -> bool:
        """Whether the visitor's pictures carry the recipe they were painted from."""
        return self._recipes == "all" or (self._recipes == "owner" and g.visitor.may_write)

    def may_read_shots(self) -> bool:
        """Whether the visitor may ask what a frame was painted from."""
        return self._recipes == "all" or bool(g.visitor.may_write)

    def check_parameters(self, names: Iterable[str]) -> None:
        """Raises OtherLinkNeeded for a parameter that the visitor's token does not open."""
        refusal = self.parameters_refused(g.visitor, names)
        if refusal is not None:
            raise OtherLinkNeeded(refusal)

    def parameters_refused(self, visitor: Visitor, names: Iterable[str]) -> str | None:
        """Why `visitor` may not set one of these parameters. Also outside a request."""
        own = visitor.channel
        return None if own is None else channel_limits.refused_parameters(own, names)

    def require_owner(self) -> None:
        """Raises Forbidden unless the visitor is an owner, for what only owners may read. Of what
        belongs to a channel, its own control token is an owner too."""
        if not g.visitor.may_write:
            raise Forbidden(NOT_TO_WATCH)

    def accept_body(self, request: Request, most_bytes: int) -> None:
        """Accept up to `most_bytes` in the body of this request, even if MAX_BODY_BYTES is less."""
        limit = request.max_content_length
        if limit is not None and limit < most_bytes:
            request.max_content_length = most_bytes

    def log_in(self, token: str) -> Grant:
        """What `token` gives; raises Unauthorized and TooManyRequests.

        Nothing switches between the look at the count and the note of a failure, so requests that
        complete together are all counted.
        """
        peer = request.remote_addr or ""
        self._refuse_guessing(peer)
        grant = self._authenticator.grant_of(token)
        if grant is None:
            self._count_failure(peer)
            raise Unauthorized(WRONG)
        return grant

    def set_cookie(self, response: BaseResponse, grant: Grant) -> None:
        response.set_cookie(
            cookie_name(_host(), grant.channel),
            self._authenticator.new_cookie(grant),
            max_age=COOKIE_S,
            path=None,  # the browser takes the folder of /login: a proxy's prefix is unknown here
            httponly=True,
            samesite="Lax",  # with Strict, a link on another site would ask for a token again
            secure=request.is_secure,
        )

    # -- hooks ---------------------------------------------------------------------------------

    def _admit(self) -> BaseResponse | None:
        allowed = self._authenticator.allowed
        if any(byte > 127 for byte in request.query_string):
            raise BadRequest("The address holds characters that are not escaped; escape them.")
        asked = request.method, request.path, request.headers
        if origin.is_cross_site(*asked, allowed) and not self._embedding.permits(*asked):
            raise Forbidden(OTHER_SITE)
        if request.endpoint == "login" and request.method == "POST":
            return None
        if request.method == "OPTIONS" and request.headers.get("Origin", "").lower() in allowed:
            return None  # a preflight, which carries no token
        visitor = self._visitor()
        if visitor is None:
            raise Unauthorized(NO_TOKEN, www_authenticate=_challenges())
        if not visitor.may_write and (
            request.method not in origin.READING and request.endpoint not in WATCHERS_POST
        ):
            raise Forbidden(VIEW_ONLY)
        g.visitor = visitor
        return None if visitor.channel is None else self._limit(visitor.channel)

    def _limit(self, own: str) -> BaseResponse | None:
        """Refuse what a token of the channel `own` does not open; / leads to the page of `own`."""
        named = request.args.getlist("channel")
        if request.endpoint == PAGE and not named and own != self._default_channel:
            asked = request.query_string.decode("ascii")
            return redirect(f"./?channel={own}{asked and '&'}{asked}", code=302)
        refusal = channel_limits.refusal(own, request.endpoint, named, self._default_channel)
        if refusal is not None:
            raise OtherLinkNeeded(refusal)
        return None

    def _allow_embedding(self, response: Response) -> Response:
        self._embedding.open_response(
            request.path, request.headers, response.status_code, response.headers
        )
        return response

    def _visitor(self) -> Visitor | None:
        peer = request.remote_addr or ""
        has_credentials = "Authorization" in request.headers or cookies_of(_host(), request.cookies)
        if has_credentials and not origin.is_local(peer, request.headers):
            self._refuse_guessing(peer)
        try:
            return self._authenticator.visitor(
                request.method,
                peer,
                request.headers,
                request.cookies,
                request.args.get("channel", self._default_channel),
            )
        except WrongToken as wrong:
            g.delete_cookies = wrong.cookies
            self._count_failure(peer)
            raise Unauthorized(WRONG, www_authenticate=_challenges()) from None
        except OwnersPassword:
            raise Unauthorized(NO_OWNER_PASSWORD) from None

    def _refuse_guessing(self, peer: str) -> None:
        if origin.is_loopback(peer):
            return
        wait_s = self._failed_logins.wait_s(peer, time.monotonic())
        if wait_s:
            raise TooManyRequests(
                f"Too many wrong tokens came from your address; wait {wait_s:.0f} s.",
                retry_after=int(wait_s) + 1,
            )

    def _count_failure(self, peer: str) -> None:
        count = self._failed_logins.add(peer, time.monotonic())
        if count == FREE_FAILURES:
            log.warning("[access] wrong tokens from %s: it has to wait now.", peer)
        gevent.sleep(WRONG_TOKEN_S)


def _origins(setting: str) -> frozenset[str]:
    return frozenset(() if setting == "none" else setting.split(","))


def _host() -> str:
    return request.headers.get("Host", "")


def _challenges() -> list[WWWAuthenticate]:
    """The ways to authenticate. A browser is not asked for a password: it would open a dialog of
    its own over the page that asks for the token."""
    return [BEARER] if origin.is_browser(request.headers) else [BEARER, BASIC]


def _delete_wrong_cookies(response: Response) -> Response:
    for name in g.get("delete_cookies", ()):
        for path in (None, "/"):  # under a prefix, and at the root, where older versions set it
            response.delete_cookie(name, path=path)
    return response

"""Hangs the access rules on the Flask application: every request, /login, and other origins.

A wrong token is answered late, and an address that goes on guessing has to wait. This machine's
own address is never made to wait: everybody behind a tunnel or a proxy has it.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import time
from pathlib import Path

import gevent
from flask import Flask, Response, g, jsonify, make_response, redirect, request
from flask_cors import CORS
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import BadRequest, Forbidden, TooManyRequests, Unauthorized
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wrappers import Response as BaseResponse

from turbostream.settings import Settings
from turbostream.web import access, body
from turbostream.web.rates import FREE_MISTAKES, Mistakes, Rates
from turbostream.web.tokens import Tokens

log = logging.getLogger(__name__)

WRONG_TOKEN_S = 0.5  # how late a wrong token is answered
COOKIE_S = 365 * 24 * 3600
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "Referrer-Policy": "same-origin",  # with no-referrer a form's origin is null
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
WATCHERS_POST = ("shown", "login")
STRANGER = "A link is needed: open the one you were given, or on the machine itself localhost."
BEARER = WWWAuthenticate("bearer")
# Cameras' software and players know no other way (http://any:TOKEN@host/stream), and most of them
# show their password only when they are asked for it.
BASIC = WWWAuthenticate("basic", {"realm": "turbostream: the token that may watch, as password"})
WRONG = "This token is not, or no longer, right; ask for a new link."
NO_OWNER_PASSWORD = "The owner's token is not taken as a password; use the one that may watch."


class Gate:
    """Admits requests to `app`; views find who asks in `g.visitor`."""

    def __init__(self, app: Flask, settings: Settings, tokens: Tokens) -> None:
        named = settings.cors_origins
        allowed = frozenset(() if named == "none" else named.split(","))
        self._access = access.Access(tokens, settings.loopback_owner, allowed)
        self._rates = Rates(settings.prompt_rate)
        self._mistakes = Mistakes()
        self._page, self._page_csp = _login_page()
        if settings.trust_forwarded:
            app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
                app.wsgi_app, x_for=1, x_proto=1, x_host=1
            )
        app.before_request(self._admit)
        app.after_request(_protect)
        app.post("/login", endpoint="login")(self._login)
        if allowed:
            CORS(
                app,
                origins=sorted(allowed),
                methods=["GET", "POST", "PATCH"],
                supports_credentials=True,  # the origin is named, never "*"
                allow_headers=["Authorization", "Content-Type"],
                expose_headers=["X-Stream-Id", "X-Boundary", "X-Frame-Id", "Retry-After"],
                max_age=600,
            )

    def stranger_page(self) -> BaseResponse | None:
        """The page that turns a link's fragment into a cookie, for whoever wants a page."""
        kinds = request.accept_mimetypes
        if request.method != "GET" or kinds.best_match(("application/json", "text/html")) != (
            "text/html"
        ):
            return None
        # It is answered at any address, and /login lies at the root of all, prefix or not.
        up = "../" * (request.path.count("/") - 1)
        page = self._page.replace('action="login"', f'action="{up}login"')
        response = make_response(page, 401)
        response.headers["Content-Security-Policy"] = self._page_csp
        return response

    def spend_change(self) -> None:
        """One change of the scene by the visitor; raises TooManyRequests."""
        key = g.visitor.key
        if key is not None and not self._rates.take(key, time.monotonic()):
            raise TooManyRequests(
                f"{self._rates.per_second:g} changes a second is the most; wait a moment.",
                retry_after=1,
            )

    # -- hooks and the one view ----------------------------------------------------------------

    def _admit(self) -> None:
        if any(byte > 127 for byte in request.query_string):
            raise BadRequest("The address holds characters that are not escaped; escape them.")
        if access.crosses_sites(
            request.method, request.path, request.headers, self._access.allowed
        ):
            raise Forbidden(
                "Another site may not ask; open the page itself, or name the site in CORS_ORIGINS."
            )
        if request.endpoint == "login" and request.method == "POST":
            return
        origin = request.headers.get("Origin", "").lower()
        if request.method == "OPTIONS" and origin in self._access.allowed:
            return  # a preflight, which carries no token
        visitor = self._visitor()
        if visitor is None:
            raise Unauthorized(STRANGER, www_authenticate=_challenges())
        if not visitor.may_write and (
            request.method not in access.READING and request.endpoint not in WATCHERS_POST
        ):
            raise Forbidden("This link may watch only; changing the picture takes the owner's.")
        g.visitor = visitor

    def _visitor(self) -> access.Visitor | None:
        peer = request.remote_addr or ""
        shows = "Authorization" in request.headers or self._cookie_name in request.cookies
        local = access.is_local(peer, request.headers)
        if shows and not local:
            self._refuse_guessing(peer)
        try:
            return self._access.visitor(request.method, peer, request.headers, request.cookies)
        except access.WrongToken:
            g.forget_cookie = self._cookie_name in request.cookies
            self._note_mistake(peer)
            raise Unauthorized(WRONG, www_authenticate=_challenges()) from None
        except access.OwnersPassword:
            raise Unauthorized(NO_OWNER_PASSWORD) from None

    def _login(self) -> BaseResponse:
        peer = request.remote_addr or ""
        token, from_form = body.field_of(request, "token")
        if not isinstance(token, str):
            raise BadRequest('Send {"token": "..."} with the token as text.')
        # After the body, which may have been waited for: nothing switches between this look at
        # the count and the note of a mistake, so requests that complete together are all counted.
        self._refuse_guessing(peer)
        role = self._access.role_of(token.strip())
        if role is None:
            self._note_mistake(peer)
            raise Unauthorized(WRONG)
        response: BaseResponse = (
            redirect("./", code=303) if from_form else jsonify(status="ok", role=role)
        )
        response.set_cookie(
            self._cookie_name,
            self._access.new_cookie(role),
            max_age=COOKIE_S,
            path=None,  # the browser takes /login's own folder: a proxy's prefix, unknown here
            httponly=True,
            samesite="Lax",  # Strict would ask for a token again after a link on another site
            secure=request.is_secure,
        )
        return response

    @property
    def _cookie_name(self) -> str:
        return access.cookie_name(request.headers.get("Host", ""))

    def _refuse_guessing(self, peer: str) -> None:
        wait_s = 0.0 if access.is_loopback(peer) else self._mistakes.wait_s(peer, time.monotonic())
        if wait_s:
            raise TooManyRequests(
                f"Too many wrong tokens came from your address; wait {wait_s:.0f} s.",
                retry_after=int(wait_s) + 1,
            )

    def _note_mistake(self, peer: str) -> None:
        count = self._mistakes.note(peer, time.monotonic())
        if count == FREE_MISTAKES:
            log.warning("[access] wrong tokens from %s: it has to wait now.", peer)
        gevent.sleep(WRONG_TOKEN_S)


def _challenges() -> list[WWWAuthenticate]:
    """What a stranger may show. A browser gets no question for a password: it would put up a
    window of its own, over the page that asks for the token."""
    browser = "Sec-Fetch-Mode" in request.headers or "Mozilla/" in request.user_agent.string
    return [BEARER] if browser else [BEARER, BASIC]


def _protect(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if g.get("forget_cookie"):
        name = access.cookie_name(request.headers.get("Host", ""))
        for path in (None, "/"):  # under a prefix, and at the root, where cookies once were
            response.delete_cookie(name, path=path)
    if response.status_code in (401, 403, 408, 413, 429):
        response.headers["Connection"] = "close"  # whoever is refused holds no socket
    return response


def _login_page() -> tuple[str, str]:
    """(the page, its policy: nothing runs but its own script)."""
    html = (Path(__file__).parent / "login.html").read_text(encoding="utf-8")

    def hashes(tag: str) -> str:
        texts = re.findall(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()) for text in texts)
        return " ".join(f"'sha256-{digest.decode()}'" for digest in digests)

    policy = (
        f"default-src 'none'; script-src {hashes('script')}; style-src {hashes('style')}; "
        "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    )
    return html, policy

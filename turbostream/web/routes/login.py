"""`POST /login`, which turns a token into a cookie, and the page that does so for a link."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlencode

from flask import Flask, jsonify, make_response, redirect, request
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response

from turbostream.web.auth.access_control import AccessControl
from turbostream.web.routes import request_body


def add_routes(app: Flask, access: AccessControl) -> None:
    _login_page()  # read now: a new release may replace the file while this process serves

    @app.post("/login")
    def login() -> Response:
        token, from_form = request_body.field_of(request, "token")
        if not isinstance(token, str):
            raise BadRequest('Send {"token": "..."} with the token as text.')
        grant = access.log_in(token.strip())
        limit = {} if grant.channel is None else {"channel": grant.channel}
        response: Response
        if from_form:
            response = redirect(f"./?{urlencode(limit)}" if limit else "./", code=303)
        else:
            response = jsonify(status="ok", role=grant.role, **limit)
        access.set_cookie(response, grant)
        return response


def page_for_strangers(status: int) -> Response | None:
    """The page that turns a link's fragment into a cookie, if the request prefers HTML. status: of
    the refusal in its place."""
    preferred = request.accept_mimetypes.best_match(("application/json", "text/html"))
    if request.method != "GET" or preferred != "text/html":
        return None
    html, policy = _login_page()
    # It answers at any address, and /login is at the root of all, prefix or not.
    up = "../" * (request.path.count("/") - 1)
    response = make_response(html.replace('action="login"', f'action="{up}login"'), status)
    response.headers["Content-Security-Policy"] = policy
    return response


@lru_cache(maxsize=1)
def _login_page() -> tuple[str, str]:
    """(the page, its policy: only its own script may run)."""
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

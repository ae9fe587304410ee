"""The headers that tell a browser what a response may load, and who may use it."""

from __future__ import annotations

from flask import Response

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'self'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    # Only the page itself captures: no frame in it, whatever is added to the page.
    "Permissions-Policy": "camera=(self), display-capture=(self)",
    "Referrer-Policy": "same-origin",  # with no-referrer a form's origin is null
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
REFUSALS = (401, 403, 408, 413, 429)


def protect(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if response.status_code in REFUSALS:
        response.headers["Connection"] = "close"  # a refused client keeps no socket
    return response

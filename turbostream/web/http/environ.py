"""A request's head as WSGI's environ (PEP 3333)."""

from __future__ import annotations

import sys
from typing import Any
from urllib.parse import unquote_to_bytes

from turbostream.web.http.head import Head

UPGRADE = "turbostream.upgrade"  # the key of what the client asks to continue with


def environ_of(
    head: Head, body: Any, peer: tuple[str, int], server: tuple[str, int]
) -> dict[str, Any]:
    """`peer` and `server` are (address, port)."""
    path, _, query = head.target.partition("?")
    environ = {
        "REQUEST_METHOD": head.method,
        "SCRIPT_NAME": "",
        # CONNECT's target is an authority, not a path
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1") if path.startswith("/") else "/",
        "QUERY_STRING": query,
        "RAW_URI": head.target,
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": f"HTTP/{head.version}",
        "REMOTE_ADDR": peer[0],
        "REMOTE_PORT": str(peer[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": body,
        "wsgi.input_terminated": True,  # `body` ends at its end, also without a length
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in head.headers:
        if "_" in name:
            continue  # X_Forwarded_For would be read as X-Forwarded-For; nginx drops them too
        if name == "upgrade":
            # Not as HTTP_UPGRADE, with which Werkzeug would look for a websocket route: every
            # other route declines it by answering the request.
            environ[UPGRADE] = f"{environ[UPGRADE]},{value}" if UPGRADE in environ else value
            continue
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        if key in environ:
            value = f"{environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{value}"
        environ[key] = value
    return environ

"""A proxy on loopback that records its requests, and answers 503, forwards, or never answers."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

NAMES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


class Proxy:
    def __init__(self, kind: str) -> None:
        self.kind = kind  # refusing, silent or forwarding
        self.requests: list[str] = []  # "METHOD address", as they came
        self._ending = threading.Event()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                proxy.answer(self)

            do_GET = do_POST = do_PUT = do_DELETE = do_CONNECT = handle_any

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=lambda: self._server.serve_forever(0.05))
        self._thread.start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append(f"{handler.command} {handler.path}")
        handler.close_connection = True
        if self.kind == "silent":
            self._ending.wait()
            return
        if self.kind == "refusing":
            handler.send_error(503)
            return
        target = urlsplit(handler.path)
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        connection = http.client.HTTPConnection(target.netloc, timeout=30)
        try:
            connection.request(handler.command, target.path, body, dict(handler.headers))
            reply = connection.getresponse()
            content = reply.read()
        finally:
            connection.close()
        handler.send_response(reply.status)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    def environment(self, *names: str, no_proxy: str = "") -> dict[str, str]:
        """The variables that select this proxy, and NO_PROXY."""
        found = {name: self.address for name in names or NAMES}
        return found | {"NO_PROXY": no_proxy, "no_proxy": no_proxy}

    def asked_for(self, port: int) -> list[str]:
        return [request for request in self.requests if f":{port}" in request]

    def close(self) -> None:
        self._ending.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(30)


@contextmanager
def proxying(kind: str) -> Iterator[Proxy]:
    proxy = Proxy(kind)
    try:
        yield proxy
    finally:
        proxy.close()

"""How the tunnel handles arbitrary answers of a server behind it."""

from __future__ import annotations

import http.server
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.deploy.host import PATIENCE_S, Host, wait_for
from tests.deploy.laptop import Laptop
from tests.ports import free_port

TUNNEL = "tunnel_to_stream.sh"


@contextmanager
def answering(port: int, answers: dict[str, bytes]) -> Iterator[list[str]]:
    """A server with these answers; the paths that were requested."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answers[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(ConnectionError):  # it has read enough
                self.wfile.write(body)
            asked.append(self.path)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="answers")
    thread.start()
    try:
        yield asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join(30)


@pytest.mark.parametrize(
    ("deadline", "said"),
    [
        ("0899", "the instance is given back in 0 minutes. Press e"),
        ("null", None),
        ("9" * 40, None),
        ("{soon}", "the instance is given back in [23] minutes. Press e"),
    ],
)
def test_any_deadline_in_an_answer_is_handled(
    host: Host, laptop: Laptop, deadline: str, said: str | None
) -> None:
    port = free_port()
    deadline = deadline.replace("{soon}", str(int(time.time()) + 150))
    answers = {
        "/healthz": b'{"status": "ok"}',
        "/status": f'{{"guard": {{"armed": true, "ends_at": {deadline}, "x": 1}}}}'.encode(),
    }
    with (
        answering(host.server_port, answers) as asked,
        laptop.running(TUNNEL, "--port", str(port)) as tunnel,
    ):
        tunnel.wait_said("the stream is reachable")
        if said:
            tunnel.wait_said(said)
        else:  # it was checked, and the stream once more after that
            wait_for(lambda: "/status" in asked, PATIENCE_S, "a look at the guard")
            seen = len(asked)
            wait_for(lambda: "/healthz" in asked[seen:], PATIENCE_S, "another look")
            assert "given back" not in tunnel.said
        assert not tunnel.ended, tunnel.said
        assert not re.search(r"line \d+", tunnel.said)


@pytest.mark.parametrize("size", [20, 5_000_000], ids=["escape", "5-MB"])
def test_an_answer_can_neither_control_nor_flood_the_terminal(
    host: Host, laptop: Laptop, size: int
) -> None:
    port = free_port()
    error = b"\x1b]0;owned\x07\xc2\x9b31m not yet " + b"A" * size
    answers = {"/healthz": b'{"status": "error", "error": "' + error + b'"}'}
    with (
        answering(host.server_port, answers),
        laptop.running(TUNNEL, "--port", str(port)) as tunnel,
    ):
        tunnel.wait_said("the server answers, but has no picture yet: .*not yet")
        assert not re.search("[\x1b\x07\x9b]", tunnel.said)
        assert len(tunnel.said) < 2000

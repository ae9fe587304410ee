"""The servers that `benchmarks/stream.py` compares, one per process.

`python -m benchmarks.servers NAME PORT VIEWERS FPS BYTES BUSY_MS`; NAME is `ours` (the real program
with an engine that only keeps time), `flask`, `waitress` or `gunicorn` (the pattern of the common
tutorials on these servers), or `epoll` (a bare sender, the upper limit). All have the same source
of frames: a JPEG of BYTES, BUSY_MS of work that holds the GIL, FPS per second.
"""

from __future__ import annotations

import io
import logging
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from PIL import Image

BOUNDARY = "frame"


def jpeg_of(size: int) -> bytes:
    """A real JPEG of exactly `size` bytes: noise, padded with comments."""
    best, side = b"", 8
    while True:
        file = io.BytesIO()
        Image.frombytes("RGB", (side, side), os.urandom(side * side * 3)).save(file, "JPEG")
        if file.tell() > size - 6:
            break
        best, side = file.getvalue(), side + 8
    missing, comment = size - len(best), b""
    while missing > 0:
        piece = missing if missing <= 65_000 else 60_000
        comment += b"\xff\xfe" + (piece - 2).to_bytes(2, "big") + b"x" * (piece - 4)
        missing -= piece
    return best[:2] + comment + best[2:]


def work(busy_ms: float) -> None:
    """Hold the GIL, as Python does between two kernels."""
    until = time.perf_counter() + busy_ms / 1000
    while time.perf_counter() < until:
        pass


class Metronome:
    """The engine behind the server named `ours`: it returns the same JPEG for every shot."""

    max_batch = 1
    depth = 1
    fingerprint = "metronome"
    choices: Mapping[str, str] = {}

    def __init__(self, jpeg: bytes, busy_ms: float) -> None:
        self._jpeg, self._busy_ms = jpeg, busy_ms

    def submit(self, shots: Sequence[object]) -> Future[list[Any]]:
        from turbostream.stream.engine_api import Picture

        done: Future[list[Any]] = Future()
        work(self._busy_ms)
        done.set_result([Picture(self._jpeg, {"jpeg": self._busy_ms})])
        return done

    def close(self) -> None:
        pass


class Newest:
    """The tutorials' design: a rendering thread, a condition and the newest frame."""

    def __init__(self, fps: float, jpeg: bytes, busy_ms: float) -> None:
        self.condition = threading.Condition()
        self.number, self.part = 0, b""
        self.wake: Callable[[], object] = lambda: None
        self._fps, self._jpeg, self._busy_ms = fps, jpeg, busy_ms

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        due = time.monotonic()
        while True:
            due = max(due + 1 / self._fps, time.monotonic() - 1 / self._fps)
            time.sleep(max(0.0, due - time.monotonic()))
            work(self._busy_ms)
            number = self.number + 1
            head = (
                f"Content-Type: image/jpeg\r\nContent-Length: {len(self._jpeg)}\r\n"
                f"X-Timestamp: {time.time():.6f}\r\nX-Frame-Id: {number}\r\n\r\n"
            )
            part = head.encode() + self._jpeg + f"\r\n--{BOUNDARY}\r\n".encode()
            with self.condition:
                self.number, self.part = number, part
                self.condition.notify_all()
            self.wake()

    def parts(self) -> Iterator[bytes]:
        yield f"--{BOUNDARY}\r\n".encode()
        last = 0
        while True:
            with self.condition:
                self.condition.wait_for(lambda: self.number > last)  # noqa: B023
                last, part = self.number, self.part
            yield part


def tutorial_app(newest: Newest) -> Any:
    from flask import Flask, Response, jsonify, request

    app = Flask("tutorial")

    @app.get("/stream")
    def stream() -> Response:
        kind = f"multipart/x-mixed-replace;boundary={BOUNDARY}"
        return Response(newest.parts(), content_type=kind)

    @app.post("/prompt")
    def prompt() -> Response:
        return jsonify(status="ok", prompt=request.get_json()["prompt"])

    return app


def serve_ours(port: int, fps: float, viewers: int, engine: Callable[[], Metronome]) -> None:
    import realtime_stream
    from turbostream.engine.weights import Weights
    from turbostream.settings import load
    from turbostream.web.auth.tokens import Tokens

    defaults = {"TARGET_FPS": fps, "INITIAL_PROMPT": "x", "MODEL_ID": "demo", "SERVER_PORT": port}
    options = ["--max-viewers", str(viewers), "--max-connections", str(viewers + 64)]
    options += ["--keep-scene", "no"]
    settings, _ = load(defaults, options, {})
    found = Weights(model_id="demo", folder=None, demo=True)
    logging.basicConfig(level=logging.WARNING)

    def open_engine(report: object, resolve: object = None) -> Any:
        return engine()

    realtime_stream.serve(settings, found, open_engine, Tokens.for_this_run(), False)


def serve_epoll(port: int, newest: Newest) -> None:
    """The upper limit: hardly any HTTP, no limits, one loop over all sockets."""
    listener = socket.create_server(("127.0.0.1", port), backlog=512)
    listener.setblocking(False)
    wake_in, wake_out = socket.socketpair()
    wake_in.setblocking(False)
    newest.wake = lambda: wake_out.send(b"x")
    newest.start()
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    poll.register(wake_in, select.EPOLLIN)
    clients: dict[int, socket.socket] = {}
    rests: dict[int, memoryview] = {}
    watching: set[int] = set()
    head = f"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary={BOUNDARY}\r\n\r\n"
    opening = (head + f"--{BOUNDARY}\r\n").encode()

    def drop(number: int) -> None:
        watching.discard(number)
        rests.pop(number, None)
        clients.pop(number).close()

    def send(number: int, data: memoryview) -> None:
        try:
            taken = clients[number].send(data)
        except BlockingIOError:
            taken = 0
        except OSError:
            drop(number)
            return
        if taken < len(data):
            rests[number] = data[taken:]
            poll.modify(number, select.EPOLLIN | select.EPOLLOUT)
        elif number in rests:
            del rests[number]
            poll.modify(number, select.EPOLLIN)

    while True:
        for number, event in poll.poll():
            if number == listener.fileno():
                with suppress(BlockingIOError):
                    client, _ = listener.accept()
                    client.setblocking(False)
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
                    clients[client.fileno()] = client
                    poll.register(client, select.EPOLLIN)
            elif number == wake_in.fileno():
                wake_in.recv(4096)
                part = memoryview(newest.part)
                for viewer in list(watching):
                    if viewer not in rests:
                        send(viewer, part)
            elif number in clients and event & select.EPOLLOUT and number in rests:
                send(number, rests[number])
            elif number in clients:
                try:
                    request = clients[number].recv(4096)
                except OSError:
                    request = b""
                if not request:
                    drop(number)
                elif request.startswith(b"POST"):
                    clients[number].send(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")
                    drop(number)
                else:
                    clients[number].send(opening)
                    watching.add(number)


def main(name: str, port: int, viewers: int, fps: float, size: int, busy_ms: float) -> None:
    jpeg = jpeg_of(size)
    if name == "ours":
        serve_ours(port, fps, viewers, lambda: Metronome(jpeg, busy_ms))
        return
    newest = Newest(fps, jpeg, busy_ms)
    if name == "epoll":
        serve_epoll(port, newest)
        return
    app = tutorial_app(newest)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    if name == "flask":
        from werkzeug.serving import WSGIRequestHandler

        class Plain(WSGIRequestHandler):  # HTTP/1.1 would send chunks even to an HTTP/1.0 client
            protocol_version = "HTTP/1.0"

        newest.start()
        app.run("127.0.0.1", port, threaded=True, request_handler=Plain)
    elif name == "waitress":
        import waitress

        newest.start()
        waitress.serve(
            app, host="127.0.0.1", port=port, threads=viewers + 8, connection_limit=viewers + 64
        )
    elif name == "gunicorn":
        _gunicorn(app, newest, port, viewers)
    else:
        raise SystemExit(f"unknown server {name}")


def _gunicorn(app: Any, newest: Newest, port: int, viewers: int) -> None:
    from gunicorn.app.base import BaseApplication

    options = {
        "bind": f"127.0.0.1:{port}",
        "workers": 1,
        "worker_class": "gthread",
        "threads": viewers + 8,
        "worker_connections": 4096,
        "timeout": 600,
        "graceful_timeout": 1,
        "loglevel": "error",
        "post_worker_init": lambda worker: newest.start(),
    }

    class Application(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            for name, value in options.items():
                self.cfg.set(name, value)

        def load(self) -> Any:
            return app

    Application().run()


if __name__ == "__main__":
    name, port, viewers, fps, size, busy_ms = sys.argv[1:7]
    main(name, int(port), int(viewers), float(fps), int(size), float(busy_ms))

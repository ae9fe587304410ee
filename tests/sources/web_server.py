"""An HTTP server that behaves as cameras do, and as they should not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"
    server: Server

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append((path, self.headers.get("Authorization")))
        answer = self.server.answers.get(path)
        try:
            if answer is not None:
                answer(self)
            elif (file := self.server.folder / path.lstrip("/")).is_file():
                self.send(file.read_bytes(), "application/octet-stream")
            else:
                self.send_error(404)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the reader has gone

    def send(self, content: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *given: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """answers: by path; other paths are files of `folder`. asked: (path, Authorization) of each
    request. hung_up: ends what hangs."""

    daemon_threads = False

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.hung_up = threading.Event()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def url(self, path: str, user: str = "") -> str:
        return f"http://{user}127.0.0.1:{self.port}{path}"

    def hang(self, handler: Handler) -> None:
        self.hung_up.wait(60)


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="web server")
    thread.start()
    try:
        yield server
    finally:
        server.hung_up.set()
        server.shutdown()
        thread.join()
        server.server_close()


def redirect(url: str) -> Answer:
    def answer(handler: Handler) -> None:
        handler.send_response(302)
        handler.send_header("Location", url)
        handler.end_headers()

    return answer


def mjpeg(
    pictures: Callable[[], Iterator[bytes]], with_length: bool = True, border: str = "frame"
) -> Answer:
    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={border}")
        handler.end_headers()
        for picture in pictures():
            head = f"--{border.removeprefix('--')}\r\nContent-Type: image/jpeg\r\n"
            if with_length:
                head += f"Content-Length: {len(picture)}\r\n"
            handler.wfile.write(head.encode() + b"\r\n" + picture + b"\r\n")
            handler.wfile.flush()

    return answer


def at_10_fps(*pictures: bytes) -> Callable[[], Iterator[bytes]]:
    """Each in turn, endlessly."""

    def generate() -> Iterator[bytes]:
        while True:
            for picture in pictures:
                yield picture
                time.sleep(0.1)

    return generate

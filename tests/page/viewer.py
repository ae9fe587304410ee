"""A viewer of its own beside the page: reads /stream on a thread and keeps every picture.

It shares nothing with the reader of the page: it uses the HTTP client of Python, the strict
multipart parser of the web tests, and Pillow. Like the page it acknowledges each frame, so that a
busy machine does not make the server send fewer.
"""

from __future__ import annotations

import http.client
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message

import numpy as np
from PIL import Image

from tests.page.colours import things_of
from tests.web.reader import Part, read_parts

COLOURS = ("red", "blue", "yellow")


class Viewer:
    def __init__(self, port: int) -> None:
        self._port = port
        self._parts: list[Part] = []
        self._stopping = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="viewer")

    @property
    def newest(self) -> Part | None:
        return self._parts[-1] if self._parts else None

    @property
    def number(self) -> int:
        """The number of the newest frame; 0 before the first."""
        return self._parts[-1].number if self._parts else 0

    @property
    def jpeg(self) -> bytes:
        """The JPEG of the newest frame; there must be one."""
        return self._parts[-1].jpeg

    def between(self, after: int, last: int | None = None) -> list[Part]:
        """The frames with a greater number than `after`, up to `last`."""
        return [
            part
            for part in list(self._parts)
            if part.number > after and (last is None or part.number <= last)
        ]

    def things(self) -> str:
        """The colours of the things in the newest frame, as text."""
        return named(self.jpeg) if self._parts else ""

    def brightness(self) -> float:
        """The mean of the newest frame, of 255."""
        return float(pixels(self.jpeg).mean())

    def check(self) -> None:
        if self._error is not None:
            raise self._error

    @contextmanager
    def running(self) -> Iterator[Viewer]:
        self._thread.start()
        try:
            yield self
        finally:
            self._stopping = True
            self._thread.join()
        self.check()

    def _run(self) -> None:
        stream, shown = (
            http.client.HTTPConnection("127.0.0.1", self._port, timeout=90) for _ in range(2)
        )
        try:
            stream.request("GET", "/stream")
            answer = stream.getresponse()
            head = Message()
            head["Content-Type"] = answer.headers["Content-Type"]
            address = f"/stream/{answer.headers['X-Stream-Id']}/shown"
            chunks = iter(lambda: answer.read1(65536), b"")
            for part in read_parts(chunks, str(head.get_param("boundary"))):
                if self._stopping:
                    return
                if part.number:  # 0 is a placeholder
                    self._parts.append(part)
                body = json.dumps({"frame": part.number})
                shown.request("POST", address, body, {"Content-Type": "application/json"})
                shown.getresponse().read()
        except BaseException as error:
            self._error = error
        finally:
            stream.close()
            shown.close()


def pixels(jpeg: bytes) -> np.ndarray:
    """[H, W, 3] of 0 to 255."""
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).astype(int)


def named(jpeg: bytes) -> str:
    return "+".join(sorted(things_of(pixels(jpeg), COLOURS)))


def difference(one: bytes, other: bytes) -> float:
    """The mean difference between two pictures, of 255."""
    return float(np.abs(pixels(one) - pixels(other)).mean())

"""The fake engine of the tests: it paints one colour and can be told to misbehave.

For tests of the stream and the web alone; whatever is about pictures uses the real engine.
"""

from __future__ import annotations

import io
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future

from PIL import Image

from turbostream.stream.capabilities import Capabilities
from turbostream.stream.engine_api import Engine, Picture, Report
from turbostream.stream.shot import Shot


def colour_of(prompt: str) -> tuple[int, int, int]:
    value = zlib.crc32(prompt.encode())
    return value & 255, value >> 8 & 255, value >> 16 & 255


class ColourEngine:
    """The prompt decides the colour; `before` runs ahead of each frame and may raise or wait."""

    max_batch = 1
    depth = 1
    fingerprint = "colour"
    choices: Mapping[str, str] = {"device": "none: a test"}

    def __init__(self, before: Callable[[Shot], object] = lambda shot: None) -> None:
        self._before = before
        self.shots: list[Shot] = []
        self.threads: set[str] = {threading.current_thread().name}
        self.closed = False

    def submit(self, shots: Sequence[Shot]) -> Future[list[Picture]]:
        self.threads.add(threading.current_thread().name)
        self.shots.extend(shots)
        done: Future[list[Picture]] = Future()
        try:
            done.set_result([self._paint(shot) for shot in shots])
        except Exception as error:
            done.set_exception(error)
        return done

    def _paint(self, shot: Shot) -> Picture:
        self._before(shot)
        started = time.perf_counter()
        file = io.BytesIO()
        Image.new("RGB", (64, 64), colour_of(shot.prompt)).save(file, "JPEG", quality=95)
        return Picture(file.getvalue(), {"jpeg": (time.perf_counter() - started) * 1000})

    def close(self) -> None:
        self.closed = True


class NoMixes(ColourEngine):
    """Declares that it takes one prompt per shot."""

    capabilities = Capabilities(prompts=1)

    def _paint(self, shot: Shot) -> Picture:
        self.capabilities.check(shot)
        return super()._paint(shot)


class ShortReader(ColourEngine):
    """Reads the first three words of a prompt."""

    def dropped(self, prompt: str) -> str:
        return " ".join(prompt.split()[3:])


def opens(engine: Engine) -> Callable[[Report], Engine]:
    """An `open_engine` that hands out `engine`."""
    return lambda report: engine

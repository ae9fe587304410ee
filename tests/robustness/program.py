"""The real server with a fake engine: `python -m tests.robustness.program MODE [options]`.

Everything but the engine is the program that users start. MODE names what the engine does wrong.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import sys
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future

import realtime_stream
from benchmarks.servers import jpeg_of
from turbostream.engine.weights import Weights
from turbostream.settings import SettingError, load
from turbostream.stream.engine_api import Engine, Picture, Report
from turbostream.stream.noise_path import path
from turbostream.stream.shot import Noise, Shot
from turbostream.stream.state import State, Status
from turbostream.web.auth import tokens

MAY_LOAD = "may-load"  # the file in STATE_DIR that lets "loads-badly" load
DEFAULTS = {"TARGET_FPS": 60, "INITIAL_PROMPT": "grey", "MODEL_ID": "demo", "SERVER_PORT": 0}


class OutOfMemoryError(RuntimeError):
    """As torch names it."""


class Faulty:
    """An engine whose picture is `jpeg`, and in every other three seconds `small`, if it is given.
    `before` is called with the number of each shot."""

    max_batch = 1
    depth = 1
    fingerprint = "faulty"
    choices: Mapping[str, str] = {"device": "none: a test"}
    shots = 0  # of all engines of this process

    def __init__(
        self, before: Callable[[int], object], jpeg: bytes, small: bytes | None = None
    ) -> None:
        self._before, self._jpegs = before, (jpeg, small or jpeg)

    def submit(self, shots: Sequence[Shot]) -> Future[list[Picture]]:
        done: Future[list[Picture]] = Future()
        Faulty.shots += 1
        _note(shots[0])
        self._before(Faulty.shots)
        jpeg = self._jpegs[int(time.monotonic() / 3) % 2]
        done.set_result([Picture(jpeg, {"jpeg": 0.1})])
        return done

    def close(self) -> None:
        pass


def _note(shot: Shot) -> None:
    """Appends its time and its position in the noise to SHOTS_FILE, if that is set."""
    if file := os.environ.get("SHOTS_FILE"):
        with open(file, "a", encoding="utf-8") as out:
            place = [time.monotonic(), os.getpid(), *_place(shot.noise), shot.prompt]
            out.write(json.dumps(place) + "\n")


def _place(noise: Noise) -> tuple[int, float]:
    """(the last seed that was passed, the part of the way to the next): the inverse of `path`."""
    if len(noise) == 1:
        return noise[0][0], 0.0
    (_, _), (seed, _), (_, ahead), (_, _) = noise
    return seed, bisect_left(PARTS, ahead, key=lambda part: path(seed, part)[2][1]) / len(PARTS)


PARTS = [part / 10_000 for part in range(1, 10_000)]


def raises(numbers: Callable[[int], bool], error: Exception) -> Callable[[int], object]:
    def before(number: int) -> None:
        if numbers(number):
            raise error

    return before


def _hold_the_gil(number: int) -> None:
    if number == 20:
        ctypes.PyDLL(None).sleep(600)  # PyDLL keeps the GIL while it calls


def _move_the_clock(number: int) -> None:
    """Sets the wall clock back an hour and forward again, in turn."""
    if number % 40 == 0:
        real, offset = time.time, -3600.0 if number % 80 else 3600.0
        time.time = lambda: real() + offset


MODES: dict[str, Callable[[int], object]] = {
    "sound": lambda number: None,
    "takes-22-ms": lambda number: time.sleep(0.022),
    "once": raises(lambda number: number == 20, RuntimeError("one bad frame")),
    "ten": raises(lambda number: 20 <= number < 30, RuntimeError("ten bad frames")),
    "for-ever": raises(lambda number: number > 20, RuntimeError("nothing but bad frames")),
    "memory": raises(lambda number: number == 20, OutOfMemoryError("CUDA out of memory. Faked.")),
    "hangs": lambda number: number == 20 and threading.Event().wait(),
    "holds-the-gil": _hold_the_gil,
    "clock-jumps": _move_the_clock,
}


def main(mode: str, argv: Sequence[str]) -> int:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    size = int(os.environ.get("PICTURE_BYTES", "8000"))
    small = int(os.environ.get("SMALL_BYTES", str(size)))

    def open_engine(report: Report, resolve: object = None) -> Engine:
        report(Status(State.LOADING, "Loading a test."))
        if mode == "loads-for-ever":
            time.sleep(600)
        if mode == "loads-badly" and not (settings.state_folder / MAY_LOAD).exists():
            raise RuntimeError("it does not load yet")
        return Faulty(MODES.get(mode, MODES["sound"]), jpeg_of(size), jpeg_of(small))

    try:
        settings, options = load(DEFAULTS, argv, os.environ)
        kept = tokens.load_tokens(settings.state_folder)
    except SettingError as error:
        logging.error("%s", error)
        return 2
    found = Weights(model_id="demo", folder=None, demo=True)
    return realtime_stream.serve(settings, found, open_engine, kept, options.record)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))

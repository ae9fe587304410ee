"""A show from sources, recorded by the program's own recorder, and an engine that heeds them."""

from __future__ import annotations

import io
import zlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from tests.batch.program import Program
from tests.batch.replaying import Recording
from tests.stream.running import wait_until
from turbostream.settings import Settings
from turbostream.sinks.recorder import Recorder
from turbostream.sources import earlier
from turbostream.sources.picture import Pixels
from turbostream.sources.store import Store
from turbostream.stream.channel import Channel
from turbostream.stream.engine_api import Engine, Picture
from turbostream.stream.frame import Frame
from turbostream.stream.scene import Scene
from turbostream.stream.shot import InputPicture, Shot, Source

SIDE = 64
FPS = 30.0
BEGAN = 5000.0
FEEDBACK = {"source": "feedback", "strength": 0.3, "zoom": 1.6, "rotation": 40.0, "shift_x": 0.1}


class Painter(Recording):
    """A picture of coarse noise, mixed with the source by the shot's strength.

    undims: whether it gives dimmed pictures at full brightness too.
    """

    undims = True

    def submit(self, shots) -> Future[list[Picture]]:
        self.sizes.append(len(shots))
        self.shots.extend(shots)
        done: Future[list[Picture]] = Future()
        try:
            done.set_result([self._picture(shot) for shot in shots])
        except Exception as error:
            done.set_exception(error)
        return done

    def _picture(self, shot: Shot) -> Picture:
        self._before(shot)
        bright = replace(shot, source=None, strength=None, brightness=1.0)
        recipe = repr((bright, self.base))
        coarse = np.random.default_rng(zlib.crc32(recipe.encode())).integers(0, 256, (4, 4, 3))
        side = (shot.width or SIDE, shot.height or SIDE)
        image = Image.fromarray(coarse.astype(np.uint8)).resize(side, Image.Resampling.BICUBIC)
        pixels = np.asarray(image, float)
        if shot.source is not None:
            assert self.resolve is not None
            strength = shot.strength or 0.0
            source = self.resolve(shot.source, *side).astype(float)
            pixels = strength * pixels + (1 - strength) * source
        full = _jpeg(pixels)
        if shot.brightness == 1:
            return Picture(full, {})
        dimmed = _jpeg(pixels * shot.brightness)
        return Picture(dimmed, {}, undimmed=full if self.undims else b"")


def _jpeg(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels.round().astype(np.uint8)).save(file, "JPEG", quality=85)
    return file.getvalue()


class Show:
    """A channel whose frames are taken, painted and published one by one, on a clock of its own.

    depth: how many are in flight, so that a frame of a feedback starts from the one that many
    before it. keep: whether the recorder stores the input pictures. engine: may be replaced by
    one that gets its sources from `resolve`.
    """

    def __init__(self, folder: Path, depth: int = 2, keep: bool = True) -> None:
        self.now, self.depth = BEGAN, depth
        self.channel = Channel("main", Scene.single("a red heart", seed=3), lambda: self.now)
        self.store = Store()
        settings = Settings(
            target_fps=FPS, initial_prompt="words", model_id="demo", server_port=0, state_dir=folder
        )
        find = self.store.find if keep else None
        self.recorder = Recorder(self.channel, settings, "demo", find)
        self.folder = settings.recordings_folder
        self.frames: list[Frame] = []
        self._began = BEGAN
        self._in_flight: deque = deque()
        painter = Painter()
        painter.resolve = self.resolve
        self.engine: Engine = painter

    def resolve(self, source: Source, width: int, height: int) -> Pixels:
        if isinstance(source, InputPicture):
            found = self.store.find(source.sha256)
            assert found is not None
            return found
        return earlier.resolve(self.channel.buffer, source, width, height)

    def give(self, seed: int) -> None:
        """A new input picture."""
        noise = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        self.channel.give_picture(self.store.add(noise))

    def run(self, frames: int, before: Callable[[int], object] = lambda turn: None) -> None:
        for turn in range(frames):
            self.now += 1 / FPS
            before(turn)
            taken = self.channel.take_shot()
            (picture,) = self.engine.submit([taken.shot]).result()
            self._in_flight.append((taken, picture))
            if len(self._in_flight) == self.depth:
                self._publish()

    def _publish(self) -> None:
        (number, shot, taken), picture = self._in_flight.popleft()
        fingerprint = picture.fingerprint or self.engine.fingerprint
        frame = Frame(number, picture.jpeg, shot, 0.0, {}, fingerprint, "main", taken)
        frame = replace(frame, undimmed=picture.undimmed)
        self.channel.buffer.publish(frame)
        self.frames.append(frame)

    def record(self) -> None:
        """What is in flight now is not part of the recording."""
        self.now += 0.001
        self._began = self.now
        self.recorder.start()
        wait_until(lambda: self.channel.wanted)

    def end(self) -> Path:
        """The session's file. From now on, `frames` are those of the recording."""
        while self._in_flight:
            self._publish()
        self.frames = [frame for frame in self.frames if frame.taken > self._began]
        status = self.recorder.stop()
        assert not status["on"]
        name = status["name"]
        assert name is not None
        return self.recorder.path(f"{name}.jsonl.gz")


def replay(program: Program, session: Path, *arguments: str, out: str = "again") -> list[bytes]:
    """The pictures of a replay by a Painter, or by the program's next engine, in order."""
    program.next_engine = program.next_engine or Painter()
    assert program("--replay", str(session), "--out", out, *arguments) == 0, program.said
    program.next_engine = None
    return [path.read_bytes() for path in sorted((program.folder / out).glob("*.jpg"))]

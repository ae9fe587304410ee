"""A show with fades, looks and modulators, driven frame by frame over a real channel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from tests.stream.modulating import on
from turbostream.sinks.session import Header, SessionWriter
from turbostream.stream.channel import Channel
from turbostream.stream.engine_api import Engine
from turbostream.stream.frame import Frame
from turbostream.stream.scene import Scene

FPS = 30.0
BEGAN = 5000.0  # on the channel's clock
FIRST = Scene.single("a red heart", speed=0.4, seed=3)
MIX = [{"text": "a red heart", "weight": 1}, {"text": "a green star", "weight": 2}]


Changes = Callable[[Channel], Iterator[Callable[[], object]]]


def varied(channel: Channel) -> Iterator[Callable[[], object]]:
    """One after the other, at regular intervals; the show begins again with the first."""
    look = channel.scene
    while True:
        yield lambda: channel.change({"prompt": "a yellow circle", "fade_s": 1.5})
        yield lambda: channel.change({"prompts": MIX, "fade_s": 0.8, "easing": "linear"})
        yield lambda: channel.change({"modulators": [on("speed", depth=0.7, period=2.0)]})
        yield lambda: channel.change({"bpm": 100, "modulators": [on("weight_2"), on("brightness")]})
        yield lambda: channel.recall(look, 1.0)
        yield lambda: channel.change({"seed": 77, "fade_s": 1.0})
        yield lambda: channel.undo(0.5)
        yield lambda: channel.change({"modulators": [on("phase", depth=0.5, period=3.0)]})
        yield lambda: channel.change({"motion": "fresh"})
        yield lambda: channel.change({"motion": "walk", "speed": 0.8, "fade_s": 2.0})


def recorded(
    path: Path,
    engine: Engine,
    frames: int,
    header: Header,
    change_every: int = 10,
    changes: Changes = varied,
) -> tuple[Path, list[Frame]]:
    """The session of a show of `frames` frames, and the frames themselves."""
    now = BEGAN
    channel = Channel("main", FIRST, clock=lambda: now)
    writer = SessionWriter(path, header)
    writer.scene(channel.scene, now)
    channel.listen_scenes(writer.scene)
    to_come = changes(channel)
    shown: list[Frame] = []
    for turn in range(frames):
        now = BEGAN + (turn + 1) / FPS
        if turn and turn % change_every == 0:
            next(to_come, lambda: None)()
        number, shot, taken = channel.take_shot()
        (picture,) = engine.submit([shot]).result()
        fingerprint = picture.fingerprint or engine.fingerprint
        frame = Frame(number, picture.jpeg, shot, 0.0, {}, fingerprint, taken=taken)
        writer.frame(frame)
        shown.append(frame)
    return writer.close(), shown

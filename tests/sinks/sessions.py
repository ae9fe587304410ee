"""Sessions for tests."""

from __future__ import annotations

from pathlib import Path

from turbostream.sinks.session import Header, SessionWriter
from turbostream.stream.frame import Frame
from turbostream.stream.scene import Scene

HEADER = Header(1764201600.0, "demo", (256, 256), 85, "tiny", 30.0)


def frame(number: int, time: float, scene: Scene, fingerprint: str = "colour") -> Frame:
    """The frame of `scene` at `time`, with its number for a picture."""
    shot = scene.shot_at(time, number)
    return Frame(number, b"%d" % number, shot, 0.0, {}, fingerprint, taken=time)


def written(folder: Path, frames: int, packed: bool = False) -> Path:
    """A session of `frames` frames at 30 a second."""
    scene = Scene.single("one")
    writer = SessionWriter(folder / "show.jsonl", HEADER)
    writer.scene(scene, 0.0)
    for number in range(1, frames + 1):
        writer.frame(frame(number, number / 30, scene))
    writer.flush()
    return writer.close() if packed else writer.path

"""Sessions of shows that the tests' engine painted, and their replay."""

from __future__ import annotations

import json
from concurrent.futures import Future
from fractions import Fraction
from pathlib import Path

import av

from tests.batch.program import BatchEngine, Program
from tests.sinks.sessions import HEADER
from tests.sinks.show import recorded
from turbostream.sinks.session import Header
from turbostream.stream.frame import Frame
from turbostream.stream.shot import Shot

BASE = "demo@local torch-2 diffusers-1 cpu float32 tiny own jpeg-85"


class Recording(BatchEngine):
    """Notes the size of each submission."""

    base = BASE

    def __init__(self, *arguments, kind: str = "plain batch-1") -> None:
        super().__init__(*arguments)
        self.sizes: list[int] = []
        self.kind = kind

    @property
    def fingerprint(self) -> str:  # type: ignore[override]
        return f"{self.base} {self.kind}"

    def submit(self, shots) -> Future:
        self.sizes.append(len(shots))
        return super().submit(shots)


def show(
    folder: Path, frames: int = 60, header: Header = HEADER, **engine
) -> tuple[Path, list[Frame]]:
    return recorded(folder / "show.jsonl", Recording(**engine), frames, header)


def replay(program: Program, *arguments: str, session: str = "show.jsonl.gz") -> int:
    return program("--replay", session, "--out", "again", *arguments)


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "replay.jsonl").read_text().splitlines()][1:]


def painted(program: Program) -> list[Shot]:
    return [shot for engine in program.engines for shot in engine.shots]


def times(path: Path) -> list[Fraction]:
    with av.open(str(path)) as video:
        return [frame.pts * frame.time_base for frame in video.decode(video=0)]

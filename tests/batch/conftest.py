from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import process_batch
from tests.batch.program import BatchEngine, Program
from turbostream.stream.shot_json import from_json


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog, capfd) -> Iterator[Program]:
    """process_batch.py in an empty folder, with an engine that paints one colour."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("MODEL_ID", "demo")

    class Unheeded(BaseException):
        """The program left a signal to whoever started it."""

    def unheeded(*_: object) -> None:
        raise Unheeded

    before = {n: signal.signal(n, unheeded) for n in (signal.SIGTERM, signal.SIGHUP)}
    program = Program(tmp_path, process_batch.main, caplog, capfd)

    def open_engine(settings, weights, report, resolve=None):
        engine = program.next_engine or BatchEngine()
        engine.resolve = resolve
        engine.base = (
            f"demo@local torch-2 diffusers-1 cpu float32 tiny own jpeg-{settings.jpeg_quality}"
        )
        program.engines.append(engine)
        return engine

    monkeypatch.setattr("turbostream.engine.open_engine", open_engine)
    caplog.set_level("INFO")
    yield program
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def as_before() -> object:
    """Rewrites a folder's manifest in its first form: no pipeline, and shots of version 1."""

    def rewrite(folder: Path) -> None:
        file = folder / "manifest.jsonl"
        lines = []
        for line in file.read_text().splitlines():
            entry = json.loads(line)
            for name in ("pipeline", "counted_from"):
                entry.pop(name, None)
            shot = from_json(entry["shot"])
            seed = shot.noise[0][0]
            entry["shot"] = {
                "prompt": shot.prompt,
                "seed_from": seed,
                "seed_to": seed + 1,
                "angle": 0.0,
                "width": shot.width,
                "height": shot.height,
            }
            lines.append(json.dumps(entry) + "\n")
        file.write_text("".join(lines))

    return rewrite

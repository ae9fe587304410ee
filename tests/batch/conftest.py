from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import process_batch
from tests.batch.program import BatchEngine, Program


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

    def open_engine(settings, *_):
        engine = program.next_engine or BatchEngine()
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
    """Turns a folder's manifest into what the program wrote before it knew recipes."""

    def rewrite(folder: Path) -> None:
        file = folder / "manifest.jsonl"
        lines = []
        for line in file.read_text().splitlines():
            entry = json.loads(line)
            for name in ("recipe", "pipeline", "counted_from"):
                entry.pop(name, None)
            entry["shot"] |= {"width": None, "height": None}
            lines.append(json.dumps(entry) + "\n")
        file.write_text("".join(lines))

    return rewrite

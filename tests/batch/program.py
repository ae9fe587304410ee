"""process_batch.py as it is typed, with the tests' engine in place of a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

from tests.engines import ColourEngine
from turbostream.stream.engine_api import Picture, Resolve
from turbostream.stream.shot_json import from_json


class BatchEngine(ColourEngine):
    max_batch = 4
    depth = 2
    base = "demo@local"
    resolve: Resolve | None = None

    @property
    def fingerprint(self) -> str:  # type: ignore[override]
        return f"{self.base} plain batch-1"

    def submit(self, shots) -> Future[list[Picture]]:
        """A picture that the whole shot and the quality decide, of a few hundred bytes."""
        done = super().submit(shots)
        if done.exception() is None:
            pictures = [
                Picture(picture.jpeg + repr((shot, self.base)).encode(), {})
                for picture, shot in zip(done.result(), shots, strict=True)
            ]
            done = Future()
            done.set_result(pictures)
        return done


class Program:
    def __init__(self, folder: Path, main: Callable[[Sequence[str]], int], caplog, capfd) -> None:
        self.folder = folder
        self.out = folder / "pictures"
        self.next_engine: BatchEngine | None = None
        self.engines: list[BatchEngine] = []
        self._main, self._caplog, self._capfd = main, caplog, capfd

    def __call__(self, *arguments: str) -> int:
        """The exit status of a run that reads prompts.txt."""
        self.engines.clear()
        self._caplog.clear()
        self._capfd.readouterr()
        names = (
            arguments
            if arguments[:1] and arguments[0][0] != "-"
            else ("prompts.txt", "pictures", *arguments)
        )
        try:
            return self._main(list(names))
        finally:
            self.said = self._capfd.readouterr().err + "".join(
                f"{record.getMessage()}\n" for record in self._caplog.records
            )

    def write(self, content: str | bytes) -> None:
        data = content.encode() if isinstance(content, str) else content
        (self.folder / "prompts.txt").write_bytes(data)

    @property
    def painted(self) -> list[str]:
        """The prompts of the last run's shots, sorted."""
        return sorted(shot.prompt for engine in self.engines for shot in engine.shots)

    def manifest(self, folder: Path | None = None) -> list[dict]:
        """The entries, each checked against its picture and with its shot as a Shot."""
        folder = folder or self.out
        entries = [json.loads(line) for line in (folder / "manifest.jsonl").open()]
        for entry in entries:
            entry["shot"] = from_json(entry["shot"])
            content = (folder / entry["file"]).read_bytes()
            assert hashlib.sha256(content).hexdigest() == entry["sha256"], entry["file"]
        return entries

    def prompts(self) -> dict[str, str]:
        """file -> the prompt of the picture that is there."""
        return {entry["file"]: entry["shot"].prompt for entry in self.manifest()}

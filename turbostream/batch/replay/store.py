"""The folder of a replay's pictures: 000001.jpg and on, and replay.jsonl, a line for each.

The first line names the replay, so that a folder is continued only by the same one. A line is
written after its picture, and a picture counts if its line has its hash: whatever interrupts a run,
the next one continues after the last picture that is whole. Use it under `lock.locked`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turbostream.batch.prompts import BatchError
from turbostream.batch.replay.plan import Item
from turbostream.batch.replay.report import Report
from turbostream.sinks.session import digest
from turbostream.stream.engine_api import Picture

MANIFEST = "replay.jsonl"
VERSION = 1
MOST_LINE = 64 * 1024  # bytes


@dataclass(frozen=True)
class Stored:
    """A picture that is in the folder. at: seconds since the first one."""

    path: Path
    at: float


class Store:
    """identity: what decides the pictures of this replay, as JSON."""

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self.folder = folder
        self._manifest = folder / MANIFEST
        self._first = json.dumps({"replay": VERSION, **identity}).encode() + b"\n"

    def take_up(self, items: Iterable[Item], report: Report) -> int:
        """How many of the `items`, from the first on, are here; `report` counts them.

        What follows in the manifest is removed. Raises BatchError if the folder has other content.
        """
        try:
            file = self._manifest.open("r+b")
        except FileNotFoundError:
            if any(self.folder.glob("*.jpg")):
                raise BatchError(
                    f"{self.folder} contains pictures that are not of this replay; give another "
                    "folder."
                ) from None
            self._manifest.write_bytes(self._first)
            return 0
        with file:
            if file.readline(MOST_LINE) != self._first:
                raise BatchError(
                    f"{self.folder} holds another replay (another session, model, size, rate or "
                    "range): remove it, or give another --out."
                )
            kept, end = 0, file.tell()
            for item in items:
                values = self._line(file.readline(MOST_LINE), item)
                if values is None:
                    break
                report.add(item, values["sha256"], values["fingerprint"])
                kept, end = kept + 1, file.tell()
            file.truncate(end)
        return kept

    def put(self, items: Sequence[Item], pictures: Sequence[Picture], report: Report) -> None:
        """Store the pictures of the next `items`."""
        lines = bytearray()
        for item, picture in zip(items, pictures, strict=True):
            self.path(item).write_bytes(picture.jpeg)
            sha256 = digest(picture.jpeg)
            report.add(item, sha256, picture.fingerprint)
            values = {
                "number": item.number,
                "frame": item.frame,
                "at": item.at,
                "sha256": sha256,
                "fingerprint": picture.fingerprint,
            }
            lines += json.dumps(values).encode() + b"\n"
        with self._manifest.open("ab", buffering=0) as file:
            before = file.tell()
            try:
                if file.write(lines) != len(lines):
                    raise OSError(28, os.strerror(28), str(self._manifest))
            except OSError:
                file.truncate(before)
                raise

    def pictures(self) -> Iterator[Stored]:
        """All that are in the manifest, in order."""
        with self._manifest.open("rb") as file:
            next(file)
            for line in file:
                values = json.loads(line)
                yield Stored(self.folder / _name(values["number"]), values["at"])

    def remove(self) -> None:
        """Delete the folder with all that was put into it."""
        for stored in self.pictures():
            stored.path.unlink(missing_ok=True)
        self._manifest.unlink()
        self.folder.rmdir()

    def path(self, item: Item) -> Path:
        return self.folder / _name(item.number)

    def _line(self, line: bytes, item: Item) -> dict[str, Any] | None:
        """The line of `item`, if its picture is here and whole."""
        try:
            values = json.loads(line)
            same = values["number"] == item.number and values["frame"] == item.frame
            if not same or not isinstance(values["fingerprint"], str) or values["at"] != item.at:
                return None
            content = self.path(item).read_bytes()
        except (ValueError, KeyError, TypeError, FileNotFoundError):
            return None
        return values if digest(content) == values["sha256"] else None


def _name(number: int) -> str:
    return f"{number:06d}.jpg"

"""The folder of the recordings: names, a list, deletion. Any thread; every call waits for the disk.

A recording NAME consists of NAME.mp4 and its session, NAME.jsonl.gz; the session of a program that
was killed is still NAME.jsonl. Where input pictures are kept, they are in NAME.sources. Only names
that this program gives are ever listed, opened or deleted.
"""

from __future__ import annotations

import os
import re
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from turbostream.sinks import source_file
from turbostream.sinks.fragments import Length, measure
from turbostream.sinks.session import compress
from turbostream.stream.recording import NoSuchRecording, RecordingEntry, RecordingError

NAME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9]{6}(-[0-9]{1,3})?")
VIDEO, SESSION, PLAIN, SOURCES = ".mp4", ".jsonl.gz", ".jsonl", source_file.SUFFIX
UNFINISHED = ".jsonl.gz.tmp"  # what a program that was killed during compression leaves
MOST_A_SECOND = 999  # names


class Recordings:
    """Those in `folder`, which need not exist."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()  # of compression and deletion
        self._lengths: dict[str, tuple[int, int, Length]] = {}  # name -> (size, mtime, length)

    def new_name(self) -> str:
        """The name of a recording that begins now; makes the folder. Raises RecordingError."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except (FileExistsError, NotADirectoryError):
            raise RecordingError(
                f"{self.folder} is not a folder: remove it, or give another RECORDINGS_DIR."
            ) from None
        except OSError as error:
            raise RecordingError(self.refusal(error)) from None
        base = time.strftime("%Y-%m-%d-%H%M%S")
        for number in range(1, MOST_A_SECOND):
            name = base if number == 1 else f"{base}-{number}"
            if not any(True for _ in self._files(name)):
                return name
        raise RecordingError("Too many recordings began within this second; start it again.")

    def refusal(self, error: OSError) -> str:
        """Why nothing can be written to the folder and what to do, in one sentence."""
        return (
            f"Nothing can be recorded to {self.folder} ({error.strerror or error}); make room or "
            "give the permission, or give another RECORDINGS_DIR."
        )

    def entries(self) -> list[RecordingEntry]:
        """The newest first. Raises RecordingError."""
        try:
            videos = [file for file in self.folder.iterdir() if file.suffix == VIDEO]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RecordingError(
                f"The recordings in {self.folder} cannot be listed ({error.strerror}); give "
                "another RECORDINGS_DIR."
            ) from None
        found = []
        videos = [file for file in videos if NAME.fullmatch(file.stem)]
        for file in sorted(videos, key=lambda file: _order(file.stem), reverse=True):
            with suppress(OSError):  # deleted meanwhile, or not readable
                found.append(self._entry(file))
        return found

    def path(self, file_name: str) -> Path:
        """The file NAME.mp4, NAME.jsonl.gz or NAME.sources. A session that is still plain is
        compressed first, so it must not be in progress. Raises NoSuchRecording and
        RecordingError."""
        name, dot, rest = file_name.partition(".")
        file = self.folder / file_name
        if not NAME.fullmatch(name) or dot + rest not in (VIDEO, SESSION, SOURCES):
            raise NoSuchRecording(_no_such(file_name))
        if dot + rest == SESSION:
            with self._lock:
                self._compress(name)
        if not _is_file(file):
            raise NoSuchRecording(_no_such(file_name))
        return file

    def delete(self, name: str) -> None:
        """Raises NoSuchRecording and RecordingError."""
        with self._lock:
            files = list(self._files(name)) if NAME.fullmatch(name) else []
            if not files:
                raise NoSuchRecording(_no_such(name))
            try:
                for file in files:
                    file.unlink(missing_ok=True)
            except OSError as error:
                raise RecordingError(
                    f"The recording {name} cannot be deleted ({error.strerror}); check the "
                    f"permissions of {self.folder}."
                ) from None
        self._lengths.pop(name, None)

    def video(self, name: str) -> Path:
        return self.folder / (name + VIDEO)

    def plain(self, name: str) -> Path:
        return self.folder / (name + PLAIN)

    def sources(self, name: str) -> Path:
        return self.folder / (name + SOURCES)

    def total_bytes(self) -> int:
        """What all recordings take on the disk, sessions included; raises OSError."""
        total = 0
        for file in self.folder.iterdir():
            if NAME.fullmatch(file.name.partition(".")[0]):
                with suppress(FileNotFoundError):  # deleted meanwhile
                    total += file.lstat().st_size
        return total

    def _compress(self, name: str) -> None:
        """Compress a session that is still plain. Under the lock: others that want it wait."""
        if _is_file(self.folder / (name + SESSION)) or not _is_file(self.plain(name)):
            return
        try:
            compress(self.plain(name))
        except OSError as error:
            raise RecordingError(self.refusal(error)) from None

    def _entry(self, video: Path) -> RecordingEntry:
        name, found = video.stem, video.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise FileNotFoundError
        size, changed, length = self._lengths.get(name, (-1, -1, Length(0.0, 0)))
        if (size, changed) != (found.st_size, found.st_mtime_ns):
            length = measure(video)
            self._lengths[name] = found.st_size, found.st_mtime_ns, length
        session = any(_is_file(self.folder / (name + end)) for end in (SESSION, PLAIN))
        return {
            "name": name,
            "seconds": round(length.seconds, 3),
            "bytes": found.st_size,
            "frames": length.frames,
            "session": session,
        }

    def _files(self, name: str) -> Iterator[Path]:
        """The video last: without the others it can be played, and they alone are not listed."""
        for end in (SOURCES, UNFINISHED, PLAIN, SESSION, VIDEO):
            file = self.folder / (name + end)
            if os.path.lexists(file):
                yield file


def _order(name: str) -> tuple[str, int]:
    """2026-11-27-101500-10 comes after 2026-11-27-101500-9."""
    second = "-".join(name.split("-")[:4])
    return second, int(name.removeprefix(second)[1:] or 1)


def _is_file(path: Path) -> bool:
    """Whether it is a regular file, and no link to one."""
    return path.is_file() and not path.is_symlink()


def _no_such(name: str) -> str:
    return f"There is no recording {name[:60]!r}; GET /recordings lists them."

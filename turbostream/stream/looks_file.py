"""The file of the looks, the setlist and the mappings in STATE_DIR, one for each SERVER_PORT.

A write is atomic, and never replaces a file that could not be read: that one is renamed first. Any
thread except gevent's: it waits for the disk.
"""

from __future__ import annotations

import logging
import os
from datetime import datetime
from pathlib import Path

from turbostream.stream import looks_json, state_folder
from turbostream.stream.looks_json import Content
from turbostream.stream.scene_checks import SceneError
from turbostream.stream.state_folder import UntrustedFile

log = logging.getLogger(__name__)


class NotKept(Exception):
    """One sentence on why a change of the looks or the setlist could not be written."""


def file_for(folder: Path, port: int) -> Path | None:
    """The file of the server on `port`; None for port 0, which differs at each start."""
    return folder / f"looks-{port}.json" if port else None


def read(file: Path) -> Content:
    """The content of `file`, empty if there is none. Raises SceneError with one clause if it cannot
    be used."""
    try:
        return looks_json.from_json(state_folder.read_json(file, looks_json.MOST_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        return Content()
    except UntrustedFile as error:
        raise SceneError(f"it {error}") from None
    except OSError as error:
        raise SceneError(f"{error.strerror}") from None


def load(file: Path) -> Content:
    """`read`; if the file cannot be used, logs one line, renames the file and returns empty
    content."""
    state_folder.remove_unfinished(file)
    try:
        return read(file)
    except SceneError as error:
        why = str(error).removesuffix(".")
    aside = _unused_name(file)
    try:
        file.rename(aside)
    except OSError as error:
        log.warning(
            "[looks] %s is not used (%s) and could not be renamed (%s).", file, why, error.strerror
        )
    else:
        log.warning("[looks] %s is not used (%s); it is kept as %s.", file, why, aside.name)
    return Content()


def write(file: Path, content: Content) -> None:
    """Raises NotKept if it cannot be written and SceneError if it would be too large; the old file
    stays then."""
    text = looks_json.to_text(content)
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        state_folder.write(file, text)
    except OSError as error:
        raise NotKept(
            f"STATE_DIR cannot be written ({error.strerror}), so nothing was changed; make room or "
            "give another STATE_DIR."
        ) from None


def _unused_name(file: Path) -> Path:
    stamp = f"{file.name}.damaged-{datetime.now():%Y%m%d-%H%M%S}"
    names = (file.with_name(stamp + more) for more in ("", *(f".{n}" for n in range(1, 1000))))
    return next(name for name in names if not os.path.lexists(name))

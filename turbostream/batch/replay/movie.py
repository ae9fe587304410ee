"""The video of a replay: H.264 in MP4, with the time of each picture.

Written after all pictures are painted, beside its name and moved there when it is complete, so that
an interruption costs no picture. Runs on the caller's thread; imports PyAV when it is called.
"""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Iterable
from pathlib import Path

from turbostream.batch.prompts import BatchError
from turbostream.batch.replay.store import Stored


def check(out: Path) -> None:
    """Raise BatchError for a video that could not be written, before anything is painted."""
    if importlib.util.find_spec("av") is None:
        raise BatchError("PyAV is not installed, which videos need; run ./setup.sh again.")
    if out.exists() or out.is_symlink():
        raise BatchError(f"{out} exists; give another --out, or delete it.")
    if not out.parent.is_dir():
        raise BatchError(f"There is no folder {out.parent}; create it, or give another --out.")


def write(out: Path, pictures: Iterable[Stored]) -> None:
    """The video of `pictures`, at least one, in `out`. Raises BatchError and OSError."""
    import av

    from turbostream.sinks.encoder import QUALITY, Encoder, PictureError, size_of

    pictures = iter(pictures)
    first = next(pictures)
    unfinished = out.with_name(f"{out.name}.tmp")
    try:
        # faststart: the index comes first, so that a browser plays it while it loads.
        options = {"movflags": "faststart"}
        with av.open(str(unfinished), "w", format="mp4", options=options) as container:
            encoder = Encoder(container, size_of(first.path.read_bytes()), QUALITY)
            for stored in itertools.chain((first,), pictures):
                encoder.add(stored.path.read_bytes(), stored.at)
            encoder.finish()
        unfinished.replace(out)
    except PictureError as error:
        raise BatchError(str(error)) from error
    except av.FFmpegError as error:
        raise OSError(error.errno, error.strerror, str(unfinished)) from error
    finally:
        unfinished.unlink(missing_ok=True)

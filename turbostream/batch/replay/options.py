"""The options of a replay, and what they change of the settings. Pure; any thread."""

from __future__ import annotations

import argparse
import math
import re
from dataclasses import dataclass
from pathlib import Path

from turbostream.batch.prompts import SIZES, BatchError

MOST_FPS = 1000.0
MOST_BATCH = 64
VIDEO = ".mp4"
# what the settings of realtime_stream.py call the same
SETTINGS = {"model": "--model-id", "quality": "--jpeg-quality"}
ONLY_HERE = ("size", "repaint", "fps", "start", "end", "batch", "replay_out", "model", "quality")


@dataclass(frozen=True)
class Options:
    """size: (width, height) in pixels, or None: as recorded. repaint: whether the model paints at
    that size. fps: pictures a second, or None: those of the show at their times. start, end: in
    seconds since the first frame. batch: the most shots of one submission, 0 for the engine's own
    limit, or None: as in the show."""

    session: Path
    out: Path
    size: tuple[int, int] | None = None
    repaint: bool = False
    fps: float | None = None
    start: float = 0.0
    end: float = math.inf
    batch: int | None = None

    @property
    def is_video(self) -> bool:
        return self.out.suffix.lower() == VIDEO

    @property
    def identity(self) -> dict[str, object]:
        """What decides the pictures; a folder continues only a replay with the same."""
        return {
            "size": self.size and list(self.size),
            "repaint": self.repaint,
            "fps": self.fps,
            "from": self.start,
            "to": None if math.isinf(self.end) else self.end,
        }


def add_to(parser: argparse.ArgumentParser) -> None:
    replay = parser.add_argument_group(
        "replay of a recorded session",
        "By default each picture is painted with the model, decoder, quality and batch size of the "
        "show, and is then the same byte for byte where the fingerprint is: the same versions on "
        "the same kind of device. Another size, rate, model, decoder or quality gives other bytes, "
        "and another batch size may change the last bits. The end of the run tells which it was.",
    )
    replay.add_argument("--replay", type=Path, metavar="SESSION", help="a .jsonl.gz or .jsonl file")
    replay.add_argument(
        "--out",
        dest="replay_out",
        type=Path,
        metavar="OUT",
        help="show.mp4, or a folder for numbered pictures",
    )
    replay.add_argument(
        "--size",
        metavar="WxH",
        help="another size: painted at the size of the show and resampled, so that everything "
        "keeps its place; what a frame starts from is fitted to the size that is painted",
    )
    replay.add_argument(
        "--repaint",
        action="store_true",
        help="let the model paint at --size itself, from the same coarse noise: more detail, but a "
        "model far from its own size may repeat or move what it paints",
    )
    replay.add_argument(
        "--fps",
        metavar="N",
        help="N pictures a second, each painted for its own time from the scenes of the session; "
        "where every frame had new noise, each picture has that of the frame shown at its time, "
        "and in a feedback each starts from one as old as in the show",
    )
    replay.add_argument(
        "--from",
        dest="start",
        metavar="T",
        help="begin T after the first frame: seconds or mm:ss; within a feedback, the frames since "
        "its beginning are painted first",
    )
    replay.add_argument("--to", dest="end", metavar="T", help="end T after the first frame")
    replay.add_argument(
        "--batch",
        metavar="N",
        help="N pictures at once, or `full`: faster on a GPU, but not exact (default: as in the "
        "show where pictures can be the same, else full)",
    )
    replay.add_argument("--model", metavar="X", help="another MODEL_ID than that of the show")
    replay.add_argument("--quality", metavar="N", help="another JPEG_QUALITY")


def from_command_line(given: argparse.Namespace) -> Options | None:
    """The options of a replay; None where none is asked for. Raises BatchError with a sentence."""
    if given.replay is None:
        for name in ONLY_HERE:
            if getattr(given, name) not in (None, False):
                option = {"start": "from", "end": "to", "replay_out": "out"}.get(name, name)
                raise BatchError(f"--{option} belongs to a replay; give --replay SESSION as well.")
        return None
    if given.replay_out is None:
        raise BatchError("Give --out as well: show.mp4, or a folder for the pictures.")
    options = Options(
        given.replay,
        given.replay_out,
        None if given.size is None else _size(given.size),
        given.repaint,
        None if given.fps is None else _fps(given.fps),
        0.0 if given.start is None else _time("--from", given.start),
        math.inf if given.end is None else _time("--to", given.end),
        None if given.batch is None else _batch(given.batch),
    )
    if options.end <= options.start:
        raise BatchError("--to must be after --from.")
    if options.repaint and options.size is None:
        raise BatchError("--repaint needs --size.")
    return options


def settings_of(given: argparse.Namespace) -> list[str]:
    """The options that are settings under another name."""
    pairs = ((option, getattr(given, name)) for name, option in SETTINGS.items())
    return [f"{option}={value}" for option, value in pairs if value is not None]


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,5})[xX]([0-9]{1,5})", text)
    width, height = map(int, found.groups()) if found else (0, 0)
    if width not in SIZES or height not in SIZES:
        raise BatchError(
            f"--size must be WIDTHxHEIGHT such as 1024x768, each a multiple of {SIZES.step} from "
            f"{SIZES[0]} to {SIZES[-1]}, not {text[:40]!r}."
        )
    return width, height


def _fps(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.1 <= value <= MOST_FPS:
        raise BatchError(f"--fps must be a number from 0.1 to {MOST_FPS:g}, not {text[:40]!r}.")
    return value


def _time(option: str, text: str) -> float:
    if not re.fullmatch(r"([0-9]{1,4}:){0,2}[0-9]{1,8}(\.[0-9]{1,9})?", text):
        raise BatchError(
            f"{option} must be seconds or mm:ss, such as 90 or 1:30, not {text[:40]!r}."
        )
    seconds = 0.0
    for part in text.split(":"):
        seconds = seconds * 60 + float(part)
    return seconds


def _batch(text: str) -> int:
    if text == "full":
        return 0
    if not re.fullmatch("[0-9]{1,3}", text) or not 1 <= int(text) <= MOST_BATCH:
        raise BatchError(f"--batch must be `full` or 1 to {MOST_BATCH}, not {text[:40]!r}.")
    return int(text)

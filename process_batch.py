#!/usr/bin/env python3
"""Paint a file of prompts, or a recorded session again: numbered pictures or a video.

    python process_batch.py [prompts.txt [pictures/]] [--price 0.45] [realtime_stream.py's settings]
    python process_batch.py --replay SESSION --out show.mp4 [--size 1024x1024] [--fps 60]

By default it reads prompts.txt in the current folder and paints into pictures/ beside it. The file
has one prompt per line, or JSON lines such as {"prompt": "a red heart", "seed": 7, "width": 512};
empty lines and lines that begin with # are ignored. Run again, it continues where it was
interrupted, and so does a replay. Wiring only; turbostream/batch/ does the work.
"""

from __future__ import annotations

import os
import sys

from turbostream import release

release.restart(__name__, "process_batch.py", sys.argv[1:], os.environ)  # first, for any python3

import argparse  # noqa: E402
import logging  # noqa: E402
import signal  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

from turbostream.batch import replay  # noqa: E402
from turbostream.settings import ROWS  # noqa: E402

if TYPE_CHECKING:
    from turbostream.stream.engine_api import Engine, Resolve


class Ended(SystemExit):
    """A signal ended the program."""


def heed_signals() -> None:
    """SIGTERM and SIGHUP end the program as Ctrl-C does; an ignored one (nohup) stays ignored."""

    def end(number: int, _: object) -> None:
        raise Ended(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, end)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="process_batch.py",
        description="Paint a file of prompts: numbered pictures and a manifest. Or, with --replay, "
        "paint a recorded session again.",
        epilog="All settings of realtime_stream.py work here too, such as --model-id or --seed.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "prompts",
        type=Path,
        nargs="?",
        default=Path("prompts.txt"),
        help="one prompt per line, or JSON lines with seed and size (default: %(default)s)",
    )
    parser.add_argument(
        "out",
        type=Path,
        nargs="?",
        default=Path("pictures"),
        help="the folder for the pictures and manifest.jsonl (default: %(default)s)",
    )
    parser.add_argument("--price", type=float, help="dollars an hour, for the summary's cost")
    replay.add_to(parser)
    for name in ROWS:  # so that the value of a setting is not taken for the file of prompts
        parser.add_argument(_option(name), dest=name, help=argparse.SUPPRESS)
    return parser


def _option(name: str) -> str:
    return "--" + name.lower().replace("_", "-")


def settings_among(options: argparse.Namespace) -> list[str]:
    """The settings among the options, as a command line of settings."""
    given = ((name, getattr(options, name)) for name in ROWS)
    return [f"{_option(name)}={value}" for name, value in given if value is not None]


def paint_prompts(options: argparse.Namespace, argv: Sequence[str]) -> int:
    from turbostream import batch

    engine = EngineChoice(argv)
    settings = engine.settings
    jobs = batch.read_jobs(options.prompts, settings.seed, settings.width, settings.height)
    with batch.busy(settings.state_folder):
        painter = batch.Batch(options.out, sys.stderr, engine.pipeline)
        return painter.paint(jobs, engine.open, options.price)


def paint_again(options: replay.Options, argv: Sequence[str], price: float | None) -> None:
    from turbostream.batch import busy
    from turbostream.batch.screen import Screen
    from turbostream.sinks.session_reader import read_session

    screen = Screen(sys.stderr)
    plan = replay.Plan(read_session(options.session), options, screen.note)
    engine = EngineChoice([*replay.settings_for(plan), *argv])
    with busy(engine.settings.state_folder):
        replay.Replay(options, plan, str(engine.pipeline), screen).paint(engine.open, price)


class EngineChoice:
    """The settings in `argv` and the environment, and the engine that they choose."""

    def __init__(self, argv: Sequence[str]) -> None:
        import realtime_stream as stream  # for the guide's four settings
        from turbostream.batch.recipe import pipeline_of
        from turbostream.engine import weights
        from turbostream.settings import load

        names = ("TARGET_FPS", "INITIAL_PROMPT", "MODEL_ID", "SERVER_PORT")
        self.settings, _ = load({name: getattr(stream, name) for name in names}, argv, os.environ)
        self._weights = weights.find(
            self.settings.model_id, self.settings.device, self.settings.many_steps
        )
        self.pipeline = pipeline_of(
            *(self._weights.repository, self._weights.revision, self._weights.folder),
            *(self.settings.decoder, self.settings.jpeg_quality),
        )

    def open(self, resolve: Resolve | None = None) -> Engine:
        from turbostream.engine import open_engine
        from turbostream.start_screen import StartScreen

        report = StartScreen(sys.stderr, "[batch]")
        return open_engine(self.settings, self._weights, report, resolve)


def main(argv: Sequence[str]) -> int:
    """0: all painted; 1: some failed; 2: the user must change something; 130, 143 or 129:
    interrupted by SIGINT, SIGTERM or SIGHUP."""
    options, unknown = parser().parse_known_args(argv)
    rest = [*settings_among(options), *unknown]
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    heed_signals()

    from turbostream import batch
    from turbostream.settings import SettingError
    from turbostream.sinks.session_lines import SessionError
    from turbostream.stream.engine_api import EngineUnavailable, EngineUnusable

    try:
        wanted = replay.from_command_line(options)
        if wanted is None:
            return paint_prompts(options, rest)
        paint_again(wanted, [*replay.settings_of(options), *rest], options.price)
        return 0
    except (SettingError, SessionError, EngineUnusable, batch.BatchError) as error:
        logging.error("%s", error)
        return 2
    except EngineUnavailable as error:
        logging.error("%s", error)
        return 1
    except (KeyboardInterrupt, Ended) as error:
        logging.error("Interrupted; the same command continues from here.")
        return error.code if isinstance(error, Ended) and isinstance(error.code, int) else 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

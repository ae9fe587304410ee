#!/usr/bin/env python3
"""Paint a file of prompts: numbered pictures and a manifest, at the engine's full batch.

    python process_batch.py [prompts.txt [pictures/]] [--price 0.45] [realtime_stream.py's settings]

By default it reads prompts.txt in the current folder and paints into pictures/ beside it. The file
has one prompt per line, or JSON lines such as {"prompt": "a red heart", "seed": 7, "width": 512};
empty lines and lines that begin with # are ignored. Run again, it continues where it was
interrupted. Wiring only; turbostream/batch/ does the work.
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
        description="Paint a file of prompts: numbered pictures and a manifest.",
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
    return parser


def main(argv: Sequence[str]) -> int:
    """0: all painted; 1: some failed; 2: the user must change something; 130, 143 or 129:
    interrupted by SIGINT, SIGTERM or SIGHUP."""
    options, rest = parser().parse_known_args(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    heed_signals()

    import realtime_stream as stream  # for the guide's four settings
    from turbostream import batch
    from turbostream.batch.recipe import pipeline_of
    from turbostream.engine import open_engine, weights
    from turbostream.settings import SettingError, load
    from turbostream.start_screen import StartScreen
    from turbostream.stream.engine_api import EngineUnavailable, EngineUnusable

    names = ("TARGET_FPS", "INITIAL_PROMPT", "MODEL_ID", "SERVER_PORT")
    try:
        settings, _ = load({name: getattr(stream, name) for name in names}, rest, os.environ)
        jobs = batch.read_jobs(options.prompts, settings.seed, settings.width, settings.height)
        found = weights.find(settings.model_id, settings.device)
        pipeline = pipeline_of(
            *(found.model_id, found.revision, found.folder),
            *(settings.decoder, settings.jpeg_quality),
        )
        with batch.busy(settings.state_folder):
            painter = batch.Batch(options.out, sys.stderr, pipeline)
            return painter.paint(
                jobs,
                lambda: open_engine(settings, found, StartScreen(sys.stderr, "[batch]")),
                options.price,
            )
    except (SettingError, EngineUnusable, batch.BatchError) as error:
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

"""The command line: one option for each setting, and the flags.

Called at start, in the main thread, before anything slow is imported. Knows no setting by name
except in the text of --help.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import NoReturn


class SettingError(ValueError):
    """One sentence about a setting that cannot be used; the entry point prints it and exits 2."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SettingError(f"{message[0].upper()}{message[1:]}; --help lists the options.")


def parser(rows: Iterable[tuple[str, str, str, str]]) -> argparse.ArgumentParser:
    """rows: (name, default, what is accepted, help) of each setting, as text. The parser raises
    SettingError for what it does not know; values are not checked."""
    found = _Parser(
        prog="realtime_stream.py",
        description="An endless stream of pictures, painted live from the words you type.",
        epilog="Each setting can also be given in the environment, e.g. TARGET_FPS=15. "
        "For yes and no, true and false, on and off, 1 and 0 are accepted too. INITIAL_PROMPT "
        "applies to a first start; later starts continue where the last one ended. To start "
        "fresh, delete scene-PORT.json (words, noise, place in the setlist) and looks-PORT.json "
        "(looks, setlist) in STATE_DIR, or give another STATE_DIR.",
        allow_abbrev=False,
    )
    found.add_argument("--check", action="store_true", help="paint one frame, say so and exit")
    found.add_argument("--record", action="store_true", help="record from the start on")
    found.add_argument(
        "--share",
        choices=("watch", "own"),
        const="watch",
        nargs="?",
        help="print the link with which others may watch (or, with 'own', do all) and exit",
    )
    for name, default, accepted, help_text in rows:
        found.add_argument(
            "--" + name.lower().replace("_", "-"),
            dest=name,
            metavar="X",
            help=f"{help_text} ({accepted}; default {default})".replace("%", "%%"),
        )
    return found

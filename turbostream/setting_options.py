"""The command line: one option for each setting, and the flags; and what a setting consists of.

Called at start, in the main thread, before anything slow is imported. Knows no setting by name
except in the text of --help.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable
from dataclasses import MISSING
from typing import Any, NoReturn

from turbostream.setting_checks import Check, Refusal


class SettingError(ValueError):
    """One sentence about a setting that cannot be used; the entry point prints it and exits 2."""


def row(check: Check, help: str, default: Any = MISSING) -> Any:
    """One setting. Without a default it is one of the guide's four, whose defaults are at the top
    of `realtime_stream.py` and nowhere else."""
    return dataclasses.field(default=default, metadata={"check": check, "help": help})


def checked(name: str, check: Check, given: str, origin: str, secret: bool) -> Any:
    """The value of the setting `name`; raises SettingError. origin: of what was given, in words.
    secret: it may not be quoted."""
    try:
        return check(given)
    except ValueError as error:
        quoted = given if len(given) <= 60 else given[:57] + "..."
        why = f": {error}" if isinstance(error, Refusal) else ""
        value = "the value" if secret else repr(quoted)
        raise SettingError(
            f"{name} must be {check.__doc__}, not {value} (given by {origin}){why}."
        ) from None


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
    found.add_argument(
        "--channel",
        metavar="NAME",
        help="with --share: the link opens this channel only, and keeps to its name: also before "
        "the channel is made, and after it is made again",
    )
    for name, default, accepted, help_text in rows:
        found.add_argument(
            "--" + name.lower().replace("_", "-"),
            dest=name,
            metavar="X",
            help=f"{help_text} ({accepted}; default {default})".replace("%", "%%"),
        )
    return found

"""A program that was typed by hand becomes the one that its folder's interpreter runs.

On an instance deploy/host.sh writes the release's interpreter and settings into its .deploy folder;
elsewhere setup.sh makes .venv. Imported before anything else, also by an older Python than the rest
needs, so it keeps to what Python 3.8 knows.
"""

import importlib.util
import os
import sys
from pathlib import Path
from typing import Mapping, Sequence  # noqa: UP035

RELEASE = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
NEEDED = ("torch", "flask", "gevent", "PIL")
# What stands in the environment wins over the release's settings. The stream that serves keeps its
# port: whoever types a second one is told that it is taken, unless HANDOVER says otherwise.
SCRIPT = """
given=$(export -p)
. "$1/.deploy/settings"
HANDOVER=no
eval "$given"
export HANDOVER TURBOSTREAM_RELEASE=$1
exec "$2" "$1/$3" "${@:4}"
"""


def restart(name: str, program: str, argv: Sequence[str], environ: Mapping[str, str]) -> None:
    """Become `program` under its folder's interpreter, whichever python3 was typed.

    `name` is the caller's `__name__`: nothing happens where it is imported, and nothing where this
    is that interpreter already. Ends with status 2 and one sentence where no interpreter has what
    the program needs. `argv` is without the program.
    """
    if name != "__main__" or environ.get("TURBOSTREAM_RELEASE"):
        return
    chosen = RELEASE / ".deploy/python"
    if chosen.is_file():
        python = chosen.read_text(encoding="utf-8").strip()
        os.execvp("bash", ["bash", "-c", SCRIPT, "bash", str(RELEASE), python, program, *argv])
    lacks = lacking()
    if not lacks:
        return
    made = RELEASE / ".venv/bin/python"
    if made.is_file() and Path(sys.prefix).resolve() != made.parent.parent.resolve():
        os.execv(str(made), [str(made), str(RELEASE / program), *argv])
    sys.stderr.write(
        f"{program} needs {lacks}, and {sys.executable} has not got it: "
        f"run {RELEASE / 'setup.sh'} first, then {program} again.\n"
    )
    sys.exit(2)


def lacking() -> str:
    """What this interpreter lacks, in words; empty where it has everything."""
    if sys.version_info < OLDEST:
        return "Python {}.{} or newer".format(*OLDEST)
    return ", ".join(name for name in NEEDED if importlib.util.find_spec(name) is None)

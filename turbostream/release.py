"""Restarts an entry point that was started by hand under its folder's own interpreter.

On an instance deploy/host.sh writes the release's interpreter and settings into its .deploy folder;
elsewhere setup.sh creates .venv. This is imported before anything else, possibly by an older Python
than the rest needs, so it must use only what Python 3.8 has.
"""

import importlib.util
import os
import sys
from pathlib import Path
from typing import Mapping, Sequence  # noqa: UP035

RELEASE = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
NEEDED = ("torch", "flask", "gevent", "PIL")
# Variables in the environment take precedence over the release's settings. HANDOVER=no lets the
# running server keep its port: a second one reports that the port is taken, unless HANDOVER is set.
SCRIPT = """
given=$(export -p)
. "$1/.deploy/settings"
HANDOVER=no
eval "$given"
export HANDOVER TURBOSTREAM_RELEASE=$1
exec "$2" "$1/$3" "${@:4}"
"""


def restart(name: str, program: str, argv: Sequence[str], environ: Mapping[str, str]) -> None:
    """Replace this process with `program` under its folder's interpreter, whichever python3 runs.

    name: the caller's `__name__`; nothing happens if it was imported, or if this already is that
    interpreter. argv: the arguments without the program. Exits with status 2 and one sentence if no
    interpreter has the packages that the program needs.
    """
    if name != "__main__" or environ.get("TURBOSTREAM_RELEASE"):
        return
    recorded = RELEASE / ".deploy/python"
    if recorded.is_file():
        python = recorded.read_text(encoding="utf-8").strip()
        os.execvp("bash", ["bash", "-c", SCRIPT, "bash", str(RELEASE), python, program, *argv])
    missing = missing_requirements()
    if not missing:
        return
    venv = RELEASE / ".venv/bin/python"
    if venv.is_file() and Path(sys.prefix).resolve() != venv.parent.parent.resolve():
        os.execv(str(venv), [str(venv), str(RELEASE / program), *argv])
    sys.stderr.write(
        f"{program} needs {missing}, which {sys.executable} does not have: "
        f"run {RELEASE / 'setup.sh'} first, then {program} again.\n"
    )
    sys.exit(2)


def missing_requirements() -> str:
    """What this interpreter lacks, as text; empty if it has everything."""
    if sys.version_info < OLDEST:
        return "Python {}.{} or newer".format(*OLDEST)
    return ", ".join(name for name in NEEDED if importlib.util.find_spec(name) is None)

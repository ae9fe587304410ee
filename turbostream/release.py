"""On an instance: a program typed by hand becomes the release's own, with its settings.

deploy/host.sh writes both into the release's .deploy folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

RELEASE = Path(__file__).resolve().parent.parent
SCRIPT = '. "$1/.deploy/settings"; TURBOSTREAM_RELEASE=$1 exec "$2" "$1/$3" "${@:4}"'


def restart(program: str, argv: Sequence[str], environ: Mapping[str, str]) -> None:
    """Become the release's `program` under its interpreter, whichever python3 was typed.

    Returns where there is nothing to become: on a laptop, or when this is it already.
    """
    chosen = RELEASE / ".deploy/python"
    if not chosen.is_file() or environ.get("TURBOSTREAM_RELEASE"):
        return
    python = chosen.read_text(encoding="utf-8").strip()
    os.execvp("bash", ["bash", "-c", SCRIPT, "bash", str(RELEASE), python, program, *argv])

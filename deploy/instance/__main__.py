"""`python3 deploy/instance PROGRAM ARGUMENTS`, as guard.sh and loop.sh call it with their own path.

The programs that run on the instance and must survive a full disk, a lost folder and the end of the
release that they came with. Only the standard library of Python 3.8: nothing is installed yet.
"""

from __future__ import annotations

import sys
from pathlib import Path

import guard_commands
import loop

if __name__ == "__main__":
    program = sys.argv[1]
    main = {"guard.sh": guard_commands.main, "loop.sh": loop.main}[Path(program).name]
    sys.exit(main(program, sys.argv[2:]))

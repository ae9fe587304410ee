"""`python3 deploy/instance PROGRAM ARGUMENTS`, as guard.sh and loop.sh call it with their own path.

What runs on the instance and has to outlive a full disk, a lost folder and the release that
brought it. The standard library of Python 3.8 and nothing else: it runs before anything is
installed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import arm
import loop

if __name__ == "__main__":
    program = sys.argv[1]
    main = {"guard.sh": arm.main, "loop.sh": loop.main}[Path(program).name]
    sys.exit(main(program, sys.argv[2:]))

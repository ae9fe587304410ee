"""Opening the engine as the program does, again and again."""

from __future__ import annotations

import os
import subprocess
import sys

OPENED_TWICE = """
import gc
from turbostream.engine import open_engine, weights
from turbostream.settings import load

defaults = {"TARGET_FPS": 30, "INITIAL_PROMPT": "red", "MODEL_ID": "demo", "SERVER_PORT": 8000}
settings, _ = load(defaults, [], {"DEVICE": "cpu"})
for _ in range(2):
    open_engine(settings, weights.find("demo", "cpu"), lambda progress: None).close()
    print(gc.isenabled(), gc.get_freeze_count())
"""


def test_only_what_was_imported_is_kept_from_the_collector() -> None:
    """A new engine follows one that failed, whose memory has to come back."""
    done = subprocess.run(
        [sys.executable, "-c", OPENED_TWICE], env=os.environ | {"TQDM_DISABLE": "1"},
        capture_output=True, text=True, timeout=250, check=True,
    )  # fmt: skip
    first, second = done.stdout.splitlines()
    assert first == second
    assert first.startswith("True ")

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

LIGHTLY = """
import hashlib, sys
from turbostream.engine import {first}open_engine, weights
from turbostream.settings import load
from turbostream.stream.scene import Shot

defaults = {{"TARGET_FPS": 30, "INITIAL_PROMPT": "red", "MODEL_ID": "demo", "SERVER_PORT": 8000}}
settings, _ = load(defaults, [], {{"DEVICE": "cpu"}})
engine = open_engine(settings, weights.find("demo", "cpu"), lambda progress: None)
picture = engine.submit([Shot("three yellow stars", 1, 2, 0.5)]).result()[0]
print(hashlib.sha256(picture.jpeg).hexdigest())
heavy = "torch._dynamo", "torch.distributed.tensor", "sympy"
print([name for name in heavy if name in sys.modules])
engine.close()

import torch._dynamo
import torch.distributed.tensor
torch._dynamo.optimize, torch._dynamo.config, torch.distributed.tensor.DTensor
assert torch.distributed.is_available()
assert torch.compile(lambda x: x + 1, backend="eager")(torch.ones(1)).item() == 2
"""

MORE = """
from turbostream.engine import lighter

with lighter.loading():
    import torch._dynamo
    print(torch._dynamo.disable(len) is len)
    import torch._dynamo.config
    print(torch._dynamo.optimize.__module__)
import torch._dynamo
print(torch._dynamo.disable(len) is len)
"""


def test_only_what_was_imported_is_kept_from_the_collector() -> None:
    """A new engine follows one that failed, whose memory has to come back."""
    first, second = _ran(OPENED_TWICE)
    assert first == second
    assert first.startswith("True ")


def test_what_a_start_leaves_out_changes_no_picture_and_can_be_had_afterwards() -> None:
    (light, left_out), (whole, _) = (_ran(LIGHTLY.format(first=first)) for first in ("", "local, "))
    assert light == whole
    assert left_out == "[]"


def test_who_asks_a_stand_in_for_more_gets_the_real_module() -> None:
    assert _ran(MORE) == ["True", "torch._dynamo.eval_frame", "False"]


def _ran(program: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"TQDM_DISABLE": "1"},
        capture_output=True, text=True, timeout=250, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()

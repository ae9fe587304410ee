"""Opens the demo model while a warm-up thread imports what a GPU's first operators import.

A program of its own, for `test_open.py`: the imports of this process must be fresh. The warm-up
is `hardware.warm` with its GPU replaced: the thread starts where the real one starts, and imports
at the moment when diffusers' imports ask for transformers' masks, if it runs by then.
"""

from __future__ import annotations

import importlib
import sys
import threading
import traceback
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

# Imported by torch when an operator is first asked for, by the thread that asks.
LAZILY = ("torch._inductor.config", "torch._dynamo", "sympy", "torch._meta_registrations")
MEETING = "transformers.masking_utils"  # imported by diffusers, and imports torch._dynamo itself

started, go, inside, finished = (threading.Event() for _ in range(4))
problems: list[str] = []


def warm_up() -> None:
    started.set()
    go.wait(60)
    try:
        for name in LAZILY:
            vars(importlib.import_module(name))
            importlib.import_module("torch._meta_registrations").register_meta  # noqa: B018
    except BaseException:
        problems.append(traceback.format_exc())
    finished.set()


class Meeting(MetaPathFinder):
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if threading.current_thread().name == "warm-up":
            inside.set()
        elif name == MEETING:
            go.set()
            if started.is_set():
                inside.wait(20)
        if name != "turbostream.engine.device.hardware":
            return None
        spec = PathFinder.find_spec(name, path)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            module.warm = lambda device: threading.Thread(target=warm_up, name="warm-up").start()

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, Meeting())

from turbostream.engine import open_engine, weights  # noqa: E402
from turbostream.settings import load  # noqa: E402

defaults = {"TARGET_FPS": 30, "INITIAL_PROMPT": "red", "MODEL_ID": "demo", "SERVER_PORT": 8000}
settings, _ = load(defaults, [], {"DEVICE": "cpu"})
open_engine(settings, weights.find("demo", "cpu"), lambda progress: None).close()
assert started.is_set(), "no warm-up was started"
assert finished.wait(60), "the warm-up does not end"
assert not problems, problems[0]

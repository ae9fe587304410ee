"""All torch; see the README beside this file. Importing this package imports no torch."""

from __future__ import annotations

import functools
import gc
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from turbostream.engine.weights import Weights, hub
from turbostream.settings import Settings
from turbostream.stream.engine_api import Engine, EngineUnusable, Report

PACKAGES = ("flask", "gevent", "torch", "diffusers", "transformers", "huggingface_hub")


def open_engine(settings: Settings, weights: Weights, report: Report) -> Engine:
    """An engine after its first picture; raises EngineUnusable. On the thread that will call it."""
    engine: Engine = _opening(settings.device).open_local(settings, weights, report)
    return engine


def check_usable(weights: Weights, device: str) -> None:
    """Refuse what cannot work, before anything is served; EngineUnusable: packages that are not
    installed, weights of another kind, a DEVICE that this machine has not. Only torch knows the
    devices, and takes a second to import: not for `auto` and `cpu`, which are there."""
    for name in PACKAGES:
        if importlib.util.find_spec(name) is None:
            raise EngineUnusable(
                f"{name} is not installed for {sys.executable}; run ./setup.sh, then make run."
            )
    hub.inspect(weights)
    if device in ("cuda", "mps"):
        with _installed():
            from turbostream.engine.device import hardware

        hardware.choose(device)


@contextmanager
def _installed() -> Iterator[None]:
    """Around imports: a package that is not there, or not whole, is not there on the next try."""
    try:
        yield
    except (ImportError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise EngineUnusable(
            f"What paints cannot be imported by {sys.executable} ({reason}); run ./setup.sh again, "
            "and start with make run."
        ) from error


@functools.cache
def _opening(device: str) -> ModuleType:
    """The module that opens, imported with all that it needs; then `device` warms up.

    Not before: torch's packages import each other in circles, and two threads that enter such a
    circle at different points each find the other's half-imported modules. What the GPU's first
    operators import would meet what diffusers imports (torch._dynamo, torch._inductor).

    Torch and diffusers make some million objects that all stay. Walking through them again and
    again is a seventh of a start, and later would be a pause in the stream. Once only: a later
    freeze would keep what an engine that failed has left behind.
    """
    gc.disable()
    try:
        with _installed():
            from turbostream.engine import opening
            from turbostream.engine.device import hardware
    finally:
        gc.freeze()
        gc.enable()
    hardware.warm(device)
    return opening

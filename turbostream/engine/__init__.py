"""All torch; see the README beside this file. Importing this package imports no torch."""

from __future__ import annotations

import gc

from turbostream.engine.weights import Weights
from turbostream.settings import Settings
from turbostream.stream.seam import Engine, Report


def open_engine(settings: Settings, weights: Weights, report: Report) -> Engine:
    """An engine after its first picture; raises EngineUnusable. On the thread that will call it."""
    # Importing torch and diffusers makes some million objects that all stay. Walking through them
    # again and again is a seventh of a start, and later would be a pause in the stream.
    gc.disable()
    try:
        from turbostream.engine.local import open_local
    finally:
        gc.freeze()
        gc.enable()
    return open_local(settings, weights, report)

"""Locating, checking and downloading a model's files. No torch, no diffusers."""

from turbostream.engine.weights.locate import (
    DEMO_FOLDER,
    REVISIONS,
    SD_TURBO,
    Weights,
    checked,
    find,
)

__all__ = ["DEMO_FOLDER", "REVISIONS", "SD_TURBO", "Weights", "checked", "find"]

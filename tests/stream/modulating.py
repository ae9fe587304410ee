"""Scenes with modulators."""

from __future__ import annotations

from typing import Any

from turbostream.stream.scene import Scene

START = Scene.single("one", speed=0.5, seed=3)
TWO = [{"text": "one", "weight": 1}, {"text": "two", "weight": 1}]


def modulated(scene: Scene, *fields: dict[str, Any], at: float = 0.0, **changes: Any) -> Scene:
    """`scene` with the modulators `fields` and other `changes`, from the time `at` on."""
    return scene.changed(at, {"modulators": list(fields), **changes})


def on(parameter: object, **fields: Any) -> dict[str, Any]:
    """The web form of a sine of one beat, to the full, or what `fields` make of it."""
    return {"parameter": parameter, "shape": "sine", "depth": 1.0, "period": 1.0, **fields}

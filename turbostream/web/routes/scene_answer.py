"""The JSON of a scene, as every route that shows or changes it answers. Knows no route."""

from __future__ import annotations

from typing import Any

from turbostream.stream.channel import Change, Channel
from turbostream.stream.scene import Scene

RECIPE = ("seed", "phase")  # with the words they are the recipe of a picture


def scene_answer(
    channel: Channel, change: Change | None = None, with_recipe: bool = True
) -> dict[str, Any]:
    """The scene in force as JSON; with `change`, also the frame after which it is shown."""
    revision = channel.revision  # first: a change meanwhile makes the page ask again
    current, time = channel.snapshot()
    shown = {**shown_scene(current.scene, time, with_recipe), "revision": revision}
    return shown if change is None else {**shown, "frame": change.after}


def shown_scene(scene: Scene, time: float, with_recipe: bool) -> dict[str, Any]:
    """The scene as JSON. with_recipe: whether the visitor may learn what pictures are painted
    from; `time` in seconds."""
    shown = scene.as_dict(time)
    return shown if with_recipe else {name: shown[name] for name in shown if name not in RECIPE}

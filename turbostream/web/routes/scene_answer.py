"""How a scene is answered, by every route that changes it. Knows no route."""

from __future__ import annotations

from typing import Any

from turbostream.stream.channel import Change, Channel


def scene_answer(channel: Channel, change: Change | None = None) -> dict[str, Any]:
    """The scene in force; with a change, after which frame it is shown."""
    now, at = channel.snapshot()
    shown = {**now.scene.as_dict(at), "revision": channel.revision}
    return shown if change is None else {**shown, "frame": change.after}

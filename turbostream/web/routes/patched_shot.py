"""The shot that a patch of the scene would make, and whether the engine can paint it; for the
routes that change the scene or preview a change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from turbostream.stream.channel import Channel
from turbostream.stream.shot import Shot
from turbostream.stream.supervisor import Supervisor

HOW = ("fade_s", "easing")  # fields that say how a patch takes effect, not what it shows


def patched_shot(channel: Channel, supervisor: Supervisor, patch: Mapping[str, Any]) -> Shot:
    """What the next frame would be if `patch` were in force at once. Changes nothing.

    Raises SceneError if the patch is wrong, and ShotError if the engine cannot paint the shot.
    """
    change, now = channel.snapshot()
    what = {name: value for name, value in patch.items() if name not in HOW}
    shot = change.scene.changed(now, what).shot_at(now, channel.last_number + 1)
    supervisor.check(shot)
    return shot

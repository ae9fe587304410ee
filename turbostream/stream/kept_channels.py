"""What one process leaves to the next of the channels beside the default one, as plain JSON.

    [{"name": "left", "made": true, "channel": {"target_fps": 30.0, ...}, "scene": {...}}]

made: by a request; the channels of the setting CHANNELS exist anyway, and only their scenes are
taken from here. The gevent thread resumes; any thread reads.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from turbostream.stream import resume
from turbostream.stream.channel_names import ChannelError
from turbostream.stream.channel_spec import spec_of
from turbostream.stream.channels import Channels
from turbostream.stream.live_channel import LiveChannel
from turbostream.stream.scene_checks import SceneError

log = logging.getLogger(__name__)


def left(channels: Channels) -> list[dict[str, Any]]:
    """All channels but the default one, in their order."""
    return [_left(live) for live in channels if live is not channels.default]


def resume_all(channels: Channels, found: object, restart: bool) -> None:
    """Make the channels that `left` wrote, and put their scenes in force; logs one line for each
    that cannot be. restart: see `resume.resumed`."""
    for one in found if isinstance(found, list) else ():
        try:
            _resume(channels, one, restart)
        except (ChannelError, SceneError) as error:
            name = one.get("name") if isinstance(one, Mapping) else None
            log.warning("[channels] the channel %.40r is not as it was: %s", name, error)


def _left(live: LiveChannel) -> dict[str, Any]:
    change, now = live.channel.snapshot()
    follows = live.spec.follows is not None
    return {
        "name": live.name,
        "made": live.kept,
        "channel": live.spec.as_json(),
        "scene": {} if follows else resume.left(change.scene, live.initial, now),
    }


def _resume(channels: Channels, found: object, restart: bool) -> None:
    if not isinstance(found, Mapping) or not isinstance(found.get("name"), str):
        raise ChannelError("It has no name.")
    name, body = found["name"], found.get("channel")
    live = next((one for one in channels if one.name == name), None)
    if live is None:
        if not found.get("made"):
            return  # CHANNELS does not name it any more
        if not isinstance(body, Mapping):
            raise ChannelError("What it is made from is missing.")
        live = channels.create(spec_of(name, body, channels.spec_of))
    if live is not channels.default and live.spec.follows is None:
        initial = live.initial
        live.channel.resume(lambda now: resume.resumed(found.get("scene"), initial, now, restart))

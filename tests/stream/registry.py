"""A registry of channels over an engine of a test's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.engines import ColourEngine, opens
from tests.stream.running import PATIENCE_S
from turbostream.settings import Settings
from turbostream.stream.channel import Channel
from turbostream.stream.channel_spec import ChannelSpec
from turbostream.stream.channels import Channels
from turbostream.stream.desk import Desk
from turbostream.stream.engine_api import OpenEngine
from turbostream.stream.live_channel import LiveChannel
from turbostream.stream.repertoire import Repertoire
from turbostream.stream.scene import Scene
from turbostream.stream.scene_file import SceneFile
from turbostream.stream.scheduled_channel import ScheduledChannel
from turbostream.stream.supervisor import Supervisor


@contextmanager
def registry(
    folder: Path,
    names: str = "main",
    file: Path | None = None,
    open_engine: OpenEngine | None = None,
    fps: float = 100.0,
) -> Iterator[Channels]:
    """The channels that CHANNELS gives, painted; kept in `file` if there is one."""
    settings = Settings(
        target_fps=fps,
        initial_prompt="first words",
        model_id="demo",
        server_port=0,
        state_dir=folder,
        channels=names,
    )
    channel = Channel(settings.channel_names[0], Scene.single(settings.initial_prompt))
    scheduled = ScheduledChannel(channel, settings.target_fps)
    supervisor = Supervisor([scheduled], open_engine or opens(ColourEngine()))
    repertoire = Repertoire(settings, channel)
    spec = ChannelSpec(channel.name, fps)
    desk = Desk(channel, repertoire, supervisor.check)
    default = LiveChannel(spec, channel, scheduled.meter, repertoire.quantiser, desk, channel.scene)
    channels = Channels(settings, default, repertoire, supervisor)
    for name in settings.channel_names[1:]:
        channels.create(ChannelSpec(name, fps), kept=False)
    keeper = SceneFile(file, channel, channel.scene, None, channels)
    keeper.restore()
    supervisor.start()
    channels.start()
    keeper.start(lambda: True)
    try:
        yield channels
    finally:
        channels.stop(PATIENCE_S)
        keeper.stop(PATIENCE_S)
        assert supervisor.stop(PATIENCE_S)

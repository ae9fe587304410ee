"""The generation thread over an engine of a test's own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.stream.clock import Clock
from turbostream.stream.channel import Channel
from turbostream.stream.engine_api import OpenEngine
from turbostream.stream.frame import Frame
from turbostream.stream.meter import Meter
from turbostream.stream.scene import Scene
from turbostream.stream.scheduled_channel import ScheduledChannel
from turbostream.stream.supervisor import Supervisor

PATIENCE_S = 30.0  # the limit for what happens at once unless the machine is busy


@dataclass
class Running:
    supervisor: Supervisor
    scheduled: Sequence[ScheduledChannel]

    @property
    def channel(self) -> Channel:
        return self.scheduled[0].channel

    @property
    def meter(self) -> Meter:
        return self.scheduled[0].meter


def schedule(
    fps: float, scene: Scene | str = "words", clock: Clock | None = None
) -> ScheduledChannel:
    """A channel of its own, at `fps`; its name is its prompt."""
    scene = Scene.single(scene) if isinstance(scene, str) else scene
    channel = Channel(scene.prompt, scene, clock.monotonic if clock else time.monotonic)
    return ScheduledChannel(channel, fps)


@contextmanager
def running(
    open_engine: OpenEngine,
    fps: float = 100.0,
    clock: Clock | None = None,
    channels: Sequence[ScheduledChannel] = (),
    watched: Sequence[ScheduledChannel] = (),
) -> Iterator[Running]:
    """`channels`, or one at `fps`; those in `watched` are watched from before the start on."""
    channels = channels or [schedule(fps, clock=clock)]
    supervisor = Supervisor(channels, open_engine, clock.monotonic if clock else time.monotonic)
    if clock:
        supervisor._scheduler._wake = clock.wake
    with ExitStack() as viewers:
        for scheduled in watched:
            viewers.enter_context(scheduled.channel.watched())
        supervisor.start()
        try:
            yield Running(supervisor, channels)
        finally:
            assert supervisor.stop(timeout_s=PATIENCE_S)


def wait_until(condition: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.002)


def collect(channel: Channel) -> list[Frame]:
    """The frames that are published from now on."""
    frames: list[Frame] = []
    channel.buffer.listen(frames.append)
    return frames

"""All channels of this process by name. The default one, which is always there, is the first.

Channels are made and removed on gevent's thread; any thread may look them up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

from turbostream.settings import Settings
from turbostream.stream.channel import Channel
from turbostream.stream.channel_names import MOST_CHANNELS, ChannelConflict, unknown
from turbostream.stream.channel_spec import ChannelSpec
from turbostream.stream.cropper import Cropper
from turbostream.stream.desk import Desk
from turbostream.stream.downstream import Downstream
from turbostream.stream.follower import Crop, Follower
from turbostream.stream.follows import Follows
from turbostream.stream.live_channel import LiveChannel
from turbostream.stream.meter import Meter
from turbostream.stream.quantiser import Quantiser
from turbostream.stream.repertoire import ChannelRepertoire, Repertoire
from turbostream.stream.scene import Scene
from turbostream.stream.scene_checks import SceneError
from turbostream.stream.scheduled_channel import ScheduledChannel
from turbostream.stream.source_status import OpenedSources
from turbostream.stream.supervisor import Supervisor

STOP_S = 1.0


class Channels:
    """The registry.

    default: the channel of requests that name none. repertoire: its looks are those of every
    channel.
    """

    def __init__(
        self,
        settings: Settings,
        default: LiveChannel,
        repertoire: Repertoire,
        supervisor: Supervisor,
    ) -> None:
        self.default = default
        self._opened: OpenedSources | None = None
        self.settings = settings
        self._repertoire, self._supervisor = repertoire, supervisor
        self._channels = {default.name: default}  # replaced as a whole, for the other threads
        self._visitors: list[Callable[[LiveChannel], object]] = []
        self._listeners: list[Callable[[], object]] = []
        self._croppers: dict[Channel, Cropper] = {}  # by whom they cut
        self._started = False
        follow = repertoire.collection.changed

        def changed() -> None:
            follow()
            for live in list(self)[1:]:  # its own player tells the default channel
                live.channel.touch()

        repertoire.collection.changed = changed

    def __iter__(self) -> Iterator[LiveChannel]:
        return iter(self._channels.values())

    def __len__(self) -> int:
        return len(self._channels)

    def get(self, name: str | None) -> LiveChannel:
        """None: the default channel. Raises UnknownChannel."""
        if name is None:
            return self.default
        found = self._channels.get(name)
        if found is None:
            raise unknown(name)
        return found

    def visit(self, visitor: Callable[[LiveChannel], object]) -> None:
        """Call `visitor` with each channel, now, and with each that is made later."""
        self._visitors.append(visitor)
        for live in self:
            visitor(live)

    def listen(self, listener: Callable[[], object]) -> None:
        """Call `listener` after a channel was made or removed."""
        self._listeners.append(listener)

    def open(self, sources: OpenedSources) -> None:
        """Make the further channels of the settings. sources: of the default channel."""
        default = self.default
        default.sources = self._opened = sources
        default.starts.append(sources.start)
        default.stops.append(sources.stop)
        for name in self.settings.channel_names[1:]:
            self.create(replace(default.spec, name=name), kept=False)

    def create(self, spec: ChannelSpec, kept: bool = True) -> LiveChannel:
        """Make a channel, which begins with the scene of the settings. kept: see `LiveChannel`.
        Raises ChannelConflict."""
        if spec.name in self._channels:
            raise ChannelConflict(
                f"The channel {spec.name!r} exists; DELETE it first, or choose another name."
            )
        if len(self) >= MOST_CHANNELS:
            raise ChannelConflict(
                f"There are {MOST_CHANNELS} channels, the maximum; DELETE one first."
            )
        live = self._made(spec, kept)
        if self._started:
            _start(live)
        self._channels = {**self._channels, spec.name: live}
        for visitor in self._visitors:
            visitor(live)
        self._tell()
        return live

    def remove(self, name: str) -> None:
        """Remove a channel: its viewers' streams end. Raises UnknownChannel and ChannelConflict."""
        live = self.get(name)
        if live is self.default:
            raise ChannelConflict(f"The channel {name!r} is the default one and stays.")
        followers = [
            one.name for one in self if one.spec.follows and one.spec.follows.channel == name
        ]
        if followers:
            raise ChannelConflict(
                f"The channel {name!r} is followed by {', '.join(followers)}; DELETE these first."
            )
        downstream = [one.name for one in self if one.spec.source == name]
        if downstream:
            names = ", ".join(downstream)
            raise ChannelConflict(
                f"The channel {name!r} is the source of {names}; DELETE these first."
            )
        self._channels = {key: one for key, one in self._channels.items() if one is not live}
        live.channel.removed = True
        for leave in live.leaves:
            leave()
        self._tell()
        # Whoever asks for it cannot wait until the channel's threads have ended.
        threading.Thread(target=_stop, args=(live, STOP_S), name="channel end", daemon=True).start()

    def start(self) -> None:
        """Start the threads of all channels, and of those that are made later."""
        self._started = True
        for live in self:
            _start(live)

    def stop(self, timeout_s: float) -> None:
        for live in self:
            _stop(live, timeout_s)
        for cropper in self._croppers.values():
            cropper.stop(timeout_s)

    def spec_of(self, name: str | None) -> ChannelSpec:
        """What a channel was made from; None: the default one. Raises UnknownChannel."""
        return self.get(name).spec

    def _made(self, spec: ChannelSpec, kept: bool) -> LiveChannel:
        leader = None if spec.follows is None else self._leader(spec.follows)
        if leader is None or spec.follows is None:
            initial = replace(
                self.default.initial, width=spec.width, height=spec.height, source="none"
            )
            channel = self._of_its_own(spec, initial)
            live = self._around(channel, spec, kept)
            self._paint(live)
            self._open_input(live)
        elif spec.follows.crop is None:
            live = self._around(Follower(spec.name, leader, spec.follows), spec, kept)
            self._paint(live)
        else:
            live = self._around(Crop(spec.name, leader, spec.follows), spec, kept)
            self._cut(live)
        return live

    def _of_its_own(self, spec: ChannelSpec, initial: Scene) -> Channel:
        """A channel with a scene of its own."""
        fade_s, easing = self.settings.fade_s, self.settings.easing
        if spec.source is None:
            return Channel(spec.name, initial, fade_s=fade_s, easing=easing, default=False)
        upstream, initial = self.get(spec.source).channel, replace(initial, source="picture")
        return Downstream(spec.name, upstream, initial, fade_s=fade_s, easing=easing, default=False)

    def _leader(self, follows: Follows) -> Channel:
        leader = self.get(follows.channel).channel
        if isinstance(leader, Crop) or (isinstance(leader, Follower) and follows.crop is None):
            raise ChannelConflict(
                f"The channel {leader.name!r} follows {leader.leader.name!r}; follow that one."
            )
        return leader

    def _around(self, channel: Channel, spec: ChannelSpec, kept: bool) -> LiveChannel:
        """`channel` with what every channel has."""
        quantiser = Quantiser(channel)
        own = ChannelRepertoire(self._repertoire.collection, quantiser)
        desk = Desk(channel, own, self._supervisor.check, _no_recorder)
        live = LiveChannel(spec, channel, Meter(), quantiser, desk, channel.scene, kept=kept)
        live.starts.append(quantiser.start)
        live.stops.append(quantiser.stop)
        if isinstance(channel, Follower):
            live.leaves.append(channel.leave)
        return live

    def _paint(self, live: LiveChannel) -> None:
        scheduled = ScheduledChannel(live.channel, live.spec.target_fps)
        live.meter = scheduled.meter
        live.starts.append(lambda: self._supervisor.add(scheduled))
        live.leaves.append(lambda: self._supervisor.remove(scheduled.channel))
        if (opened := self._opened) is not None:  # feedback starts from them
            opened.add_frames(live.channel)
            live.leaves.append(lambda: opened.remove_frames(live.channel))

    def _open_input(self, live: LiveChannel) -> None:
        spec, opened = live.spec, self._opened
        if opened is None:
            return
        own_settings = replace(
            self.settings,
            source="none",
            target_fps=spec.target_fps,
            width=spec.width,
            height=spec.height,
        )
        live.sources = opened.open_beside(live.channel, own_settings)
        live.starts.append(live.sources.start)
        live.stops.append(live.sources.stop)
        if isinstance(live.channel, Downstream):
            live.channel.flow_into(live.sources)
            live.leaves.append(live.channel.leave)

    def _cut(self, live: LiveChannel) -> None:
        crop = live.channel
        assert isinstance(crop, Crop)
        cropper = self._croppers.get(crop.leader)
        if cropper is None:
            cropper = self._croppers[crop.leader] = Cropper(crop.leader, self.settings.jpeg_quality)
            live.starts.append(cropper.start)
        cropper.add(crop, live.meter)

        def leave() -> None:
            cropper.remove(crop)
            if not cropper.parts:
                del self._croppers[crop.leader]
                live.stops.append(cropper.stop)

        live.leaves.append(leave)

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()


def _no_recorder() -> None:
    raise SceneError("Recordings are made on the default channel only.")


def _start(live: LiveChannel) -> None:
    for start in live.starts:
        start()


def _stop(live: LiveChannel, timeout_s: float) -> None:
    for stop in live.stops:
        stop(timeout_s)

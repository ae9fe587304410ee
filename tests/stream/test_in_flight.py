"""Submissions in flight: the scheduler over an engine that needs 4 ms a frame on two streams.

The device is simulated in time alone: each stream is a queue, a picture is done 8 ms after its
stream was free, and its JPEG takes 2 ms more. Does the scheduler keep the device busy, and how long
do new words wait behind the frames that are in flight?
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future

import pytest

from tests.engines import ColourEngine, opens
from tests.stream.clock import Clock, Pending
from tests.stream.running import PATIENCE_S, running, schedule, wait_until
from turbostream.stream import scheduler
from turbostream.stream.channel import Channel
from turbostream.stream.engine_api import Picture
from turbostream.stream.frame import Frame
from turbostream.stream.shot import Shot
from turbostream.stream.state import State

STREAM_S, JPEG_S, TEXT_S = 0.008, 0.002, 0.002  # as modelled for an H100
FRAMES = 400
WORDS_EVERY_S = 0.05


class TwoStreams:
    """An engine with two streams that computes nothing. The words change from time to time, and
    always at the worst moment: right after a shot was taken."""

    max_batch, depth, fingerprint = 1, 3, "two simulated streams"
    choices: Mapping[str, str] = {}

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.channel: Channel | None = None
        self.free_at = [0.0, 0.0]
        self.known: set[str] = set()
        self.in_flight: list[int] = []  # how many there were at each submission
        self.pending: list[Pending] = []
        self.changed_at = clock.now

    def submit(self, shots: Sequence[Shot]) -> Pending:
        now, stream = self.clock.now, len(self.in_flight) % 2
        start = max(now, self.free_at[stream])
        if shots[0].prompt not in self.known:
            self.known.add(shots[0].prompt)
            start += TEXT_S
        self.free_at[stream] = start + STREAM_S
        self.pending = [future for future in self.pending if not future.done()]
        self.in_flight.append(len(self.pending))
        self.pending.append(Pending(self.clock, self.free_at[stream] + JPEG_S))
        if self.channel and now - self.changed_at > WORDS_EVERY_S:
            self.changed_at = now
            self.channel.change({"prompt": f"words {len(self.in_flight)}"})
        return self.pending[-1]

    def close(self) -> None: ...


def test_two_streams_are_kept_busy_and_new_words_wait_for_three_frames_at_most(
    clock: Clock,
) -> None:
    engine = TwoStreams(clock)
    published: list[float] = []
    latencies: list[float] = []
    with running(lambda report: engine, fps=1000, clock=clock) as run:
        channel = run.channel
        measured = [channel.last_change]

        def heard(frame: Frame) -> None:
            published.append(clock.now)
            change = channel.last_change
            if change is not measured[0] and frame.number > change.after:
                measured[0] = change
                latencies.append(clock.now - change.at)

        channel.buffer.listen(heard)
        engine.channel = channel
        with channel.watched():
            wait_until(lambda: len(published) > FRAMES)
    in_flight = engine.in_flight[3:FRAMES]
    assert min(in_flight) >= 1, "the next one is submitted before the last is done"
    assert max(in_flight) == engine.depth - 1, "and never more: they would only grow old"
    fps = (FRAMES - 20) / (published[FRAMES] - published[20])
    assert 235 < fps < 250, "what two streams of 8 ms give, less the time for new words"
    assert len(latencies) > 20
    assert max(latencies) < 0.02, "a fourth frame ahead of them would make it 22 ms"


def test_a_busy_device_rests_when_the_last_viewer_leaves(clock: Clock) -> None:
    engine = TwoStreams(clock)
    with running(lambda report: engine, fps=1000, clock=clock) as run:
        with run.channel.watched():
            wait_until(lambda: run.meter.frames > 50)
        wait_until(lambda: run.supervisor.status.state is State.RESTING)
        assert run.meter.frames == len(engine.in_flight), "what was in flight was published"


class Later(ColourEngine):
    """Two submissions in flight, each done a moment later on a thread of the engine's."""

    depth = 2

    def submit(self, shots: Sequence[Shot]) -> Future[list[Picture]]:
        done: Future[list[Picture]] = Future()
        painted = super().submit(shots).result()
        threading.Timer(0.05, lambda: done.set_result(painted)).start()
        return done


def test_a_picture_is_published_when_it_is_done_and_not_at_the_next_beat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scheduler, "LONGEST_WAIT_S", 3 * PATIENCE_S)
    channel = schedule(1 / (3 * PATIENCE_S))
    with running(opens(Later()), channels=[channel], watched=[channel]):
        wait_until(lambda: channel.meter.frames == 1)

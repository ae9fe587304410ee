"""Frames in flight: a producer and an engine that needs 4 ms a frame on two lanes.

The device is simulated in time alone: each lane is a queue, each picture lands 8 ms after its
lane was free, 2 ms more are its JPEG's. What is asked is whether the producer keeps it busy, and
how long new words wait behind the frames that are under way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.stream.clock import Clock, Landing
from tests.stream.test_producer import running, wait_until
from turbostream.stream.channel import Channel
from turbostream.stream.shot import Shot

LANE_S, JPEG_S, TEXT_S = 0.008, 0.002, 0.002  # as modelled for an H100
FRAMES = 400
WORDS_EVERY_S = 0.05


class Lanes:
    """The seam's engine with two lanes; nothing is computed. Every now and then, and at the worst
    of moments, somebody has new words: a shot was just taken."""

    max_batch, depth, fingerprint = 1, 3, "simulated lanes"
    choices: Mapping[str, str] = {}

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.channel: Channel | None = None
        self.free_at = [0.0, 0.0]
        self.known: set[str] = set()
        self.under_way: list[int] = []
        self.flights: list[Landing] = []
        self.said_at = clock.now

    def submit(self, shots: Sequence[Shot]) -> Landing:
        now, lane = self.clock.now, len(self.under_way) % 2
        start = max(now, self.free_at[lane])
        if shots[0].prompt not in self.known:
            self.known.add(shots[0].prompt)
            start += TEXT_S
        self.free_at[lane] = start + LANE_S
        self.flights = [flight for flight in self.flights if not flight.done()]
        self.under_way.append(len(self.flights))
        self.flights.append(Landing(self.clock, self.free_at[lane] + JPEG_S))
        if self.channel and now - self.said_at > WORDS_EVERY_S:
            self.said_at = now
            self.channel.change({"prompt": f"words {len(self.under_way)}"})
        return self.flights[-1]

    def close(self) -> None: ...


def test_the_producer_keeps_two_lanes_busy_and_new_words_wait_for_three_frames_at_most(
    clock: Clock,
) -> None:
    engine = Lanes(clock)
    landed: list[float] = []
    latencies: list[float] = []
    with running(lambda report: engine, fps=1000, clock=clock) as (producer, channel):
        measured = [channel.last_change]

        def heard() -> None:
            landed.append(clock.now)
            change, frame = channel.last_change, channel.buffer.newest()
            if change is not measured[0] and frame is not None and frame.number > change.after:
                measured[0] = change
                latencies.append(clock.now - change.at)

        channel.buffer.listen(heard)
        engine.channel = channel
        with channel.watched():
            wait_until(lambda: len(landed) > FRAMES)
    under_way = engine.under_way[3:FRAMES]
    assert min(under_way) >= 1, "the next one is launched before the last landed"
    assert max(under_way) == engine.depth - 1, "and never more: they would only grow old"
    fps = (FRAMES - 20) / (landed[FRAMES] - landed[20])
    assert 235 < fps < 250, "what two lanes of 8 ms give, less what the new words take"
    assert len(latencies) > 20
    assert max(latencies) < 0.02, "a fourth frame ahead of them would make it 22 ms"

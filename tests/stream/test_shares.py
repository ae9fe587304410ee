"""Where the machine cannot paint all that its channels ask for, each gets its share."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.engines import opens
from tests.stream.clock import Clock
from tests.stream.running import running, schedule, wait_until
from tests.stream.test_channels import Recorder, gaps

SHOT_S = 0.02  # 50 shots a second, whatever the batch


def paced(clock: Clock, max_batch: int) -> Recorder:
    """An engine that takes SHOT_S for each shot."""

    def take(shots: object) -> None:
        clock.now += SHOT_S * len(shots)  # type: ignore[arg-type]

    return Recorder(clock, max_batch, before=take)


@pytest.mark.parametrize("max_batch", [1, 2, 4])
@pytest.mark.parametrize("rates", [(60, 30, 10), (60, 60), (30, 30, 15), (90, 5), (20,) * 8])
def test_every_rate_drops_in_proportion(
    clock: Clock, rates: tuple[float, ...], max_batch: int
) -> None:
    engine = paced(clock, max_batch)
    channels = [schedule(fps, f"{number} at {fps}", clock) for number, fps in enumerate(rates)]
    with running(opens(engine), clock=clock, channels=channels, watched=channels) as run:
        began = clock.now
        wait_until(lambda: clock.now - began > 40)
        share = run.supervisor.shortage.share(clock.now)
    took_s = engine.submitted[-1][0] - engine.submitted[0][0]
    shares = [len(engine.painted(one.channel.name)) / took_s * one.period_s for one in channels]
    wanted = min(1.0, 1 / SHOT_S / sum(rates))
    assert shares == pytest.approx([wanted] * len(rates), rel=0.03)
    assert share == pytest.approx(wanted, abs=0.05)


def test_a_machine_that_is_fast_enough_is_not_short(clock: Clock) -> None:
    engine = paced(clock, 4)
    channels = [schedule(fps, f"at {fps}", clock) for fps in (20, 10, 5)]
    with running(opens(engine), clock=clock, channels=channels, watched=channels) as run:
        wait_until(lambda: len(engine.painted("at 5")) > 50)
        assert run.supervisor.shortage.sentence(clock.now) is None
    assert gaps(engine.painted("at 20")[10:200]) == pytest.approx([1 / 20] * 189, abs=0.041)


def test_the_sentence_names_the_share_and_ends_with_the_shortage(clock: Clock) -> None:
    engine = paced(clock, 4)
    channels = [schedule(50, f"channel {number}", clock) for number in range(4)]
    with running(opens(engine), clock=clock, channels=channels, watched=channels[:1]) as run:
        with ExitStack() as viewers:
            for one in channels[1:]:
                viewers.enter_context(one.channel.watched())
            began = clock.now
            wait_until(lambda: clock.now - began > 10)
            sentence = run.supervisor.shortage.sentence(clock.now)
            assert sentence is not None
            assert any(f" {percent}% " in sentence for percent in (24, 25, 26))
        later = clock.now
        wait_until(lambda: clock.now - later > 10)
        assert run.supervisor.shortage.sentence(clock.now) is None


def test_a_channel_that_begins_to_be_watched_joins_the_batches_of_its_rate(clock: Clock) -> None:
    engine = Recorder(clock, max_batch=8, batch_s=0.004)
    channels = [schedule(30, name, clock) for name in "abc"]
    with running(opens(engine), clock=clock, channels=channels, watched=channels[:1]):
        wait_until(lambda: len(engine.batches) > 20)
        clock.now += 0.011
        with channels[1].channel.watched():
            wait_until(lambda: len(engine.painted("b")) > 3)
            clock.now += 0.007
            with channels[2].channel.watched():
                wait_until(lambda: len(engine.painted("c")) > 3)
                seen = len(engine.batches)
                wait_until(lambda: len(engine.batches) > seen + 50)
                together = engine.batches[seen : seen + 50]
    assert {tuple(sorted(batch)) for batch in together} == {("a", "b", "c")}
    assert gaps(engine.painted("a")[-30:-20]) == pytest.approx([1 / 30] * 9, abs=0.0011)

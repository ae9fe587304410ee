"""A clock that counts the time in which this process could do something."""

from __future__ import annotations

import pytest

from turbostream.stream import awake as module
from turbostream.stream.awake import LONGEST_S, TICK_S, AwakeClock


class Machine:
    """Simulated monotonic time in place of the module's."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(module, "time", machine)
    return machine


def test_the_awake_clock_goes_like_the_monotonic_one_while_it_is_ticked(machine: Machine) -> None:
    clock = AwakeClock()
    for _ in range(100):
        machine.now += TICK_S * 1.5  # a busy machine
        clock.tick()
    assert clock.now() == pytest.approx(100 * TICK_S * 1.5)


def test_the_awake_clock_does_not_count_a_stop_wherever_it_falls(machine: Machine) -> None:
    clock = AwakeClock()
    readings = []
    for count in range(400):
        machine.now += 70.0 if count % 40 == 39 else TICK_S / 4
        readings.append(clock.now())  # between ticks, and right after the stop
        if count % 4 == 0:
            clock.tick()
    assert readings == sorted(readings)
    assert readings[-1] <= 390 * TICK_S / 4 + 10 * LONGEST_S

"""Who gives up a place to whom."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from turbostream.web.http.limits import Limits
from turbostream.web.http.places import GRACE_S, IDLE, STUCK, UNFINISHED, Places, near, network_of

LIMITS = Limits(8, 4, 1000, 10.0, 60.0, 10.0)  # one of the eight places is reserved


@dataclass(eq=False)
class Held:
    near: bool = True
    network: str = "127.0.0.1"
    dropped: list[bool] = field(default_factory=list)

    def drop(self) -> None:
        self.dropped.append(True)


def fill(places: Places, *kinds: tuple[str, bool]) -> list[Held]:
    held = []
    for number, (kind, is_near) in enumerate(kinds):
        one = Held(is_near, "127.0.0.1" if is_near else f"192.0.2.{number}")
        assert places.enter(one, LIMITS) is None
        if kind:
            places.waits(one, kind)
        held.append(one)
    return held


def test_the_unfinished_go_before_the_idle_and_those_before_the_stuck() -> None:
    places = Places()
    held = fill(places, (STUCK, True), (IDLE, True), (IDLE, True), (UNFINISHED, True),
                (UNFINISHED, True), *[("", True)] * 3)  # fmt: skip
    gone = []
    for _ in range(5):
        assert places.enter(Held(), LIMITS) is None
        gone += [number for number, one in enumerate(held) if one.dropped and number not in gone]
    assert gone == [3, 4, 1, 2, 0]
    assert "MAX_CONNECTIONS" in str(places.enter(Held(), LIMITS))
    assert places.refused == 1


def test_somebody_elsewhere_takes_no_place_from_this_machine() -> None:
    places = Places()
    held = fill(places, *[(UNFINISHED, True)] * 7)
    assert places.enter(Held(False, "192.0.2.9"), LIMITS) is not None
    assert not any(one.dropped for one in held)
    assert places.enter(Held(), LIMITS) is None, "the reserved one"


def test_this_machine_takes_places_from_elsewhere_first() -> None:
    places = Places()
    held = fill(places, (UNFINISHED, True), *[(UNFINISHED, False)] * 5, ("", True))
    fill(places, ("", True))
    assert places.enter(Held(), LIMITS) is None
    assert [bool(one.dropped) for one in held] == [False, True] + [False] * 5


def test_who_was_told_to_leave_gives_its_place_once() -> None:
    places = Places()
    held = fill(places, *[(UNFINISHED, True)] * 8)
    assert places.enter(Held(), LIMITS) is None
    places.waits(held[0], IDLE)  # it has not noticed yet
    assert places.enter(Held(), LIMITS) is None
    assert [len(one.dropped) for one in held] == [1, 1] + [0] * 6
    for one in held[:2]:
        places.leave(one)
    assert places.open == 8


def test_one_network_elsewhere_is_counted_and_this_machine_is_not() -> None:
    places = Places()
    crowd = [Held(False, "192.0.2.1") for _ in range(5)]
    told = [places.enter(one, LIMITS) for one in crowd]
    assert told[:4] == [None] * 4
    assert "MAX_CONNECTIONS_PER_ADDRESS" in str(told[4])
    places.leave(crowd[0])
    assert places.enter(crowd[4], LIMITS) is None
    places = Places()
    assert [places.enter(Held(), LIMITS) for _ in range(8)] == [None] * 8


def test_a_newcomer_has_a_moment_before_it_may_be_told_to_leave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr("turbostream.web.http.places.time.monotonic", lambda: now[0])
    places = Places()
    fill(places, *[(UNFINISHED, True)] * 8)
    assert places.crowded(LIMITS)
    now[0] += 2 * GRACE_S
    assert not places.crowded(LIMITS)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("2001:db8::1", "2001:db8::ffff:1", True), ("2001:db8::1", "2001:db8:0:1::1", False),
     ("192.0.2.1", "192.0.2.2", False), ("::ffff:192.0.2.1", "192.0.2.1", True),
     ("fe80::1%eth0", "fe80::2%eth0", True)],
)  # fmt: skip
def test_an_ipv6_household_is_one_network(one: str, other: str, same: bool) -> None:
    assert (network_of(one) == network_of(other)) is same


def test_only_the_tunnels_and_a_proxys_own_address_is_near() -> None:
    assert all(map(near, ("127.0.0.1", "::1", "::ffff:127.0.0.1")))
    assert not any(map(near, ("127.0.0.2", "192.0.2.1", "::2", "")))

"""Which connection is closed for which newcomer."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from turbostream.web.http.connection_slots import (
    GRACE_S,
    IDLE,
    STALLED,
    UNFINISHED,
    ConnectionSlots,
    is_local,
    network_of,
)
from turbostream.web.http.limits import Limits

LIMITS = Limits(8, 4, 1000, 10.0, 60.0, 10.0)  # one of the eight slots is reserved


@dataclass(eq=False)
class Connection:
    local: bool = True
    network: str = "127.0.0.1"
    dropped: list[bool] = field(default_factory=list)

    def drop(self) -> None:
        self.dropped.append(True)


def fill(slots: ConnectionSlots, *kinds: tuple[str, bool]) -> list[Connection]:
    held = []
    for number, (kind, local) in enumerate(kinds):
        one = Connection(local, "127.0.0.1" if local else f"192.0.2.{number}")
        assert slots.acquire(one, LIMITS) is None
        if kind:
            slots.mark_waiting(one, kind)
        held.append(one)
    return held


def test_unfinished_requests_go_before_idle_connections_and_those_before_stalled_ones() -> None:
    slots = ConnectionSlots()
    held = fill(slots, (STALLED, True), (IDLE, True), (IDLE, True), (UNFINISHED, True),
                (UNFINISHED, True), *[("", True)] * 3)  # fmt: skip
    gone = []
    for _ in range(5):
        assert slots.acquire(Connection(), LIMITS) is None
        gone += [number for number, one in enumerate(held) if one.dropped and number not in gone]
    assert gone == [3, 4, 1, 2, 0]
    assert "MAX_CONNECTIONS" in str(slots.acquire(Connection(), LIMITS))
    assert slots.refused == 1


def test_a_remote_client_takes_no_slot_from_a_local_one() -> None:
    slots = ConnectionSlots()
    held = fill(slots, *[(UNFINISHED, True)] * 7)
    assert slots.acquire(Connection(False, "192.0.2.9"), LIMITS) is not None
    assert not any(one.dropped for one in held)
    assert slots.acquire(Connection(), LIMITS) is None, "the reserved one"


def test_a_local_client_takes_slots_from_remote_ones_first() -> None:
    slots = ConnectionSlots()
    held = fill(slots, (UNFINISHED, True), *[(UNFINISHED, False)] * 5, ("", True))
    fill(slots, ("", True))
    assert slots.acquire(Connection(), LIMITS) is None
    assert [bool(one.dropped) for one in held] == [False, True] + [False] * 5


def test_a_dropped_connection_gives_up_its_slot_once() -> None:
    slots = ConnectionSlots()
    held = fill(slots, *[(UNFINISHED, True)] * 8)
    assert slots.acquire(Connection(), LIMITS) is None
    slots.mark_waiting(held[0], IDLE)  # it has not noticed yet
    assert slots.acquire(Connection(), LIMITS) is None
    assert [len(one.dropped) for one in held] == [1, 1] + [0] * 6
    for one in held[:2]:
        slots.release(one)
    assert slots.open == 8


def test_a_remote_network_is_limited_and_this_machine_is_not() -> None:
    slots = ConnectionSlots()
    crowd = [Connection(False, "192.0.2.1") for _ in range(5)]
    told = [slots.acquire(one, LIMITS) for one in crowd]
    assert told[:4] == [None] * 4
    assert "MAX_CONNECTIONS_PER_ADDRESS" in str(told[4])
    slots.release(crowd[0])
    assert slots.acquire(crowd[4], LIMITS) is None
    slots = ConnectionSlots()
    assert [slots.acquire(Connection(), LIMITS) for _ in range(8)] == [None] * 8


def test_a_newcomer_has_a_moment_before_it_may_be_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr("turbostream.web.http.connection_slots.time.monotonic", lambda: now[0])
    slots = ConnectionSlots()
    fill(slots, *[(UNFINISHED, True)] * 8)
    assert slots.crowded(LIMITS)
    now[0] += 2 * GRACE_S
    assert not slots.crowded(LIMITS)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("2001:db8::1", "2001:db8::ffff:1", True), ("2001:db8::1", "2001:db8:0:1::1", False),
     ("192.0.2.1", "192.0.2.2", False), ("::ffff:192.0.2.1", "192.0.2.1", True),
     ("fe80::1%eth0", "fe80::2%eth0", True)],
)  # fmt: skip
def test_an_ipv6_64_is_one_network(one: str, other: str, same: bool) -> None:
    assert (network_of(one) == network_of(other)) is same


def test_only_the_tunnels_and_a_proxys_own_address_is_local() -> None:
    assert all(map(is_local, ("127.0.0.1", "::1", "::ffff:127.0.0.1")))
    assert not any(map(is_local, ("127.0.0.2", "192.0.2.1", "::2", "")))

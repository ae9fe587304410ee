"""Datagrams to the UDP port and in frames of the control socket."""

from __future__ import annotations

import logging
import os
import socket
import threading

import pytest

from tests.control.conftest import PATIENCE_S, Room
from tests.control.sending import bundle, message, send
from turbostream.control.osc_reports import MOST


def refused(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.message for one in caplog.records if one.levelno == logging.WARNING]


def test_a_message_changes_the_scene(room: Room) -> None:
    assert room.input().start()
    send(room.port, message("/speed", ("f", 0.7)))
    assert room.wait(lambda scene: scene.speed == 0.7)
    send(room.port, bundle(message("/prompt", ("s", "a blue fish")), message("/seed", ("h", 5))))
    assert room.wait(lambda scene: scene.prompt == "a blue fish").seed == 5


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_ipv6_works_too(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    assert room.input(osc_host="::1").start()
    send(room.port, message("/speed", ("f", 0.7)), family=socket.AF_INET6)
    room.wait(lambda scene: scene.speed == 0.7)
    assert not refused(caplog)


def test_without_a_port_there_is_no_socket_and_no_thread(room: Room) -> None:
    before = threading.active_count()
    assert room.input(osc_port=0).start()
    assert threading.active_count() == before


def test_of_a_flood_the_last_message_of_each_address_is_applied(room: Room) -> None:
    assert room.input().start()
    revision = room.channel.revision
    for number in range(100):  # all fit in the kernel's buffer
        value = ("f", number / 100)
        send(room.port, message("/speed", value), message("/brightness", value))
    room.wait(lambda scene: scene.speed == 0.99 and scene.brightness == 0.99)
    assert room.channel.revision - revision < 60


def test_a_press_is_not_lost_to_its_release(room: Room) -> None:
    assert room.input().start()
    for _ in range(5):
        seed = room.channel.scene.seed
        send(room.port, message("/new_seed", ("f", 1.0)), message("/new_seed", ("f", 0.0)))
        room.wait(lambda scene, before=seed: scene.seed != before)


def test_a_bad_message_is_reported_once_and_counted(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    osc = room.input()
    assert osc.start()
    over = threading.Event()
    send(room.port, message("/undo"))
    while not refused(caplog):
        assert not over.wait(0.02)
    bad = message("/speed", ("f", 99.0))
    for _ in range(3):
        send(room.port, bad, message("/sp*", ("f", 1)), b"\0" * 60_000)
    send(room.port, bundle(bad, message("/brightness", ("f", 0.5))))
    assert room.wait(lambda scene: scene.brightness == 0.5).speed == 0.15
    osc.stop(PATIENCE_S)
    assert sorted(refused(caplog)) == [
        "[osc] /sp*: patterns are not supported; send one message for each address.",
        "[osc] /speed: The speed must be a number from 0 to 4.",
        "[osc] There is nothing to undo.",
        "[osc] " + r"\x00" * 16 + ": this is not an OSC message; an address begins with a slash.",
    ]
    assert osc.received == 12
    assert 8 <= osc.dropped <= 11  # those that were merged are not refused


def test_invented_addresses_do_not_fill_the_log(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    osc = room.input()
    assert osc.start()
    for number in range(MOST + 50):
        send(room.port, message(f"/a{number}", ("f", 1)))
    send(room.port, message("/speed", ("f", 0.7)))
    room.wait(lambda scene: scene.speed == 0.7)
    assert len(refused(caplog)) == MOST + 1
    assert refused(caplog)[-1] == "[osc] more messages are refused; they are not listed."


def test_whoever_may_reach_another_address_is_warned_of(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    assert room.input(osc_host="0.0.0.0").start()
    (warning,) = refused(caplog)
    assert f"whoever reaches UDP port {room.port} controls the picture" in warning


@pytest.mark.parametrize("host", ["999.1.1.1", "192.0.2.1", "b\u00fccher..de", "a" * 300])
def test_a_bad_host_is_one_sentence(room: Room, host: str) -> None:
    osc = room.input(osc_host=host)
    assert not osc.start()
    assert osc.problem == (
        f"OSC_HOST {host[:60]} is not an address of this machine; use 127.0.0.1 for the programs "
        "of this machine only, or 0.0.0.0 for everybody who can reach it."
    )


def test_a_port_that_is_taken_is_one_sentence(room: Room) -> None:
    assert room.input().start()
    second = room.input()
    assert not second.start()
    assert second.problem == (
        f"OSC cannot be received at 127.0.0.1:{room.port} (Address already in use); stop the "
        "program that does, or give another OSC_PORT."
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may use every port")
def test_a_port_that_this_user_may_not_use_is_one_sentence(room: Room) -> None:
    osc = room.input(osc_port=1)
    assert not osc.start()
    assert osc.problem
    assert "OSC_PORT above 1023" in osc.problem


def test_a_process_that_takes_over_receives_once_the_other_has_ended(room: Room) -> None:
    old, new = room.input(), room.input(handover="take")
    assert old.start()
    assert new.start()
    send(room.port, message("/speed", ("f", 0.7)))
    room.wait(lambda scene: scene.speed == 0.7)
    assert new.received == 0
    old.stop(PATIENCE_S)
    over = threading.Event()
    room.channel.listen(over.set)
    for _ in range(200):  # until it has the port
        send(room.port, message("/speed", ("f", 0.9)))
        if over.wait(0.1):
            break
    assert room.channel.scene.speed == 0.9


def test_stopping_is_quick_and_frees_the_port(room: Room) -> None:
    for _ in range(3):
        osc = room.input()
        assert osc.start()
        osc.stop(PATIENCE_S)


def test_frames_of_the_control_socket_are_applied_and_refused_in_one_sentence(room: Room) -> None:
    osc = room.input(osc_port=0)
    assert osc.start()
    assert osc.datagram(message("/speed", ("f", 0.7))) is None
    assert room.channel.scene.speed == 0.7
    assert osc.datagram(message("/speed", ("f", 9))) == (
        "/speed: The speed must be a number from 0 to 4."
    )
    sentence = "(empty): this is not an OSC message; an address begins with a slash."
    assert osc.datagram(b"") == sentence
    bad = bundle(message("/nothing"), message("/brightness", ("f", 0.5)))
    assert (
        osc.datagram(bad) == "/nothing: no parameter has this address; GET /osc lists all of them."
    )
    room.wait(lambda scene: scene.brightness == 0.5)


def test_many_frames_of_the_control_socket_are_merged(room: Room) -> None:
    osc = room.input(osc_port=0)
    revision = room.channel.revision
    for number in range(1000):
        assert osc.datagram(message("/speed", ("f", number / 1000))) is None
    room.wait(lambda scene: scene.speed == 0.999)
    assert room.channel.revision - revision < 500
    osc.stop(PATIENCE_S)
    assert osc.datagram(message("/speed", ("f", 0.1))) is None  # on the way out, not an error


def test_a_frame_that_cannot_be_applied_at_once_is_reported(room: Room) -> None:
    osc = room.input(osc_port=0)
    assert osc.datagram(message("/look", ("s", "nowhere")))

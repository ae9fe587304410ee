"""The port passes from one process to the next completely, or not at all."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

from turbostream.web.http import handover


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def offer(tmp_path: Path, listener: socket.socket) -> Iterator[handover.Offer]:
    offer = handover.Offer(tmp_path, listener.fileno, lambda: {"prompt": "a red heart"})
    yield offer
    offer.close()


def take(folder: Path, serve: Any) -> bool:
    return bool(gevent.spawn(handover.take, folder, serve).get(timeout=30))


def test_the_next_process_gets_the_same_socket_and_the_scene(
    tmp_path: Path, listener: socket.socket, offer: handover.Offer
) -> None:
    got = {}

    def serve(taken: Any, scene: Any) -> None:
        got.update(address=taken.getsockname(), scene=scene)
        taken.close()

    assert handover.is_served(tmp_path)
    assert not offer.given  # asking is not taking
    assert take(tmp_path, serve)
    with gevent.Timeout(30):
        while not offer.given:
            gevent.sleep(0.01)
    assert got == {"address": listener.getsockname(), "scene": {"prompt": "a red heart"}}
    assert (tmp_path / handover.NAME).stat().st_mode & 0o777 == 0o600


def test_a_scene_of_the_longest_prompts_is_passed_whole(
    tmp_path: Path, listener: socket.socket
) -> None:
    scene = {"prompts": ["\U0001f3b9" * 1000] * 24}
    offer = handover.Offer(tmp_path, listener.fileno, lambda: scene)
    got = []

    def serve(taken: Any, scene: Any) -> None:
        got.append(scene)
        taken.close()

    assert take(tmp_path, serve)
    with gevent.Timeout(30):
        while not offer.given:
            gevent.sleep(0.01)
    assert got == [scene]
    offer.close()


def test_a_next_process_that_dies_half_way_changes_nothing(
    tmp_path: Path, offer: handover.Offer
) -> None:
    def die(taken: Any, scene: Any) -> None:
        taken.close()
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        take(tmp_path, die)
    gevent.sleep(0.05)
    assert not offer.given
    assert handover.is_served(tmp_path)


def test_a_port_is_being_given_from_the_question_to_the_answer(
    tmp_path: Path, offer: handover.Offer
) -> None:
    """Meanwhile the giver writes no scene file: it is the taker's from here on."""
    meanwhile: list[tuple[bool, bool]] = []

    def serve(taken: Any, scene: Any) -> None:
        meanwhile.append((offer.giving, offer.given))
        taken.close()

    def fail(taken: Any, scene: Any) -> None:
        serve(taken, scene)
        raise RuntimeError("half-way")

    assert not offer.giving
    with pytest.raises(RuntimeError, match="half-way"):
        take(tmp_path, fail)
    with gevent.Timeout(30):
        while offer.giving:
            gevent.sleep(0.01)
    assert not offer.given
    assert take(tmp_path, serve)
    with gevent.Timeout(30):
        while offer.giving:
            gevent.sleep(0.01)
    assert offer.given
    assert meanwhile == [(True, False), (True, False)]


def test_where_nobody_serves_there_is_nothing_to_take(tmp_path: Path) -> None:
    assert not handover.is_served(tmp_path)
    assert not take(tmp_path, pytest.fail)


def test_the_file_of_a_dead_process_is_no_offer_and_is_replaced(
    tmp_path: Path, listener: socket.socket
) -> None:
    handover.Offer(tmp_path, listener.fileno, dict).close()
    assert (tmp_path / handover.NAME).exists()
    assert not handover.is_served(tmp_path)
    again = handover.Offer(tmp_path, listener.fileno, dict)
    assert handover.is_served(tmp_path)
    again.close()


def test_a_handover_that_is_aborted_is_reported_to_the_old_process(
    tmp_path: Path, listener: socket.socket
) -> None:
    """The next process may have replaced the socket and the scene of the old one."""
    broken: list[str] = []
    offer = handover.Offer(tmp_path, listener.fileno, dict, lambda: broken.append("off"))

    def dies(taken: Any, _scene: Any) -> None:
        taken.close()
        raise RuntimeError("half-way")

    assert handover.is_served(tmp_path)
    gevent.sleep(0.05)
    assert broken == [], "asking is not taking"
    taker = gevent.spawn(handover.take, tmp_path, dies)
    with gevent.Timeout(30):
        while not broken:
            gevent.sleep(0.01)
    with pytest.raises(RuntimeError, match="half-way"):
        taker.get(timeout=30)
    assert broken == ["off"]
    assert not offer.given
    offer.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_a_socket_of_another_user_is_not_trusted(tmp_path: Path) -> None:
    planted = """
import os, socket, sys
os.setuid(65534)
server = socket.socket(socket.AF_UNIX)
server.bind("handover.sock")
server.listen()
print("listening", flush=True)
connection, _ = server.accept()
connection.settimeout(20)
print(repr(connection.recv(16)), flush=True)
"""
    tmp_path.chmod(0o777)
    process = subprocess.Popen(
        [sys.executable, "-c", planted], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "listening\n"
        assert not take(tmp_path, lambda *_: None)
        assert process.stdout.readline() == "b''\n", "and it is asked for nothing"

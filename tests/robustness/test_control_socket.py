"""What a controller's messages do and what it is told, on the running program."""

from __future__ import annotations

import json
import socket
import statistics
import time
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode

from tests.robustness.conftest import Program, Start
from tests.robustness.controller import HANDSHAKE, Controller, frame, shake_hands
from tests.robustness.raw import eventually
from tests.robustness.test_metrics import metrics
from tests.server import once_below


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Program("sound", tmp_path_factory.mktemp("state")) as running:
        yield running.wait_until_healthy()


@pytest.fixture
def controller(program: Program) -> Iterator[Controller]:
    with Controller(program.port) as found:
        found.state()
        yield found


def scene_of(program: Program) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(program.request("/scene")[1])
    return found


def close_code(connection: socket.socket) -> int:
    """The code with which the server closes; reads to the end of the connection."""
    data = b""
    while piece := connection.recv(65536):
        data += piece
    place = data.rindex(b"\x88")  # a final CLOSE frame; the state before it is ASCII
    return int.from_bytes(data[place + 2 : place + 4])


def test_a_newcomer_learns_the_scene_the_history_and_the_setlist(program: Program) -> None:
    with Controller(program.port) as controller:
        state = controller.receive()
    status = program.status()
    assert set(state) >= {"scene", "revision", "history", "setlist"}
    assert state["scene"]["prompt"] == status["prompt"]
    assert (state["revision"], state["history"]) == (status["revision"], status["history"])
    assert state["setlist"] is None


def test_a_set_changes_the_scene_and_is_answered_with_it(
    program: Program, controller: Controller
) -> None:
    answer = controller.ask(7, set={"speed": 0.5, "brightness": 0.75})
    assert answer["scene"]["speed"] == scene_of(program)["speed"] == 0.5
    assert answer["scene"]["brightness"] == 0.75
    assert answer["scene"]["frame"] <= program.status()["frame"] + 2


def test_a_patch_has_the_fields_of_the_scene(program: Program, controller: Controller) -> None:
    prompts = [{"text": "red", "weight": 1}, {"text": "blue", "weight": 3}]
    answer = controller.ask("p", patch={"prompts": prompts, "fade_s": 0})
    assert [one["text"] for one in answer["scene"]["prompts"]] == ["red", "blue"]
    assert scene_of(program)["prompts"] == answer["scene"]["prompts"]


def test_a_patch_is_applied_after_the_sets_before_it(controller: Controller) -> None:
    controller.send(set={"speed": 0.1})
    controller.send(set={"speed": 0.2}, id=1)
    controller.send(patch={"speed": 0.3}, id=2)
    answers = [controller.until(lambda found: "id" in found) for _ in range(2)]
    assert [(one["id"], one["scene"]["speed"]) for one in answers] == [(1, 0.2), (2, 0.3)]


def test_each_id_of_a_flood_of_sets_is_answered_once_and_the_newest_value_wins(
    program: Program, controller: Controller
) -> None:
    count, answers = 300, {}
    for number in range(count):
        controller.send(set={"speed": (number + 1) / count}, id=number)
    while len(answers) < count:
        answer = controller.until(lambda found: "id" in found)
        assert answer["id"] not in answers
        answers[answer["id"]] = answer
    merged = [answer for answer in answers.values() if answer.get("merged")]
    assert merged
    assert all("scene" in one for one in answers.values() if one not in merged)
    assert answers[count - 1]["scene"]["speed"] == scene_of(program)["speed"] == 1.0


def test_a_fade_alone_is_answered_and_holds_for_later_sets(controller: Controller) -> None:
    assert "scene" in controller.ask(1, set={"fade_s": 60})
    assert controller.ask(2, set={"speed": 2.0})["scene"]["fade"] is not None
    controller.ask(3, patch={"speed": 0.1, "fade_s": 0})


def test_two_controllers_see_each_others_changes_within_50_ms(program: Program) -> None:
    with Controller(program.port) as one, Controller(program.port) as other:
        one.state()
        other.state()

        def median_s() -> float:
            waits = []
            for number in range(20):
                speed = round(1 + number / 100 + time.monotonic() % 0.001, 6)
                sent = time.monotonic()
                one.send(set={"speed": speed})
                other.state(speed=speed)
                waits.append(time.monotonic() - sent)
                one.state(speed=speed)
            return statistics.median(waits)

        once_below(0.05, median_s)


def test_changes_by_http_of_looks_and_of_the_history_are_announced(
    program: Program, controller: Controller
) -> None:
    program.request("/prompt", {"prompt": "by HTTP"})
    before = controller.state(prompt="by HTTP")
    assert program.request("/looks/socket", {}, "PUT")[0] in (200, 201)
    saved = controller.until(lambda found: found.get("revision", 0) > before["revision"])
    assert saved["scene"]["prompt"] == "by HTTP"
    program.request("/undo", {}, "POST")
    undone = controller.until(lambda found: found.get("history", {}).get("redo") == 1)
    assert undone["scene"]["prompt"] != "by HTTP"


def test_states_come_at_most_30_times_a_second_and_the_last_is_the_newest(
    program: Program, controller: Controller
) -> None:
    began, count = time.monotonic(), 0
    with Controller(program.port) as other:
        for number in range(200):
            other.ask(number, patch={"speed": (number + 1) / 200})
        lasted_s = time.monotonic() - began
        while controller.receive()["scene"]["speed"] != 1.0:
            count += 1
    assert count <= 30 * (lasted_s + 1)


FAULTS = {
    "not JSON": "speed",
    "empty": "",
    "a list": '[{"set": {}}]',
    "an unknown field": '{"sett": {"speed": 1}}',
    "neither set nor patch": "{}",
    "both": '{"set": {"speed": 1}, "patch": {"speed": 1}}',
    "values that are a list": '{"set": ["speed"]}',
    "a field twice": '{"set": {"speed": 1, "speed": 2}}',
    "deep nesting": '{"set": ' + "[" * 30_000,
    "an unknown parameter": '{"set": {"speeed": 1}}',
    "an unknown field of the scene": '{"patch": {"weight_1": 1}}',
    "a huge integer": '{"set": {"seed": ' + "9" * 5000 + "}}",
    "an integer that is too large": '{"set": {"seed": ' + "9" * 400 + "}}",
    "infinity": '{"set": {"speed": 1e999}}',
    "NaN": '{"set": {"speed": NaN}}',
    "text for a number": '{"set": {"speed": "fast"}}',
    "one bad value of two": '{"set": {"speed": 1, "brightness": 7}}',
    "an id that is a list": '{"set": {"speed": 1}, "id": []}',
    "an id that is null": '{"set": {"speed": 1}, "id": null}',
    "an id that is true": '{"set": {"speed": 1}, "id": true}',
    "an id that is infinite": '{"set": {"speed": 1}, "id": 1e999}',
    "an id of 201 characters": json.dumps({"set": {"speed": 1}, "id": "x" * 201}),
    "a look that does not exist": '{"set": {"look": "none such"}}',
    "a step that is not there": '{"set": {"setlist_next": true}}',
}  # fmt: skip


@pytest.mark.parametrize("text", FAULTS.values(), ids=FAULTS.keys())
def test_a_faulty_message_gets_one_sentence_and_changes_nothing(
    program: Program, text: str
) -> None:
    before = program.status()["revision"]
    with Controller(program.port) as controller:
        controller.socket.send(text)
        sentence = controller.error()
        assert sentence[0].isupper()
        assert sentence.endswith((".", "}}."))
        assert "scene" in controller.ask("after", set={})  # it goes on working
    assert program.status()["revision"] == before


def test_a_fault_names_the_id_of_its_message_and_a_status(controller: Controller) -> None:
    assert controller.ask(1, set={"speed": 9})["status"] == 400
    assert controller.ask("two", nothing=True)["status"] == 400
    assert controller.ask(3.5, set={"look": "none such"})["status"] == 404


def test_faults_without_an_id_are_reported_at_most_once_a_second(controller: Controller) -> None:
    for _ in range(100):
        controller.socket.send("{")
    controller.send(set={}, id="last")
    found = [controller.receive()]
    while found[-1].get("id") != "last":
        found.append(controller.receive())
    assert 1 <= len([one for one in found if "error" in one]) <= 2


def test_a_binary_message_is_an_osc_datagram(controller: Controller) -> None:
    controller.socket.send(b"/speed\0\0,f\0\0\x41\x10\0\0")  # 9.0
    assert controller.error() == "/speed: The speed must be a number from 0 to 4."


ENDS = {
    "text that is not UTF-8": (frame(Opcode.TEXT, b'{"set": \xff'), 1007),
    "a megabyte": (frame(Opcode.TEXT, b" " * 2**20), 1009),
    "the announcement of 2^63 bytes": (b"\x81\xff" + b"\x7f" + b"\xff" * 7 + b"mask", 1009),
    "fragments over the limit": (
        frame(Opcode.TEXT, b" " * 60_000, fin=False) + frame(Opcode.CONT, b" " * 60_000),
        1009,
    ),
    "no mask": (b"\x81\x02{}", 1002),
    "an unknown opcode": (b"\x83\x80mask", 1002),
    "a reserved bit": (b"\xc1\x80mask", 1002),
    "a long ping": (b"\x89\xfe\x00\x7e" + b"mask" + bytes(126), 1002),
    "a continuation of nothing": (frame(Opcode.CONT, b"{}"), 1002),
    "a close code that does not exist": (frame(Opcode.CLOSE, b"\x00\x01"), 1002),
}


@pytest.mark.parametrize(("data", "code"), ENDS.values(), ids=ENDS.keys())
def test_a_breach_of_the_protocol_closes_the_connection_with_its_code(
    program: Program, data: bytes, code: int
) -> None:
    before = program.status()["revision"]
    with shake_hands(program.port) as connection:
        connection.sendall(data)
        assert close_code(connection) == code
    assert program.status()["revision"] == before
    assert "Traceback" not in program.log


def test_messages_in_the_same_packet_as_the_handshake_are_not_lost(program: Program) -> None:
    last = frame(Opcode.TEXT, b'{"set": {"speed": 0.875}}') + frame(Opcode.CLOSE, b"")
    with shake_hands(program.port, HANDSHAKE + last) as connection:
        while connection.recv(65536):
            pass
    assert scene_of(program)["speed"] == 0.875


def test_fragments_with_a_ping_between_them_are_one_message(program: Program) -> None:
    pieces = [frame(Opcode.TEXT, b'{"set": {"sp', fin=False), frame(Opcode.PING, b"between"),
              frame(Opcode.CONT, b"", fin=False), frame(Opcode.CONT, b'eed": 0.625}}')]  # fmt: skip
    with shake_hands(program.port) as connection:
        for byte in b"".join(pieces):
            connection.sendall(bytes([byte]))
        answer = b""
        while b"between" not in answer or b"0.625" not in answer:
            answer += connection.recv(65536)
    assert scene_of(program)["speed"] == 0.625


def test_the_last_value_of_a_controller_that_disappears_is_applied(program: Program) -> None:
    with shake_hands(program.port) as connection:
        for number in range(100):
            connection.sendall(frame(Opcode.TEXT, b'{"set": {"speed": %f}}' % (number / 1000)))
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
    eventually(lambda: scene_of(program)["speed"] == 0.099)


def test_controllers_are_counted_and_logged(start: Start) -> None:
    program = start("sound").wait_until_healthy()
    with Controller(program.port) as one, Controller(program.port):
        one.ask(1, set={"speed": 1})
        assert program.status()["controllers"] == 2
        found = metrics(program)
        assert (found["controllers"], found["control_messages_total"]) == (2, 1)
    eventually(lambda: program.status()["controllers"] == 0)
    assert program.log.count("[control] Controller connected.") == 2
    assert program.log.count("[control] Controller disconnected.") == 2


def test_a_stop_closes_with_1001_at_once(start: Start) -> None:
    program = start("sound").wait_until_healthy()
    with Controller(program.port) as asking, shake_hands(program.port):  # this one never answers
        asking.state()
        assert program.ending_s() < 2.0
        with pytest.raises(ConnectionClosed) as closed:
            asking.until(lambda found: "stopped" in found)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
    assert "Traceback" not in program.log

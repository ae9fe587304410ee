"""Random frames and random messages on the control socket: the server survives, and every message
with an id is answered. FUZZ_EXAMPLES sets how many; `make fuzz` sends many."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.robustness.conftest import Program
from tests.robustness.controller import HANDSHAKE, PATIENCE_S, Controller
from tests.robustness.raw import eventually
from tests.robustness.test_fuzz import EXAMPLES, plain
from turbostream.stream import scene_json
from turbostream.stream.parameters import PARAMETERS
from turbostream.stream.scene_checks import PATCHABLE

OPTIONS: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}
JSON_VALUES = st.one_of(
    plain, st.sampled_from((0, 1, 0.5, -1, 2**63, 1e308, True, "on", "off", "walk"))
)
PLACES = {name: JSON_VALUES for name in (*PARAMETERS, *PATCHABLE)}
names = st.one_of(st.sampled_from(sorted(PLACES)), st.text(max_size=8))
values = st.dictionaries(names, JSON_VALUES, max_size=4)
messages = st.one_of(
    values.map(lambda given: {"set": given}),
    values.map(lambda given: {"patch": given}),
    st.dictionaries(st.sampled_from(("set", "patch", "x")), JSON_VALUES, max_size=2),
)


def wire(
    opcode: int, fin: bool, reserved: int, masked: bool, data: bytes, claimed: int | None
) -> bytes:
    """A frame as bytes; `claimed` is a length that may be wrong. The mask is 0: the data is what
    it reads."""
    length = len(data) if claimed is None else claimed
    head = bytes([fin << 7 | reserved << 4 | opcode])
    if length < 126:
        head += bytes([masked << 7 | length])
    elif length < 2**16:
        head += bytes([masked << 7 | 126]) + length.to_bytes(2)
    else:
        head += bytes([masked << 7 | 127]) + length.to_bytes(8)
    return head + (bytes(4) if masked else b"") + data


texts = messages.map(lambda message: json.dumps(message).encode())
payloads = st.one_of(
    st.just(b""),
    st.binary(max_size=140),
    texts,
    st.just(b"[" * 30_000),
    st.sampled_from((b"\x03\xe8", b"\x03\xe8bye", b"\x03\xed", b"\x00", b"\x03\xe8\xff")),  # close
)
sound = st.builds(wire, st.sampled_from((1, 1, 1, 2, 9, 10, 8)), st.just(True), st.just(0),
                  st.just(True), payloads, st.none())  # fmt: skip
pieces = st.builds(wire, st.sampled_from((0, 0, 1, 2)), st.booleans(), st.just(0), st.just(True),
                   payloads, st.none())  # fmt: skip
odd = st.builds(
    wire,
    st.integers(0, 15),
    st.booleans(),
    st.sampled_from((0, 0, 0, 1, 4)),
    st.booleans(),
    payloads,
    st.one_of(st.none(), st.sampled_from((0, 125, 126, 65_535, 2**20, 2**63 - 1, 2**64 - 1))),
)
raw = st.lists(st.one_of(sound, sound, pieces, odd, st.binary(max_size=30)), max_size=8)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Program("sound", tmp_path_factory.mktemp("state"), "--target-fps", "100") as running:
        running.wait_until_healthy()
        process = psutil.Process(running.process.pid)
        for _ in range(30):
            with Controller(running.port) as controller:
                controller.ask(1, set={"speed": 1})
        files, memory = process.num_fds(), process.memory_info().rss
        yield running
        assert running.process.poll() is None
        eventually(lambda: process.num_fds() <= files + 1)
        assert process.memory_info().rss < memory * 1.1 + 5e6
        _, traceback, rest = running.log.partition("Traceback")
        assert not traceback, rest[:3000]


def is_json(message: object) -> bool:
    """False where Python would write NaN or Infinity."""
    try:
        return bool(json.dumps(message, allow_nan=False))
    except ValueError:
        return False


def check_scene(program: Program) -> None:
    """The scene in force can be written and read again, and pictures go on."""
    scene = json.loads(program.request("/scene")[1])
    kept = {
        name: scene[name] for name in ("prompt", "motion", "speed", "seed", "phase", "brightness")
    }
    scene_json.from_json(kept, 0.0)
    assert program.request("/healthz")[0] == 200


@settings(max_examples=EXAMPLES // 2, **OPTIONS)
@given(raw.map(b"".join), st.booleans())
def test_any_frames_end_the_connection_or_are_handled(
    program: Program, data: bytes, at_once: bool
) -> None:
    with socket.create_connection(("127.0.0.1", program.port), timeout=PATIENCE_S) as connection:
        found = b""
        with suppress(ConnectionError):  # above all a timeout is none: nothing may hang
            connection.sendall(HANDSHAKE + (data if at_once else b""))
            found += connection.recv(65536)
            connection.sendall(b"" if at_once else data)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                found += piece
        assert found.startswith(b"HTTP/1.1 101 ")
    check_scene(program)


@settings(max_examples=EXAMPLES // 4, **OPTIONS)
@given(st.lists(messages, min_size=1, max_size=12))
def test_every_message_with_an_id_is_answered_once(
    program: Program, given: list[dict[str, object]]
) -> None:
    with Controller(program.port) as controller:
        for number, message in enumerate(given):
            controller.send(**{**message, "id": number})
        # The id of a message that is not JSON is unknown.
        left = {number for number, message in enumerate(given) if is_json(message)}
        while left:
            answer = controller.until(lambda found: "id" in found)
            left.remove(answer["id"])
            assert len({"scene", "merged", "error"} & set(answer)) == 1
            if "error" in answer:
                assert answer["status"] in (400, 404, 409, 429)
                assert answer["error"].endswith((".", "}}."))
    check_scene(program)

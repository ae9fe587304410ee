"""Input pictures on the running program: who may send them, what is refused with which sentence,
and floods that neither delay others nor take memory."""

from __future__ import annotations

import io
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from PIL import Image
from websockets.frames import Opcode

from tests.robustness.conftest import Program
from tests.robustness.controller import HANDSHAKE, Controller, frame, http_visitor, shake_hands
from tests.robustness.raw import HOST, ask, eventually, read_all, status_and_error
from tests.robustness.test_control_socket import close_code
from tests.robustness.test_floods import ATTEMPTS, FPS, MEASURED_S, Watcher, flooding, measured
from tests.robustness.test_metrics import metrics
from turbostream.web.live.picture_messages import MOST_PICTURE_BYTES
from turbostream.web.routes.source import MOST_BYTES

PUT = b"PUT /source HTTP/1.1\r\n" + HOST + b"Connection: close\r\n"
STRANGER = {"X-Forwarded-For": "192.0.2.1"}


def picture(kind: str = "JPEG", size: tuple[int, int] = (64, 48), colour: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind)
    return file.getvalue()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    options = ("--target-fps", str(FPS), "--request-timeout-s", "1")
    with Program("sound", tmp_path_factory.mktemp("state"), *options) as running:
        running.wait_until_healthy()
        assert running.request("/snapshot.jpg")[0] == 200  # from here on the size is known
        yield running


@pytest.fixture(scope="module")
def watch(program: Program) -> dict[str, str]:
    """Headers of a viewer elsewhere."""
    assert program.state is not None
    return http_visitor(json.loads((program.state / "tokens.json").read_text())["watch"])


def sent(program: Program, data: bytes, *lines: bytes, target: bytes = b"/source") -> bytes:
    """The whole answer to a PUT with this body."""
    length = b"Content-Length: %d\r\n" % len(data)
    head = PUT.replace(b"/source", target) + b"".join(line + b"\r\n" for line in lines)
    return ask(program.port, head + length + b"\r\n" + data)


def test_curl_sends_a_file_and_gets_it_back_as_it_is_painted_from(
    program: Program, tmp_path: Path
) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    file = tmp_path / "picture.png"
    file.write_bytes(picture("PNG", (300, 200), "blue"))
    address = f"http://127.0.0.1:{program.port}/source"

    def run(*arguments: str) -> bytes:
        command = [curl, "--silent", "--show-error", "--fail", "--noproxy", "*", *arguments]
        return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout

    answer = json.loads(run("-T", str(file), f"{address}?fit=cover"))
    assert (answer["status"], answer["source"]["size"]) == ("ok", [300, 200])
    assert answer["source"]["kind"] == "picture"
    with Image.open(io.BytesIO(run(f"{address}.jpg"))) as shown:
        red, _, blue = shown.convert("RGB").getpixel((5, 5))
        assert shown.format == "JPEG"
        assert (red < 40, blue > 200) == (True, True)
    ended = json.loads(run("-X", "DELETE", address))
    assert ended["source"]["kind"] == "none"
    assert program.request("/source.jpg")[0] == 404


def test_viewers_and_strangers_are_refused_and_see_no_picture(
    program: Program, watch: dict[str, str]
) -> None:
    assert b" 200 " in sent(program, picture())[:20]
    for headers, code in ((watch, 403), (STRANGER, 401)):
        lines = [f"{name}: {value}".encode() for name, value in headers.items()]
        given = b"".join(line + b"\r\n" for line in lines)
        for method in (b"GET", b"PUT", b"DELETE"):
            for path in (b"/source", b"/source.jpg") if method == b"GET" else (b"/source",):
                request = method + b" " + path + b" HTTP/1.1\r\n" + HOST + given
                answer = ask(program.port, request + b"Connection: close\r\n\r\n")
                assert status_and_error(answer)[0] == code, (method, path)
                assert b"\xff\xd8" not in answer
        request = b"GET /status HTTP/1.1\r\n" + HOST + given + b"Connection: close\r\n\r\n"
        if code == 403:
            body = ask(program.port, request).partition(b"\r\n\r\n")[2]
            assert json.loads(body)["source"] == {"kind": "picture"}


WRONG = {
    "nothing": (b"", 400),
    "text": (b"Hello, I am a picture.", 415),
    "an SVG": (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', 415),
    "an executable": (b"\x7fELF\x02\x01\x01" + bytes(5000), 415),
    "half a JPEG": (picture(size=(400, 400))[:600], 400),
}


@pytest.mark.parametrize(("data", "code"), WRONG.values(), ids=WRONG.keys())
def test_what_is_no_picture_gets_one_sentence(program: Program, data: bytes, code: int) -> None:
    assert b" 200 " in sent(program, picture())[:20]
    before = program.request("/source.jpg")[1]
    status, error = status_and_error(sent(program, data))
    assert status in (code, 415)
    assert error[0].isupper()
    assert error.endswith(".")
    assert program.request("/source.jpg")[1] == before
    assert program.request("/healthz")[0] == 200


def test_wrong_options_are_refused(program: Program) -> None:
    for target in (b"/source?fit=x", b"/source?mirror=2"):
        assert status_and_error(sent(program, picture(), target=target))[0] == 400


def test_a_body_over_the_limit_is_refused_before_it_is_read(program: Program) -> None:
    announced = PUT + b"Content-Length: %d\r\n\r\n" % (MOST_BYTES + 1)
    status, error = status_and_error(ask(program.port, announced + b"\xff\xd8"))
    assert (status, f"{MOST_BYTES:,}" in error) == (413, True)
    status, _ = status_and_error(
        ask(program.port, announced.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
    )
    assert status == 413


def test_a_chunked_body_is_taken_up_to_the_limit_and_no_further(program: Program) -> None:
    data = picture()
    chunked = PUT + b"Transfer-Encoding: chunked\r\n\r\n"
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (data[:100], data[100:]))
    assert b" 200 " in ask(program.port, chunked + body + b"0\r\n\r\n")[:20]
    chunk = b"%x\r\n" % (1 << 20) + bytes(1 << 20) + b"\r\n"
    answer = ask(program.port, chunked + chunk * (MOST_BYTES // (1 << 20) + 2))
    assert status_and_error(answer)[0] in (408, 413)


def test_a_body_that_is_too_slow_or_too_short_is_refused(program: Program) -> None:
    head = PUT + b"Content-Length: 5000\r\n\r\n" + picture()[:100]
    began = time.monotonic()
    assert status_and_error(ask(program.port, head))[0] == 408
    assert time.monotonic() - began < 5.0
    with socket.create_connection(("127.0.0.1", program.port), timeout=30) as connection:
        connection.sendall(head)
        connection.shutdown(socket.SHUT_WR)
        assert status_and_error(read_all(connection))[0] == 400


def test_pictures_on_the_socket_are_used_and_acknowledged(program: Program) -> None:
    before = program.status()["source"]
    with Controller(program.port) as controller:
        for number, kind in enumerate(("JPEG", "PNG", "WEBP")):
            controller.socket.send(picture(kind, (40 + number, 30)))
            told = controller.until(lambda found: "source" in found)
            assert told == {"source": {"received": number + 1}}
        now = program.status()["source"]
        assert now["used"] == before["used"] + 3
        assert (now["from"], now["size"]) == ("browser", [42, 30])
        controller.socket.send(b"\xff\xd8 no picture")
        told = controller.until(lambda found: "source" in found)["source"]
        assert told["received"] == 4
        assert told["message"].endswith(".")
        controller.socket.send(b"/speed\0\0,f\0\0\x41\x10\0\0")  # OSC as before
        assert "The speed must be" in controller.error()


def test_pictures_of_viewers_are_refused(program: Program, watch: dict[str, str]) -> None:
    before = program.status()["source"]["received"]
    with Controller(program.port, watch) as viewer:
        for _ in range(20):
            viewer.socket.send(picture())
        assert "view-only" in viewer.error()
        viewer.socket.send(bytes(100_000).join((b"\xff\xd8", b"")))
        viewer.send(set={}, id=1)
        assert viewer.until(lambda found: found.get("id") == 1)["status"] == 403
    assert program.status()["source"]["received"] == before


@pytest.mark.parametrize(
    ("data", "code"),
    [(frame(Opcode.BINARY, b"\xff\xd8" + bytes(MOST_PICTURE_BYTES)), 1009),
     (frame(Opcode.TEXT, b" " * 100_000), 1009),
     (frame(Opcode.BINARY, b"/osc" + bytes(100_000)), 1009),
     (frame(Opcode.BINARY, b"\xff\xd8" + bytes(600_000), fin=False)
      + frame(Opcode.CONT, bytes(600_000)), 1009)],
    ids=["a picture", "text", "OSC", "fragments of a picture"],
)  # fmt: skip
def test_messages_over_their_limit_end_the_connection(
    program: Program, data: bytes, code: int
) -> None:
    with shake_hands(program.port) as connection:
        connection.sendall(data)
        assert close_code(connection) == code


def test_a_picture_in_fragments_counts_as_one(program: Program) -> None:
    data = picture("PNG", (500, 400), "green")
    data = data + bytes(200_000)  # what follows the end of a PNG is ignored
    with shake_hands(program.port) as connection:
        connection.sendall(frame(Opcode.BINARY, data[:5], fin=False))
        connection.sendall(frame(Opcode.CONT, data[5:90_000], fin=False))
        connection.sendall(frame(Opcode.CONT, data[90_000:]))
        eventually(lambda: program.status()["source"]["size"] == [500, 400])


def test_a_flood_of_pictures_delays_nobody_and_takes_no_memory(program: Program) -> None:
    process = psutil.Process(program.process.pid)
    flood = frame(Opcode.BINARY, picture(size=(640, 480)))
    found = []
    for _ in range(ATTEMPTS):
        watcher = Watcher(program.port)
        try:
            _, alone_fps = measured(program, watcher, MEASURED_S / 2)
            before, memory = metrics(program), process.memory_info().rss
            with flooding(program.port, HANDSHAKE, flood):
                slowest_s, fps = measured(program, watcher, MEASURED_S)
                grown = process.memory_info().rss - memory
                after = metrics(program)
        finally:
            watcher.close()
        share = fps / alone_fps
        arrived = after["control_messages_total"] - before["control_messages_total"]
        found.append((slowest_s, share, grown, arrived))
        if slowest_s < 1.0 and share > 0.8 and grown < 50e6:
            dropped = "source_pictures_dropped_total"
            assert after[dropped] - before[dropped] > 0.5 * arrived
            break
    else:
        pytest.fail(f"(slowest /healthz in s, share of frames, bytes, messages): {found}")
    assert program.request("/healthz")[0] == 200
    assert "Traceback" not in program.log

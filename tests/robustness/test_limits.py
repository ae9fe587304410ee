"""What a client may cost, on the real server: past each limit a sentence, and room for the rest."""

from __future__ import annotations

import json
import os
import resource
import socket
import statistics
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest

from tests.robustness.conftest import Program, Start
from tests.robustness.raw import ask, eventually, open_stream, read_all, status_and_error
from tests.server import once_below

HOST = b"Host: localhost\r\n"
STREAM = b"GET /stream HTTP/1.0\r\n" + HOST + b"\r\n"


def counts(program: Program) -> tuple[int, int]:
    """(open descriptors, threads) of the server."""
    process = psutil.Process(program.process.pid)
    return process.num_fds(), process.num_threads()


def test_one_viewer_too_many_is_told_so_while_everything_else_answers(start: Start) -> None:
    program = start("sound", "--max-viewers", "5").wait_until_healthy()
    with ExitStack() as stack:
        for _ in range(5):
            viewer = stack.enter_context(open_stream(program.port))
            assert viewer.recv(100)
        status, error = status_and_error(
            ask(program.port, b"GET /stream HTTP/1.0\r\n" + HOST + b"\r\n")
        )
        assert status == 503
        assert "MAX_VIEWERS" in error
        for path, body in (("/healthz", None), ("/prompt", {"prompt": "x"})):

            def answer_s(path: str = path, body: object = body) -> float:
                started = time.monotonic()
                assert program.request(path, body)[0] == 200
                return time.monotonic() - started

            once_below(0.05, lambda ask=answer_s: statistics.median(ask() for _ in range(50)))  # type: ignore[misc]


def test_a_place_is_free_again_as_soon_as_a_viewer_leaves(start: Start) -> None:
    program = start("sound", "--max-viewers", "1").wait_until_healthy()
    for _ in range(5):
        with open_stream(program.port) as viewer:
            assert b" 200 " in viewer.recv(100)
        eventually(lambda: program.status()["viewers"] == 0, 8.0, 0.01)


GET, POST = b"GET / HTTP/1.1\r\n" + HOST, b"POST /prompt HTTP/1.1\r\n" + HOST
MANY = b"".join(b"X%d: y\r\n" % n for n in range(150))
CHUNKED = b"Transfer-Encoding: chunked\r\n"
JSON = b"Content-Type: application/json\r\n"
UNREADABLE = {
    "long head": (GET + b"X: " + b"y" * 40_000 + b"\r\n\r\n", 431, "32,768 bytes"),
    "many headers": (GET + MANY + b"\r\n", 431, "100 lines"),
    "long address": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, "8,192"),
    "long body": (POST + b"Content-Length: 70000\r\n\r\n", 413, "65,536"),
    "nonsense": (b"nonsense\r\n\r\n", 400, "not an HTTP request"),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400, "HTTP/1.0 and HTTP/1.1"),
    "HTTP/3": (b"GET / HTTP/3.0\r\n" + HOST + b"\r\n", 400, "not an HTTP request"),
    "two lengths": (
        POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400, "Content-Length"
    ),
    "signed length": (POST + b"Content-Length: +5\r\n\r\nhello", 400, "Content-Length"),
    "two framings": (POST + CHUNKED + b"Content-Length: 6\r\n\r\n0\r\n\r\n", 400, "Transfer-Enc"),
    "unknown coding": (POST + b"Transfer-Encoding: gzip\r\n\r\n", 400, "Transfer-Encoding"),
    "bad chunk": (POST + JSON + CHUNKED + b"\r\nzz\r\nGET / HTTP/1.1\r\n\r\n", 400, "sent"),
    "raw bytes in the query": (b"GET /stream?\x80 HTTP/1.1\r\n" + HOST + b"\r\n", 400, "escaped"),
    "cut head": (b"GET /status HTTP/1.1\r\nHo", 400, "within the head"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("request_bytes", "status", "words"), UNREADABLE.values(), ids=UNREADABLE.keys()
)
def test_what_cannot_be_read_gets_one_sentence(
    program: Program, request_bytes: bytes, status: int, words: str
) -> None:
    with socket.create_connection(("127.0.0.1", program.port), timeout=10) as connection:
        connection.sendall(request_bytes)
        connection.shutdown(socket.SHUT_WR)
        found, error = status_and_error(read_all(connection))
    assert found == status
    assert words in error
    assert "Traceback" not in program.log


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> object:
    with Program("sound", tmp_path_factory.mktemp("state")) as running:
        yield running.wait_until_healthy()


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> object:
    """A server that waits for nobody."""
    with Program("sound", tmp_path_factory.mktemp("state"), "--request-timeout-s", "1.5",
                 "--idle-timeout-s", "3") as running:  # fmt: skip
        yield running.wait_until_healthy()


def test_a_head_that_comes_drop_by_drop_is_refused_in_time(hasty: Program) -> None:
    """Slowloris: the whole request has a time, not each byte."""
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=10) as connection:
        started, found = time.monotonic(), b""
        connection.settimeout(0.2)
        while not found and time.monotonic() - started < 30:
            try:
                connection.sendall(b"GET / HTTP/1.1\r\n"[:1] if found else b"X")
                found = connection.recv(1000)
            except TimeoutError:
                continue
        assert time.monotonic() - started > 1.0
        assert status_and_error(found)[0] == 408


def test_a_body_that_comes_drop_by_drop_is_refused_in_time(hasty: Program) -> None:
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=9) as connection:
        connection.sendall(
            b"POST /prompt HTTP/1.1\r\n" + HOST
            + b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
        )  # fmt: skip
        found = read_all(connection)
        assert time.monotonic() - started > 1.0
        assert status_and_error(found)[0] == 408


def test_a_silent_connection_is_closed_without_a_word(hasty: Program) -> None:
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=9) as connection:
        assert connection.recv(10) == b""  # or a TimeoutError: by default it takes 10 s


def ask_health(connection: socket.socket) -> bytes:
    """The whole answer; the connection stays open."""
    connection.sendall(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
    whole = b""
    while not whole.endswith(b"}\n"):
        piece = connection.recv(4096)
        assert piece, "closed before the answer was whole"
        whole += piece
    return whole


def test_a_connection_may_be_used_again_and_is_closed_when_it_idles(hasty: Program) -> None:
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=30) as connection:
        for _ in range(3):
            started = time.monotonic()
            assert b" 200 " in ask_health(connection)
        assert connection.recv(10) == b""
        assert time.monotonic() - started > 2.0


def test_a_stream_outlives_the_time_of_a_request(hasty: Program) -> None:
    with open_stream(hasty.port) as viewer:
        until = time.monotonic() + 3
        while time.monotonic() < until:
            assert viewer.recv(65536)


def test_a_new_connection_takes_the_place_of_the_one_that_has_idled_longest(start: Start) -> None:
    program = start("sound", "--max-connections", "8").wait_until_healthy()
    with ExitStack() as stack:
        idle = [
            stack.enter_context(socket.create_connection(("127.0.0.1", program.port), timeout=30))
            for _ in range(8)
        ]
        for connection in idle:  # each is known to the server, and idles from here on
            assert b" 200 " in ask_health(connection)
        assert program.request("/healthz")[0] == 200
        assert idle[0].recv(10) == b"", "the first one made room"
        assert b" 200 " in ask_health(idle[-1]), "the last one is still there"


def test_past_the_last_connection_a_sentence_says_what_to_do(start: Start) -> None:
    program = start("sound", "--max-connections", "8").wait_until_healthy()
    with ExitStack() as stack:
        for _ in range(8):
            assert stack.enter_context(open_stream(program.port)).recv(100)
        status, error = status_and_error(ask(program.port, b"GET / HTTP/1.0\r\n" + HOST + b"\r\n"))
        assert status == 503
        assert "MAX_CONNECTIONS" in error


def test_too_few_open_files_are_said_at_the_start_and_lived_with(start: Start) -> None:
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))

    program = start("sound", before=few).wait_until_healthy()
    assert "only 128 files may be open at once" in program.log
    with ExitStack() as stack:
        for _ in range(150):
            viewer = stack.enter_context(open_stream(program.port))
        assert viewer.recv(100)
        time.sleep(0.3)
    eventually(program.is_healthy)
    assert "Traceback" not in program.log


def test_the_limit_on_open_files_is_raised_where_it_may_be(start: Start) -> None:
    def low() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 4096))

    program = start("sound", before=low).wait_until_healthy()
    assert "files may be open" not in program.log
    soft = psutil.Process(program.process.pid).rlimit(psutil.RLIMIT_NOFILE)[0]
    assert soft >= 2048


def test_descriptors_used_up_by_others_do_not_end_the_server(start: Start) -> None:
    program = start("sound").wait_until_healthy()
    process = psutil.Process(program.process.pid)
    process.rlimit(psutil.RLIMIT_NOFILE, (process.num_fds() + 3, 4096))
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(socket.create_connection(("127.0.0.1", program.port), timeout=30))
        program.wait_for_log("no new connection can be taken")
    process.rlimit(psutil.RLIMIT_NOFILE, (4096, 4096))
    eventually(program.is_healthy)
    assert "Traceback" not in program.log


def test_a_storm_of_connections_leaves_nothing_behind(start: Start) -> None:
    program = start("sound", "--max-viewers", "200", "--target-fps", "20").wait_until_healthy()

    health = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
    asked = (b"GET /stream HTTP/1.0\r\n" + HOST + b"\r\n", health, b"G", b"")

    def storm(answers: int) -> None:
        """A thousand connections, and gone: after the first `answers` answers, or abruptly."""
        with ExitStack() as stack:
            connections = [stack.enter_context(socket.socket()) for _ in range(1000)]
            for number, connection in enumerate(connections):
                connection.settimeout(60)
                connection.connect(("127.0.0.1", program.port))
                connection.sendall(asked[number % len(asked)])
            for connection in connections[: 4 * answers : 4]:
                assert connection.recv(1)

    def resident() -> int:
        eventually(lambda: program.status()["viewers"] == 0)
        time.sleep(0.3)
        return psutil.Process(program.process.pid).memory_info().rss

    for _ in range(4):  # all thousand open at once: what a storm can take at most is taken now
        storm(answers=250)
    resident()  # all are gone
    before = counts(program)

    def growth() -> float:
        rss = resident()
        for _ in range(3):
            storm(answers=0)
            eventually(lambda: counts(program) <= before)
        return resident() / rss

    once_below(1.02, growth)
    assert program.request("/healthz")[0] == 200
    assert "Traceback" not in program.log


@pytest.mark.parametrize("reads_s", [0.0, 1.0], ids=["stalled", "a byte a second"])
def test_a_viewer_that_takes_nothing_is_dropped_and_the_others_notice_nothing(
    start: Start, reads_s: float
) -> None:
    program = start(
        "sound", "--dead-viewer-s", "3", environ={"PICTURE_BYTES": "30000"}
    ).wait_until_healthy()
    process = psutil.Process(program.process.pid)
    watching = threading.Event()
    seen: list[int] = []

    def was_dropped() -> bool:
        return b"turbostream_dead_viewers_total 1.0" in program.request("/metrics")[1]

    def watch() -> None:
        with open_stream(program.port) as viewer:
            while not watching.is_set():
                seen.append(viewer.recv(1 << 18).count(b"X-Frame-Id"))

    reader = threading.Thread(target=watch, name="another viewer")
    reader.start()
    try:
        eventually(lambda: sum(seen) > 30)
        assert not was_dropped()  # what this takes of memory at first is taken now
        rss, frames, painted = process.memory_info().rss, sum(seen), program.status()["frame"]
        with open_stream(program.port, receive_bytes=4096) as lame:
            started = time.monotonic()
            while not was_dropped():
                assert time.monotonic() - started < 30
                time.sleep(reads_s or 0.2)
                if reads_s:
                    lame.recv(1)
        got, made = sum(seen) - frames, program.status()["frame"] - painted
        assert got > 0.6 * made, "the other one gets what is painted"
        assert process.memory_info().rss - rss < 2e6
    finally:
        watching.set()
        reader.join()


@pytest.mark.parametrize("fps", ["60", "0.1"], ids=["while frames flow", "while nothing is sent"])
def test_a_viewer_who_leaves_is_seen_at_once(start: Start, fps: str) -> None:
    program = start("sound", "--target-fps", fps).wait_until_healthy()
    times = []
    for _ in range(5):
        with open_stream(program.port) as viewer:
            eventually(lambda: program.status()["viewers"] == 1)
            viewer.recv(65536)
            if fps == "0.1":  # leave while nothing comes, for a picture is sent twice, then rarely
                viewer.settimeout(0.3)
                with suppress(TimeoutError):
                    while viewer.recv(65536):
                        pass
        times.append(eventually(lambda: program.status()["viewers"] == 0, step_s=0.005))
    assert statistics.median(times) < 0.2, times


def test_watching_never_blocks_the_owners_words(start: Start) -> None:
    program = start("sound", environ={"PICTURE_BYTES": "30000"}).wait_until_healthy()
    with ExitStack() as stack:
        for _ in range(50):  # nobody of them reads
            stack.enter_context(open_stream(program.port))
        status, answer = program.request("/prompt", {"prompt": "new"})
        assert status == 200
        assert json.loads(answer)["prompt"] == "new"


def test_the_state_folder_holds_nothing_that_others_can_read(start: Start) -> None:
    program = start("sound").wait_until_healthy()
    assert isinstance(program.state, Path)
    for path in (program.state, *program.state.iterdir()):
        assert os.stat(path).st_mode & 0o077 == 0

"""Who may open the control socket, what a watcher gets, and what a handshake has to contain."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from websockets.exceptions import InvalidStatus

from tests.robustness.conftest import Program
from tests.robustness.controller import HANDSHAKE, Controller, http_visitor, shake_hands
from tests.robustness.raw import ask, eventually, status_and_error
from turbostream.web.auth.tokens import Tokens
from turbostream.web.http import environ
from turbostream.web.live import handshake

LAN = "http://192.168.1.5:8000"  # a page over plain http: its browser marks nothing
COOKIE = "turbostream_8000"
RATE = 20


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    options = "--prompt-rate", str(RATE), "--channels", "main,left"
    with Program("sound", tmp_path_factory.mktemp("state"), *options) as running:
        yield running.wait_until_healthy()


@pytest.fixture(scope="module")
def tokens(program: Program) -> dict[str, str]:
    assert program.state is not None
    found: dict[str, str] = json.loads((program.state / "tokens.json").read_text())
    return found


def with_headers(*lines: str, host: str = "localhost") -> bytes:
    """A handshake with more headers."""
    more = "".join(f"{line}\r\n" for line in lines).encode("latin-1")
    return HANDSHAKE.replace(b"Host: localhost\r\n", b"Host: %s\r\n%s" % (host.encode(), more))


def refusal(program: Program, request: bytes) -> tuple[int, str]:
    return status_and_error(ask(program.port, request))


def cookie(program: Program, token: str) -> str:
    """The cookie of a browser that has logged in at LAN."""
    body = json.dumps({"token": token}).encode()
    answer = ask(
        program.port,
        b"POST /login HTTP/1.1\r\nHost: 192.168.1.5:8000\r\nContent-Type: application/json\r\n"
        b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body),
    )
    line = next(line for line in answer.split(b"\r\n") if line.startswith(b"Set-Cookie: "))
    return line.removeprefix(b"Set-Cookie: ").partition(b";")[0].decode()


def test_strangers_are_refused_before_any_upgrade(program: Program) -> None:
    for lines in ((), ("Authorization: Bearer wrong",), (f"Cookie: {COOKIE}=owner.x.y",)):
        assert refusal(program, with_headers(*lines, host="192.168.1.5:8000"))[0] == 401
    with pytest.raises(InvalidStatus) as refused, Controller(program.port, {"Via": "a proxy"}):
        pass
    assert refused.value.response.status_code == 401


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1", ""])
@pytest.mark.parametrize("mark", ["", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site"])
def test_pages_of_other_origins_are_refused_on_this_machine(
    program: Program, origin: str, mark: str
) -> None:
    """Browsers send a handshake to other sites without asking, and most do not mark it."""
    lines = [line for line in (f"Origin: {origin}", mark) if line]
    status, sentence = refusal(program, with_headers(*lines))
    assert status == 403
    assert "other sites" in sentence


def test_a_cookie_counts_only_for_pages_of_its_own_origin(
    program: Program, tokens: dict[str, str]
) -> None:
    given = f"Cookie: {cookie(program, tokens['owner'])}"
    host = "192.168.1.5:8000"
    for origin in ("http://192.168.1.5:9000", "http://evil.example", "null"):
        assert refusal(program, with_headers(given, f"Origin: {origin}", host=host))[0] == 403
    assert refusal(program, with_headers(given, host=host))[0] == 401
    shake_hands(program.port, with_headers(given, f"Origin: {LAN}", host=host)).close()


def test_the_page_itself_connects(program: Program) -> None:
    own = with_headers(f"Origin: http://localhost:{program.port}", host=f"localhost:{program.port}")
    shake_hands(program.port, own).close()
    marked = own.replace(
        b"Origin", b"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: websocket\r\nOrigin"
    )
    shake_hands(program.port, marked).close()


def test_a_permitted_origin_connects(tmp_path_factory: pytest.TempPathFactory) -> None:
    state = tmp_path_factory.mktemp("state")
    with Program("sound", state, "--cors-origins", "http://studio.example") as program:
        program.wait_until_listening()
        shake_hands(program.port, with_headers("Origin: http://studio.example")).close()
        assert refusal(program, with_headers("Origin: http://other.example"))[0] == 403


def test_a_watcher_gets_the_state_and_may_change_nothing(
    program: Program, tokens: dict[str, str]
) -> None:
    before = program.status()["revision"]
    with Controller(program.port, http_visitor(tokens["watch"])) as watcher:
        scene = watcher.state()["scene"]
        assert "prompt" in scene
        assert not {"seed", "phase"} & set(scene)
        for message in ({"set": {"speed": 1}}, {"patch": {"speed": 1}}):
            answer = watcher.ask(1, **message)
            assert (answer["status"], "view-only" in answer["error"]) == (403, True)
        watcher.socket.send(b"/speed\0\0,f\0\0\0\0\0\0")
        assert "view-only" in watcher.error()
        assert program.status()["revision"] == before
        program.request("/scene", {"brightness": 0.5}, "PATCH")
        assert not {"seed", "phase"} & set(watcher.state(brightness=0.5)["scene"])


def of_channel(tokens: dict[str, str], name: str) -> Tokens:
    return Tokens(tokens["owner"], tokens["watch"], kept=True).of_channel(name)


def test_a_token_of_a_channel_opens_the_socket_of_that_channel_only(
    program: Program, tokens: dict[str, str]
) -> None:
    visitor = http_visitor(of_channel(tokens, "left").owner)
    for path in ("/control", "/control?channel=main", "/control?channel=none"):
        with pytest.raises(InvalidStatus) as refused, Controller(program.port, visitor, path):
            pass
        assert refused.value.response.status_code == 403, path
    with Controller(program.port, visitor, "/control?channel=left") as controller:
        assert controller.ask(1, set={"prompt": "left"})["scene"]["prompt"] == "left"
        assert controller.ask(2, patch={"speed": 0.5})["scene"]["speed"] == 0.5
    assert program.status()["prompt"] != "left"


@pytest.mark.parametrize("name", ["main", "left"])
def test_the_socket_of_a_token_of_a_channel_sets_nothing_of_the_server(
    program: Program, tokens: dict[str, str], name: str
) -> None:
    visitor = http_visitor(of_channel(tokens, name).owner)
    with Controller(program.port, visitor, f"/control?channel={name}") as controller:
        before = controller.state()
        assert (before["setlist"], before["recording"]) == (None, None)
        for values in ({"record": "on"}, {"look": "a"}, {"speed": 1, "setlist_play": "on"}):
            answer = controller.ask(1, set=values)
            assert (answer["status"], "link to the server" in answer["error"]) == (403, True)
        controller.socket.send(b"/speed\0\0,f\0\0\0\0\0\0")
        assert "OSC messages need a link to the server" in controller.error()
    with Controller(program.port, visitor, f"/control?channel={name}") as controller:
        assert controller.state()["revision"] == before["revision"]


def test_sets_over_the_rate_wait_and_the_newest_value_wins(
    program: Program, tokens: dict[str, str]
) -> None:
    with Controller(program.port, http_visitor(tokens["owner"])) as controller:
        began, before = time.monotonic(), program.status()["revision"]
        for number in range(400):
            controller.send(set={"speed": (number + 1) / 400})
            time.sleep(0.002)
        answer = controller.ask("last", set={"speed": 0.3})
        lasted_s = time.monotonic() - began
        assert answer["scene"]["speed"] == 0.3
        assert answer["scene"]["revision"] - before <= RATE * (lasted_s + 1) + 1


def test_patches_over_the_rate_are_refused(program: Program, tokens: dict[str, str]) -> None:
    with Controller(program.port, http_visitor(tokens["owner"])) as controller:
        answers = [
            controller.ask(number, patch={"speed": (number + 1) / 100}) for number in range(60)
        ]
        refused = [answer for answer in answers if "status" in answer]
        assert len(refused) >= 60 - RATE - 5  # of a second's worth, and what came back meanwhile
        assert {answer["status"] for answer in refused} == {429}
        assert str(RATE) in refused[0]["error"]
        eventually(lambda: "scene" in controller.ask("again", patch={"speed": 0.5}))


REFUSED = {
    "no upgrade": (b"Connection: Upgrade\r\nUpgrade: websocket\r\n", b"", 426),
    "no Connection": (b"Connection: Upgrade\r\n", b"", 426),
    "another protocol": (b"Upgrade: websocket", b"Upgrade: h2c", 426),
    "two protocols": (b"Upgrade: websocket", b"Upgrade: websocket, h2c", 426),
    "an old version": (b"Version: 13", b"Version: 8", 426),
    "no version": (b"Sec-WebSocket-Version: 13\r\n", b"", 426),
    "no key": (b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", b"", 400),
    "a short key": (b"AAAAAAAAAAAAAAAAAAAAAA==", b"AAAA", 400),
    "a key that is not Base64": (b"AAAAAAAAAAAAAAAAAAAAAA==", b"\xff" * 24, 400),
    "two keys": (b"\r\nUpgrade", b"\r\nSec-WebSocket-Key: x\r\nUpgrade", 400),
    "a malformed subprotocol": (b"\r\nUpgrade", b"\r\nSec-WebSocket-Protocol: (\r\nUpgrade", 400),
    "HTTP/1.0": (b"HTTP/1.1", b"HTTP/1.0", 505),
    "HEAD": (b"GET", b"HEAD", 405),
    "POST": (b"GET", b"POST", 405),
    "a body": (b"\r\nUpgrade", b"\r\nContent-Length: 2\r\nUpgrade", 400),
    "a chunked body": (b"\r\nUpgrade", b"\r\nTransfer-Encoding: chunked\r\nUpgrade", 400),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_a_faulty_handshake_gets_one_sentence(
    program: Program, old: bytes, new: bytes, status: int
) -> None:
    request = HANDSHAKE.replace(old, new, 1).replace(b"Host", b"Connection: close\r\nHost", 1)
    answer = ask(program.port, request + b"{}")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert int(head.split()[1]) == status, answer
    assert body or new == b"HEAD"
    if body:
        assert status_and_error(answer)[1].endswith(".")
    lines = head.split(b"\r\n")
    if status == 426:
        assert b"Upgrade: websocket" in lines
        assert b"Sec-WebSocket-Version: 13" in lines
        assert b"Connection: Upgrade, close" in lines


def test_an_offered_compression_is_declined(program: Program) -> None:
    offered = with_headers("Sec-WebSocket-Extensions: permessage-deflate")
    with shake_hands(program.port, offered) as connection:
        assert connection.recv(2)[0] == 0x81  # a text frame without the bit for compression


def test_other_routes_decline_an_upgrade_by_answering(program: Program) -> None:
    for path in (b"/scene", b"/nothing"):
        request = HANDSHAKE.replace(b"/control", path).replace(
            b"Upgrade\r\n", b"Upgrade, close\r\n"
        )
        assert ask(program.port, request).startswith(
            b"HTTP/1.1 200 " if path == b"/scene" else b"HTTP/1.1 404 "
        )


def test_the_server_and_the_route_agree_where_the_upgrade_is_named() -> None:
    assert environ.UPGRADE == handshake.UPGRADE

"""Tokens, cookies, rates and other origins, on the application without a socket."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from flask.testing import FlaskClient
from gevent.event import Event

from tests.web.conftest import stage as stage
from turbostream.web import gate
from turbostream.web.access import Access
from turbostream.web.app import create_app
from turbostream.web.context import AppContext
from turbostream.web.rates import MOST_KEYS, Mistakes, Rates
from turbostream.web.tokens import Tokens
from turbostream.web.viewers import Bell

FAR = {"REMOTE_ADDR": "192.0.2.7"}
OUT = {"Host": "stream.example:8000"}


class Visitor:
    """Somebody elsewhere, who keeps cookies."""

    def __init__(self, client: FlaskClient, peer: str = "192.0.2.7", **headers: str) -> None:
        self._client, self._peer = client, peer
        self._headers = {**OUT, **headers}
        self.cookie = ""

    def ask(self, method: str, path: str, json: Any = None, **headers: str) -> Any:
        sent = {**self._headers, **{k.replace("_", "-"): v for k, v in headers.items()}}
        if self.cookie:
            sent["Cookie"] = self.cookie
        answer = self._client.open(
            path, method=method, json=json, headers=sent,
            environ_overrides={"REMOTE_ADDR": self._peer}, buffered=False,
        )  # fmt: skip
        if "Set-Cookie" in answer.headers:
            self.cookie = answer.headers["Set-Cookie"].partition(";")[0]
        return answer

    def log_in(self, token: str) -> Any:
        return self.ask("POST", "/login", json={"token": token})


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "WRONG_TOKEN_S", 0.0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The gate's time, which stands still: however slow the machine, no pause is over by itself."""
    now = [1000.0]
    monkeypatch.setattr(gate, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


@pytest.fixture
def make(stage: AppContext) -> Iterator[Any]:
    bells: list[Bell] = []

    def client(**settings: object) -> FlaskClient:
        bells.append(Bell())
        stage.channel.buffer.listen(bells[-1].ring)
        changed = replace(stage, settings=replace(stage.settings, **settings))  # type: ignore[arg-type]
        return create_app(changed, bells[-1]).test_client(use_cookies=False)

    yield client
    stage.channel.buffer._listeners = ()
    for bell in bells:
        bell.close()


def bearer(token: str) -> str:
    return f"Bearer {token}"


def test_the_owners_token_does_all_and_the_other_only_watches(make: Any, stage: AppContext) -> None:
    visitor = Visitor(make())
    owner, watch = bearer(stage.tokens.owner), bearer(stage.tokens.watch)
    assert visitor.ask("POST", "/prompt", {"prompt": "a"}, Authorization=owner).status_code == 200
    assert visitor.ask("PATCH", "/scene", {"speed": 1}, Authorization=owner).status_code == 200
    before = stage.channel.last_change
    for method, path, body in (
        ("POST", "/prompt", {"prompt": "b"}),
        ("PATCH", "/scene", {"speed": 2}),
        ("POST", "/guard/extend", {}),
    ):
        refused = visitor.ask(method, path, body, Authorization=watch)
        assert refused.status_code == 403, path
        assert "watch only" in refused.json["error"]
    assert stage.channel.last_change is before
    for path in ("/", "/status", "/scene", "/snapshot.jpg", "/healthz", "/metrics"):
        assert visitor.ask("GET", path, Authorization=watch).status_code in (200, 503), path


def test_a_watcher_may_say_what_was_shown(make: Any, stage: AppContext) -> None:
    visitor, watch = Visitor(make()), bearer(stage.tokens.watch)
    stream = visitor.ask("GET", "/stream", Authorization=watch)
    next(iter(stream.response))
    path = f"/stream/{stream.headers['X-Stream-Id']}/shown"
    assert visitor.ask("POST", path, {"frame": 1}, Authorization=watch).status_code == 204
    stream.close()


def test_a_watcher_does_not_see_the_settings(make: Any, stage: AppContext) -> None:
    visitor = Visitor(make())
    seen = visitor.ask("GET", "/status", Authorization=bearer(stage.tokens.watch)).json
    assert (seen["role"], seen["settings"]) == ("watcher", None)
    seen = visitor.ask("GET", "/status", Authorization=bearer(stage.tokens.owner)).json
    assert seen["role"] == "owner"
    assert seen["settings"]["TARGET_FPS"]


def test_a_token_becomes_a_cookie_that_holds_no_token(make: Any, stage: AppContext) -> None:
    visitor = Visitor(make())
    answer = visitor.log_in(stage.tokens.watch)
    assert (answer.status_code, answer.json) == (200, {"status": "ok", "role": "watcher"})
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("turbostream_8000=")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert stage.tokens.watch not in cookie
    assert visitor.ask("GET", "/status").status_code == 200
    again = visitor.log_in(stage.tokens.watch).headers["Set-Cookie"]
    assert again != cookie, "each login is a session of its own"


def test_a_form_without_a_script_logs_in_too(make: Any, stage: AppContext) -> None:
    answer = make().post(
        "/login", data={"token": stage.tokens.owner}, headers=OUT, environ_overrides=FAR
    )
    assert (answer.status_code, answer.headers["Location"]) == (303, "./")
    assert "Set-Cookie" in answer.headers


def test_a_cookie_ends_with_its_token(make: Any, stage: AppContext) -> None:
    visitor = Visitor(make())
    visitor.log_in(stage.tokens.owner)
    stage.tokens = Tokens.for_this_run()
    moved = Visitor(make())
    moved.cookie = visitor.cookie
    refused = moved.ask("GET", "/status")
    assert refused.status_code == 401
    assert "Expires=Thu, 01 Jan 1970" in refused.headers["Set-Cookie"], "and is taken away"


@pytest.mark.parametrize("role", ["owner", "watcher"])
def test_a_cookie_cannot_be_made_up_or_raised(make: Any, stage: AppContext, role: str) -> None:
    visitor = Visitor(make())
    visitor.log_in(stage.tokens.watch)
    name, _, value = visitor.cookie.partition("=")
    _, nonce, signature = value.split(".")
    for forged in (f"owner.{nonce}.{signature}", f"{role}.{nonce}x.{signature}", f"{role}..", role,
                   f"{role}.{nonce}.", "\udc80", f"{role}.{nonce}.é"):  # fmt: skip
        try:
            forged.encode("latin-1")
        except UnicodeEncodeError:
            continue
        forger = Visitor(make(), peer="198.51.100.1")
        forger.cookie = f"{name}={forged}"
        assert forger.ask("GET", "/status").status_code == 401, forged


def test_where_the_browser_marks_nothing_a_cookie_writes_only_for_its_own_page(
    make: Any, stage: AppContext
) -> None:
    visitor = Visitor(make())
    visitor.log_in(stage.tokens.owner)
    words = {"prompt": "x"}
    assert visitor.ask("POST", "/prompt", words).status_code == 401
    own, other = "http://stream.example:8000", "http://stream.example:9000"
    assert visitor.ask("POST", "/prompt", words, Origin=own).status_code == 200
    assert visitor.ask("POST", "/prompt", words, Origin=other).status_code == 403
    assert visitor.ask("POST", "/prompt", words, Sec_Fetch_Site="same-origin").status_code == 200
    assert visitor.ask("POST", "/prompt", words, Sec_Fetch_Site="same-site").status_code == 403
    assert visitor.ask("GET", "/scene").status_code == 200


def test_a_proxy_in_front_makes_nobody_the_owner(make: Any) -> None:
    client = make(loopback_owner=False)
    assert client.get("/status").status_code == 401
    assert client.get("/status", headers={"Host": "localhost"}).status_code == 401


@pytest.mark.parametrize("trust", [True, False])
def test_a_forwarding_header_never_makes_an_owner(make: Any, trust: bool) -> None:
    client = make(trust_forwarded=trust)
    for name in ("X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Forwarded", "Via"):
        assert client.get("/status", headers={name: "127.0.0.1"}).status_code == 401, name


def test_behind_a_trusted_proxy_its_word_on_host_and_scheme_counts(
    make: Any, stage: AppContext
) -> None:
    said = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "stream.example"}  # fmt: skip
    for trust in (True, False):
        client = make(trust_forwarded=trust)
        answer = client.post("/login", json={"token": stage.tokens.owner}, headers=said)
        assert ("Secure" in answer.headers["Set-Cookie"]) is trust


def test_a_browser_without_a_token_gets_a_page_and_a_program_a_sentence(make: Any) -> None:
    visitor = Visitor(make())
    page = visitor.ask("GET", "/", Accept="text/html,application/xhtml+xml,*/*;q=0.8")
    assert page.status_code == 401
    assert page.mimetype == "text/html"
    text = page.get_data(as_text=True)
    assert "location.hash" in text
    policy = page.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    sentence = visitor.ask("GET", "/status")
    assert sentence.headers["WWW-Authenticate"] == "Bearer"
    assert sentence.headers["Connection"] == "close"
    assert sentence.json["error"].endswith(".")


def test_every_answer_carries_the_security_headers(make: Any) -> None:
    for client, path in ((make(), "/"), (make(), "/nothing"), (make(loopback_owner=False), "/")):
        headers = client.get(path).headers
        assert "'unsafe" not in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_no_answer_holds_a_token(make: Any, stage: AppContext) -> None:
    client = make()
    for path in ("/", "/status", "/metrics", "/scene", "/healthz", "/login"):
        text = client.get(path).get_data(as_text=True)
        assert stage.tokens.owner not in text
        assert stage.tokens.watch not in text


def test_wrong_tokens_make_an_address_wait_and_nobody_else(
    make: Any, stage: AppContext, clock: list[float]
) -> None:
    client = make()
    guesser, neighbour = Visitor(client), Visitor(client, peer="192.0.2.8")
    codes = [guesser.log_in(f"guess {n}").status_code for n in range(7)]
    assert codes == [401] * 5 + [429] * 2
    late = guesser.log_in(stage.tokens.owner)
    assert late.status_code == 429, "even the right one is not looked at meanwhile"
    assert int(late.headers["Retry-After"]) >= 1
    assert neighbour.log_in(stage.tokens.owner).status_code == 200
    clock[0] += int(late.headers["Retry-After"])
    assert guesser.log_in(stage.tokens.owner).status_code == 200


def test_this_machines_address_never_has_to_wait(make: Any, stage: AppContext) -> None:
    proxied = Visitor(make(), peer="127.0.0.1")
    for n in range(20):
        assert proxied.log_in(f"guess {n}").status_code == 401
    assert proxied.log_in(stage.tokens.owner).status_code == 200


def test_guesses_that_complete_together_are_counted_before_they_are_checked(
    make: Any, stage: AppContext, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are past their heads before the first body is whole, as a real client can arrange."""
    client = make()
    complete = Event()
    read = gate.body.field_of
    checked: list[str] = []

    def once_all_are_here(request: Any, name: str) -> Any:
        complete.wait()
        return read(request, name)

    def count(self: Access, token: str) -> str | None:
        checked.append(token)
        return role_of(self, token)

    role_of = Access.role_of
    monkeypatch.setattr(gate.body, "field_of", once_all_are_here)
    monkeypatch.setattr(Access, "role_of", count)
    guesses = [gevent.spawn(Visitor(client).log_in, f"guess {n}") for n in range(300)]
    gevent.sleep(0)
    complete.set()
    gevent.joinall(guesses, timeout=60, raise_error=True)
    codes = [guess.value.status_code for guess in guesses]
    assert len(checked) == 5
    assert sorted(codes) == [401] * 5 + [429] * 295


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def test_a_player_may_show_the_watching_token_as_a_password(make: Any, stage: AppContext) -> None:
    visitor = Visitor(make())
    for name in ("", "watch", "käse"):
        shown = basic(name, stage.tokens.watch)
        assert visitor.ask("GET", "/status", Authorization=shown).json["role"] == "watcher"
        refused = visitor.ask("POST", "/prompt", {"prompt": "b"}, Authorization=shown)
        assert refused.status_code == 403


def test_the_owners_token_is_no_password(make: Any, stage: AppContext) -> None:
    refused = Visitor(make()).ask("GET", "/status", Authorization=basic("x", stage.tokens.owner))
    assert refused.status_code == 401
    assert "the one that may watch" in refused.json["error"]


def test_wrong_passwords_are_counted_like_wrong_tokens(
    make: Any, stage: AppContext, clock: list[float]
) -> None:
    guesser = Visitor(make())
    shown = [basic("x", "wrong"), basic("x", ""), "Basic", "Basic !", "Basic /w==", basic("x", "é")]
    codes = [guesser.ask("GET", "/status", Authorization=one).status_code for one in shown]
    assert codes == [401] * 5 + [429]


def test_only_programs_are_asked_for_a_password(make: Any) -> None:
    """A browser would put up a window of its own over the page that asks for the token."""
    player = Visitor(make()).ask("GET", "/stream", User_Agent="Lavf/61.7.100")
    assert player.headers.getlist("WWW-Authenticate")[0] == "Bearer"
    assert player.headers.getlist("WWW-Authenticate")[1].startswith('Basic realm="')
    chromium = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/150.0 Safari/537.36"
    for marks in ({"User_Agent": chromium}, {"Sec_Fetch_Mode": "no-cors"}):
        browser = Visitor(make()).ask("GET", "/stream", **marks)
        assert browser.headers.getlist("WWW-Authenticate") == ["Bearer"]


def test_a_wrong_token_is_answered_late(
    make: Any, stage: AppContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "WRONG_TOKEN_S", 0.3)
    slept: list[float] = []
    monkeypatch.setattr(gate, "gevent", SimpleNamespace(sleep=slept.append))
    visitor = Visitor(make())
    assert visitor.log_in(stage.tokens.watch).status_code == 200
    assert slept == []
    assert visitor.log_in("wrong").status_code == 401
    assert slept == [0.3]


def test_the_memory_of_wrong_tokens_does_not_grow() -> None:
    mistakes = Mistakes()
    for n in range(20_000):
        mistakes.note(f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}", float(n) / 1000)
    assert len(mistakes) == MOST_KEYS


def test_one_ipv6_household_is_one_guesser() -> None:
    mistakes = Mistakes()
    for n in range(6):
        mistakes.note(f"2001:db8::{n}", 0.0)
    assert mistakes.wait_s("2001:db8::ffff", 0.0) > 0
    assert mistakes.wait_s("2001:db8:0:1::1", 0.0) == 0


def test_waiting_grows_ends_and_is_forgiven() -> None:
    mistakes = Mistakes()
    waits = []
    for _ in range(14):
        mistakes.note("192.0.2.1", 0.0)
        waits.append(mistakes.wait_s("192.0.2.1", 0.0))
    assert waits == sorted(waits)
    assert waits[3] == 0
    assert waits[-1] == 60
    assert mistakes.wait_s("192.0.2.1", 61.0) == 0
    assert mistakes.note("192.0.2.1", 1000.0) == 1


def test_a_token_may_change_the_words_twenty_times_a_second_and_the_owner_here_at_will(
    make: Any, stage: AppContext, clock: list[float]
) -> None:
    client = make()
    visitor = Visitor(client)
    owner = bearer(stage.tokens.owner)

    def change(**headers: str) -> int:
        return int(visitor.ask("POST", "/prompt", {"prompt": "x"}, **headers).status_code)

    codes = [change(Authorization=owner) for _ in range(60)]
    assert codes == [200] * 20 + [429] * 40
    refused = visitor.ask("POST", "/prompt", {"prompt": "x"}, Authorization=owner)
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "1"
    visitor.log_in(stage.tokens.owner)
    mark = {"Sec_Fetch_Site": "same-origin"}
    assert change(**mark) == 200, "a cookie has a rate of its own"
    clock[0] += int(refused.headers["Retry-After"])
    assert change(Authorization=owner) == 200
    for _ in range(60):
        assert client.post("/prompt", json={"prompt": "x"}).status_code == 200


def test_the_rates_memory_does_not_grow_and_refills() -> None:
    rates = Rates(20)
    for n in range(5000):
        rates.take(str(n), 0.0)
    assert len(rates._left) == MOST_KEYS
    assert sum(rates.take("a", 1.0) for _ in range(30)) == 20
    assert sum(rates.take("a", 1.5) for _ in range(30)) == 10


def test_a_named_origin_may_ask_and_no_other(make: Any, stage: AppContext) -> None:
    client = make(cors_origins="https://studio.example,http://localhost:3000")
    named = {"Origin": "https://studio.example", "Sec-Fetch-Site": "cross-site"}
    before = client.options(
        "/prompt", headers={**named, "Access-Control-Request-Method": "POST",
                            "Access-Control-Request-Headers": "content-type"}
    )  # fmt: skip
    assert before.status_code == 200
    assert before.headers["Access-Control-Allow-Origin"] == "https://studio.example"
    answer = client.post("/prompt", json={"prompt": "x"}, headers=named)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "https://studio.example"
    for origin in ("https://evil.example", "https://studio.example.evil.example", "null"):
        other = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
        refused = client.post("/prompt", json={"prompt": "x"}, headers=other)
        assert refused.status_code == 403
        assert "Access-Control-Allow-Origin" not in refused.headers
    elsewhere = client.post("/prompt", json={"prompt": "x"}, headers={**named, **OUT},
                            environ_overrides=FAR)  # fmt: skip
    assert elsewhere.status_code == 401, "an origin is not a token"


def test_without_the_setting_no_origin_is_let_in(make: Any) -> None:
    headers = make().get("/status", headers={"Origin": "https://studio.example"}).headers
    assert not [name for name in headers.keys() if name.startswith("Access-Control")]  # noqa: SIM118


def test_comparing_takes_as_long_for_a_near_miss_as_for_nonsense() -> None:
    tokens = Tokens.for_this_run()
    access = Access(tokens, loopback_owner=True)
    near = tokens.owner[:-1] + ("a" if tokens.owner[-1] != "a" else "b")

    def took(token: str) -> float:
        started = time.perf_counter()
        for _ in range(50):
            access.role_of(token)
        return time.perf_counter() - started

    pairs = [(took(near), took("~" * len(near))) for _ in range(100)]
    quickest = [min(times) for times in zip(*pairs, strict=True)]  # what other work left alone
    assert quickest[0] == pytest.approx(quickest[1], rel=0.5)
    assert access.role_of(tokens.owner) == "owner"
    assert access.role_of(tokens.watch) == "watcher"
    assert access.role_of("") is None

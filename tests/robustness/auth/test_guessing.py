"""Wrong tokens and passwords: answered late, counted per address, then refused."""

from __future__ import annotations

import hmac
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent.event import Event

from tests.robustness.auth.visitor import Visitor, basic
from turbostream.web.auth import access_control
from turbostream.web.auth.authenticator import Authenticator, Grant
from turbostream.web.auth.rate_limits import MOST_KEYS, FailedLogins
from turbostream.web.auth.tokens import Tokens
from turbostream.web.context import AppContext
from turbostream.web.routes import request_body


def test_wrong_tokens_make_an_address_wait_and_nobody_else(
    make: Any, context: AppContext, clock: list[float]
) -> None:
    client = make()
    guesser, neighbour = Visitor(client), Visitor(client, peer="192.0.2.8")
    codes = [guesser.log_in(f"guess {n}").status_code for n in range(7)]
    assert codes == [401] * 5 + [429] * 2
    late = guesser.log_in(context.tokens.owner)
    assert late.status_code == 429, "even the right one is not looked at meanwhile"
    assert int(late.headers["Retry-After"]) >= 1
    assert neighbour.log_in(context.tokens.owner).status_code == 200
    clock[0] += int(late.headers["Retry-After"])
    assert guesser.log_in(context.tokens.owner).status_code == 200


def test_loopback_never_has_to_wait(make: Any, context: AppContext) -> None:
    proxied = Visitor(make(), peer="127.0.0.1")
    for n in range(20):
        assert proxied.log_in(f"guess {n}").status_code == 401
    assert proxied.log_in(context.tokens.owner).status_code == 200


def test_simultaneous_guesses_are_counted_before_they_are_checked(
    make: Any, context: AppContext, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are past their heads before the first body is whole, as a real client can arrange."""
    client = make()
    complete = Event()
    read = request_body.field_of
    checked: list[str] = []

    def once_all_are_here(request: Any, name: str) -> Any:
        complete.wait()
        return read(request, name)

    def count(self: Authenticator, token: str) -> Grant | None:
        checked.append(token)
        return grant_of(self, token)

    grant_of = Authenticator.grant_of
    monkeypatch.setattr(request_body, "field_of", once_all_are_here)
    monkeypatch.setattr(Authenticator, "grant_of", count)
    guesses = [gevent.spawn(Visitor(client).log_in, f"guess {n}") for n in range(300)]
    gevent.sleep(0)
    complete.set()
    gevent.joinall(guesses, timeout=60, raise_error=True)
    codes = [guess.value.status_code for guess in guesses]
    assert len(checked) == 5
    assert sorted(codes) == [401] * 5 + [429] * 295


def test_wrong_passwords_are_counted_like_wrong_tokens(
    make: Any, context: AppContext, clock: list[float]
) -> None:
    guesser = Visitor(make())
    shown = [basic("x", "wrong"), basic("x", ""), "Basic", "Basic !", "Basic /w==", basic("x", "é")]
    codes = [guesser.ask("GET", "/status", Authorization=one).status_code for one in shown]
    assert codes == [401] * 5 + [429]


def test_a_wrong_token_is_answered_late(
    make: Any, context: AppContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_control, "WRONG_TOKEN_S", 0.3)
    slept: list[float] = []
    monkeypatch.setattr(access_control, "gevent", SimpleNamespace(sleep=slept.append))
    visitor = Visitor(make())
    assert visitor.log_in(context.tokens.watch).status_code == 200
    assert slept == []
    assert visitor.log_in("wrong").status_code == 401
    assert slept == [0.3]


def test_the_record_of_wrong_tokens_stays_bounded() -> None:
    failed = FailedLogins()
    for n in range(20_000):
        failed.add(f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}", float(n) / 1000)
    assert len(failed) == MOST_KEYS


def test_the_addresses_of_one_ipv6_network_count_as_one_guesser() -> None:
    failed = FailedLogins()
    for n in range(6):
        failed.add(f"2001:db8::{n}", 0.0)
    for same in ("2001:db8::ffff", "2001:db8::8000:0:0:1", "2001:db8::ffff:ffff:ffff:ffff"):
        assert failed.wait_s(same, 0.0) > 0
    assert failed.wait_s("2001:db8:0:1::1", 0.0) == 0


def test_the_wait_after_wrong_tokens_grows_and_ends() -> None:
    failed = FailedLogins()
    waits = []
    for _ in range(14):
        failed.add("192.0.2.1", 0.0)
        waits.append(failed.wait_s("192.0.2.1", 0.0))
    assert waits == sorted(waits)
    assert waits[3] == 0
    assert waits[-1] == 60
    assert failed.wait_s("192.0.2.1", 61.0) == 0
    assert failed.add("192.0.2.1", 1000.0) == 1


def test_the_time_of_a_comparison_says_nothing_about_the_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every guess is compared with every token as a whole, by what takes the same time for any two
    values of one length, and hashed, which gives them one length."""
    compared: list[tuple[int, int]] = []

    def noted(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return compare_digest(one, other)

    compare_digest = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", noted)
    tokens = Tokens.for_this_run()
    authenticator = Authenticator(tokens, loopback_owner=True)
    own = tokens.of_channel("left")
    guesses = {
        tokens.owner: Grant("owner"),
        tokens.watch: Grant("watcher"),
        own.owner: Grant("owner", "left"),
        own.watch: Grant("watcher", "left"),
        tokens.owner[:-1]: None,
        own.owner[:-1]: None,
        "left.": None,
        "~": None,
        "": None,
    }
    for token, grant in guesses.items():
        compared.clear()
        assert authenticator.grant_of(token) == grant
        assert compared == [(32, 32)] * 2

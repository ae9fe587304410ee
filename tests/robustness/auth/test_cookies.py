"""A login becomes a signed cookie; what it is good for and when it ends."""

from __future__ import annotations

from typing import Any

import pytest

from tests.robustness.auth.visitor import FAR, OUT, Visitor
from turbostream.web.auth.tokens import Tokens
from turbostream.web.context import AppContext


def test_a_token_becomes_a_cookie_that_holds_no_token(make: Any, context: AppContext) -> None:
    visitor = Visitor(make())
    answer = visitor.log_in(context.tokens.watch)
    assert (answer.status_code, answer.json) == (200, {"status": "ok", "role": "watcher"})
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("turbostream_8000=")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert context.tokens.watch not in cookie
    assert visitor.ask("GET", "/status").status_code == 200
    again = visitor.log_in(context.tokens.watch).headers["Set-Cookie"]
    assert again != cookie, "each login is a session of its own"


def test_a_form_without_a_script_logs_in_too(make: Any, context: AppContext) -> None:
    answer = make().post(
        "/login", data={"token": context.tokens.owner}, headers=OUT, environ_overrides=FAR
    )
    assert (answer.status_code, answer.headers["Location"]) == (303, "./")
    assert "Set-Cookie" in answer.headers


def test_a_cookie_ends_with_its_token(make: Any, context: AppContext) -> None:
    visitor = Visitor(make())
    visitor.log_in(context.tokens.owner)
    context.tokens = Tokens.for_this_run()
    moved = Visitor(make())
    moved.cookie = visitor.cookie
    refused = moved.ask("GET", "/status")
    assert refused.status_code == 401
    assert "Expires=Thu, 01 Jan 1970" in refused.headers["Set-Cookie"], "and is taken away"


@pytest.mark.parametrize("role", ["owner", "watcher"])
def test_a_cookie_cannot_be_made_up_or_raised(make: Any, context: AppContext, role: str) -> None:
    visitor = Visitor(make())
    visitor.log_in(context.tokens.watch)
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


def test_without_fetch_metadata_a_cookie_may_write_only_from_its_own_page(
    make: Any, context: AppContext
) -> None:
    visitor = Visitor(make())
    visitor.log_in(context.tokens.owner)
    words = {"prompt": "x"}
    assert visitor.ask("POST", "/prompt", words).status_code == 401
    own, other = "http://stream.example:8000", "http://stream.example:9000"
    assert visitor.ask("POST", "/prompt", words, Origin=own).status_code == 200
    assert visitor.ask("POST", "/prompt", words, Origin=other).status_code == 403
    assert visitor.ask("POST", "/prompt", words, Sec_Fetch_Site="same-origin").status_code == 200
    assert visitor.ask("POST", "/prompt", words, Sec_Fetch_Site="same-site").status_code == 403
    assert visitor.ask("GET", "/scene").status_code == 200

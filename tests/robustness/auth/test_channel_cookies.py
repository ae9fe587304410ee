"""Several links in one browser: which of its cookies counts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.robustness.auth.visitor import FAR, OUT, Visitor
from tests.web.answers import error_of
from turbostream.web.auth.tokens import Tokens
from turbostream.web.context import AppContext

NAME = "turbostream_8000"


class Browser(Visitor):
    """Keeps all cookies that it is given."""

    def __init__(self, client: Any) -> None:
        super().__init__(client, Sec_Fetch_Site="same-origin")
        self._headers = {**OUT, "Sec-Fetch-Site": "same-origin"}
        self.jar: dict[str, str] = {}

    def ask(self, method: str, path: str, json: Any = None, **headers: str) -> Any:
        self.cookie = "; ".join(f"{name}={value}" for name, value in self.jar.items())
        answer = super().ask(method, path, json, **headers)
        for line in answer.headers.getlist("Set-Cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self.jar[name] = value
            if "Expires=Thu, 01 Jan 1970" in line:
                del self.jar[name]
        return answer

    def role(self, channel: str) -> str | int:
        """That on the page of a channel, or the status of the refusal."""
        found = self.ask("GET", f"/status?channel={channel}")
        return found.json["role"] if found.status_code == 200 else found.status_code


@pytest.fixture
def browser(gallery: Any) -> Browser:
    return Browser(gallery)


def test_a_login_answers_with_the_channel_and_sets_a_cookie_of_its_own(
    browser: Browser, context: AppContext
) -> None:
    left = context.tokens.of_channel("left")
    assert browser.log_in(left.watch).json == {
        "status": "ok", "role": "watcher", "channel": "left",
    }  # fmt: skip
    assert list(browser.jar) == [f"{NAME}.left"]
    assert left.watch.partition(".")[2] not in browser.jar[f"{NAME}.left"]


def test_a_form_without_a_script_leads_to_the_page_of_the_channel(
    gallery: Any, context: AppContext
) -> None:
    token = context.tokens.of_channel("left").watch
    answer = gallery.post("/login", data={"token": token}, headers=OUT, environ_overrides=FAR)
    assert (answer.status_code, answer.headers["Location"]) == (303, "./?channel=left")


def test_two_channels_in_one_browser_both_stay_open(browser: Browser, context: AppContext) -> None:
    browser.log_in(context.tokens.of_channel("left").watch)
    browser.log_in(context.tokens.of_channel("right").owner)
    assert [browser.role(it) for it in ("left", "right", "main")] == ["watcher", "owner", 403]
    refused = browser.ask("POST", "/prompt?channel=left", {"prompt": "x"})
    assert "view-only" in error_of(refused, 403)
    assert browser.ask("GET", "/page/page.js").status_code == 200


def test_the_link_that_may_do_more_on_the_channel_counts_whatever_came_first(
    gallery: Any, context: AppContext
) -> None:
    left, whole = context.tokens.of_channel("left"), context.tokens
    for given, roles in (
        ((left.watch, left.owner), ("owner", 403)),
        ((whole.watch, left.owner), ("owner", "watcher")),
        ((left.owner, whole.watch), ("owner", "watcher")),
        ((left.watch, whole.owner), ("owner", "owner")),
        ((whole.owner, left.watch), ("owner", "owner")),
    ):
        browser = Browser(gallery)
        for token in given:
            browser.log_in(token)
        assert (browser.role("left"), browser.role("main")) == roles, given
    seen = browser.ask("GET", "/status?channel=left").json
    assert seen["limited_to"] is None, "the owner of the server is not limited by another link"


def test_a_cookie_cannot_be_raised_or_moved_to_another_channel(
    gallery: Any, context: AppContext
) -> None:
    browser = Browser(gallery)
    browser.log_in(context.tokens.of_channel("left").watch)
    _, nonce, signature = browser.jar[f"{NAME}.left"].split(".")
    for grant in (
        "owner@left",
        "watcher@right",
        "owner",
        "watcher",
        "watcher@",
        "watcher@LEFT",
        "",
    ):
        for name in (NAME, f"{NAME}.left", f"{NAME}.right"):
            forger = Browser(gallery)
            forger._peer = f"198.51.100.{len(grant)}"
            forger.jar = {name: f"{grant}.{nonce}.{signature}"}
            assert forger.role("left") in (401, 429), (grant, name)
    moved = Browser(gallery)
    for name in (NAME, f"{NAME}.right", f"{NAME}.main"):
        moved.jar = {name: browser.jar[f"{NAME}.left"]}
        assert [moved.role(it) for it in ("main", "right")] == [403, 403], name


def test_wrong_cookies_are_taken_away_only_where_none_is_right(
    make: Any, context: AppContext
) -> None:
    left = context.tokens.of_channel("left")
    old = Browser(make())
    for token in (context.tokens.watch, left.owner):
        old.log_in(token)
    context.tokens = Tokens.for_this_run()
    browser = Browser(make())
    browser.jar = dict(old.jar)
    assert browser.role("main") == 401
    assert browser.jar == {}
    browser.jar = dict(old.jar)
    del browser.jar[NAME]
    browser.log_in(context.tokens.watch)
    assert browser.role("main") == "watcher"
    assert f"{NAME}.left" in browser.jar
    assert browser.role("left") == 404, "there is no such channel, which a watcher may know"


def test_a_thousand_wrong_cookies_are_one_failure_and_hide_no_right_one(
    browser: Browser, context: AppContext
) -> None:
    browser.jar = {f"{NAME}.c{n}": "owner@c.x.y" for n in range(1000)}
    assert browser.role("main") == 401
    assert browser.jar == {}
    browser.log_in(context.tokens.of_channel("left").watch)
    browser.jar |= {f"{NAME}.c{n}": "owner@c.x.y" for n in range(1000)}
    assert browser.role("left") == "watcher"

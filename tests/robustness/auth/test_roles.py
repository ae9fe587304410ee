"""What the owner, a watcher and a stranger may do, and what they are told."""

from __future__ import annotations

from typing import Any

import pytest

from tests.robustness.auth.visitor import Visitor, basic, bearer
from turbostream.web.context import AppContext


def test_the_owners_token_may_do_everything_and_the_watching_token_may_only_watch(
    make: Any, context: AppContext
) -> None:
    visitor = Visitor(make())
    owner, watch = bearer(context.tokens.owner), bearer(context.tokens.watch)
    assert visitor.ask("POST", "/prompt", {"prompt": "a"}, Authorization=owner).status_code == 200
    assert visitor.ask("PATCH", "/scene", {"speed": 1}, Authorization=owner).status_code == 200
    before = context.channel.last_change
    for method, path, body in (
        ("POST", "/prompt", {"prompt": "b"}),
        ("PATCH", "/scene", {"speed": 2}),
        ("POST", "/recipe", {"shot": {}}),
        ("POST", "/preview", {"prompt": "b"}),
        ("POST", "/guard/extend", {}),
        ("PUT", "/channels/left", {}),
        ("DELETE", "/channels/main", {}),
    ):
        refused = visitor.ask(method, path, body, Authorization=watch)
        assert refused.status_code == 403, path
        assert "view-only" in refused.json["error"]
    assert context.channel.last_change is before
    for path in ("/", "/status", "/scene", "/snapshot.jpg", "/healthz", "/metrics", "/channels"):
        assert visitor.ask("GET", path, Authorization=watch).status_code in (200, 503), path


def test_a_watcher_may_acknowledge_frames(make: Any, context: AppContext) -> None:
    visitor, watch = Visitor(make()), bearer(context.tokens.watch)
    stream = visitor.ask("GET", "/stream", Authorization=watch)
    next(iter(stream.response))
    path = f"/stream/{stream.headers['X-Stream-Id']}/shown"
    for shown in (0, 1):  # 0 is a placeholder
        assert visitor.ask("POST", path, {"frame": shown}, Authorization=watch).status_code == 204
    stream.close()


def test_a_watcher_does_not_see_the_settings(make: Any, context: AppContext) -> None:
    visitor = Visitor(make())
    seen = visitor.ask("GET", "/status", Authorization=bearer(context.tokens.watch)).json
    assert (seen["role"], seen["settings"]) == ("watcher", None)
    seen = visitor.ask("GET", "/status", Authorization=bearer(context.tokens.owner)).json
    assert seen["role"] == "owner"
    assert seen["settings"]["TARGET_FPS"]


def test_a_player_may_send_the_watching_token_as_a_password(make: Any, context: AppContext) -> None:
    visitor = Visitor(make())
    for name in ("", "watch", "käse"):
        shown = basic(name, context.tokens.watch)
        assert visitor.ask("GET", "/status", Authorization=shown).json["role"] == "watcher"
        refused = visitor.ask("POST", "/prompt", {"prompt": "b"}, Authorization=shown)
        assert refused.status_code == 403


def test_the_owners_token_is_not_accepted_as_a_password(make: Any, context: AppContext) -> None:
    refused = Visitor(make()).ask("GET", "/status", Authorization=basic("x", context.tokens.owner))
    assert refused.status_code == 401
    assert "the view-only token" in refused.json["error"]


def test_only_programs_are_asked_for_a_password(make: Any) -> None:
    """A browser would put up a window of its own over the page that asks for the token."""
    player = Visitor(make()).ask("GET", "/stream", User_Agent="Lavf/61.7.100")
    assert player.headers.getlist("WWW-Authenticate")[0] == "Bearer"
    assert player.headers.getlist("WWW-Authenticate")[1].startswith('Basic realm="')
    chromium = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/150.0 Safari/537.36"
    for marks in ({"User_Agent": chromium}, {"Sec_Fetch_Mode": "no-cors"}):
        browser = Visitor(make()).ask("GET", "/stream", **marks)
        assert browser.headers.getlist("WWW-Authenticate") == ["Bearer"]


def test_behind_a_proxy_nobody_is_the_owner_without_a_token(make: Any) -> None:
    client = make(loopback_owner=False)
    assert client.get("/status").status_code == 401
    assert client.get("/status", headers={"Host": "localhost"}).status_code == 401


@pytest.mark.parametrize("trust", [True, False])
def test_a_forwarding_header_never_makes_an_owner(make: Any, trust: bool) -> None:
    client = make(trust_forwarded=trust)
    for name in ("X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Forwarded", "Via"):
        assert client.get("/status", headers={name: "127.0.0.1"}).status_code == 401, name


def test_behind_a_trusted_proxy_its_headers_decide_host_and_scheme(
    make: Any, context: AppContext
) -> None:
    said = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "stream.example"}  # fmt: skip
    for trust in (True, False):
        client = make(trust_forwarded=trust)
        answer = client.post("/login", json={"token": context.tokens.owner}, headers=said)
        assert ("Secure" in answer.headers["Set-Cookie"]) is trust


def test_without_a_token_a_browser_gets_a_page_and_a_program_gets_a_sentence(make: Any) -> None:
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
        assert "media-src 'self' blob:;" in headers["Content-Security-Policy"], "a video file"
        assert headers["Permissions-Policy"] == "camera=(self), display-capture=(self)"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_no_answer_holds_a_token(make: Any, context: AppContext) -> None:
    client = make()
    for path in ("/", "/status", "/metrics", "/scene", "/healthz", "/login"):
        text = client.get(path).get_data(as_text=True)
        assert context.tokens.owner not in text
        assert context.tokens.watch not in text


def test_looks_the_setlist_the_mappings_and_the_source_are_the_owners(
    make: Any, context: AppContext
) -> None:
    visitor = Visitor(make())
    owner, watch = bearer(context.tokens.owner), bearer(context.tokens.watch)
    scene = {"scene": {"prompt": "a"}}
    assert visitor.ask("PUT", "/looks/a", scene, Authorization=owner).status_code == 200
    before = context.repertoire.collection.content, context.channel.last_change
    for method, path in (
        ("GET", "/looks"), ("GET", "/looks/a/thumbnail.jpg"), ("GET", "/setlist"),
        ("GET", "/export"), ("PUT", "/looks/b"), ("DELETE", "/looks/a"), ("PATCH", "/looks/a"),
        ("PATCH", "/looks"), ("POST", "/looks/a/recall"), ("PUT", "/setlist"),
        ("PATCH", "/setlist"), ("POST", "/setlist/next"), ("POST", "/setlist/previous"),
        ("POST", "/import"), ("POST", "/undo"), ("POST", "/redo"), ("GET", "/mappings"),
        ("PUT", "/mappings"), ("GET", "/source"), ("PUT", "/source"), ("DELETE", "/source"),
        ("GET", "/source.jpg"),
    ):  # fmt: skip
        body = None if method in ("GET", "DELETE") else {}
        refused = visitor.ask(method, path, body, Authorization=watch)
        assert refused.status_code == 403, (method, path)
        assert "view-only" in refused.json["error"]
        assert visitor.ask(method, path, body).status_code == 401, (method, path)
    assert (context.repertoire.collection.content, context.channel.last_change) == before
    visitor.ask("PUT", "/setlist", {"entries": [{"look": "a"}]}, Authorization=owner)
    assert visitor.ask("GET", "/status", Authorization=owner).json["setlist"]["look"] == "a"
    assert visitor.ask("GET", "/status", Authorization=watch).json["setlist"] is None

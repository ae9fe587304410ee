"""Each route, for each kind of visitor. Add new routes to ROUTES, with who may use them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.robustness.auth.visitor import Visitor, bearer
from turbostream.web.auth import channel_limits
from turbostream.web.context import AppContext

ALL = {"view", "control", "view of left", "control of left"}
VIEW = {"view", "control"}
CONTROL = {"control"}
CONTROL_LEFT = {"control", "control of left"}
ANYBODY = ALL | {"nobody", "control of right"}

# who may use it, with ?channel=left where that is possible
ROUTES = {
    "GET /": ALL,
    "GET /overview": VIEW,
    "GET /page/<path:filename>": ALL,
    "GET /stream": ALL,
    "POST /stream/<viewer_id>/shown": ALL,
    "GET /snapshot.jpg": ALL,
    "GET /frames/<number>/shot": CONTROL_LEFT,
    "POST /recipe": CONTROL_LEFT,
    "POST /prompt": CONTROL_LEFT,
    "GET /scene": ALL,
    "PATCH /scene": CONTROL_LEFT,
    "GET /parameters": ALL,
    "PATCH /parameters": CONTROL_LEFT,
    "GET /control": ALL,
    "GET /osc": CONTROL,
    "POST /undo": CONTROL_LEFT,
    "POST /redo": CONTROL_LEFT,
    "GET /looks": CONTROL,
    "PATCH /looks": CONTROL,
    "GET /looks/<look:name>/thumbnail.jpg": CONTROL,
    "PUT /looks/<look:name>": CONTROL,
    "PATCH /looks/<look:name>": CONTROL,
    "DELETE /looks/<look:name>": CONTROL,
    "POST /looks/<look:name>/recall": CONTROL,
    "GET /channels": VIEW,
    "GET /channels/<look:name>/links": CONTROL,
    "PUT /channels/<look:name>": CONTROL,
    "DELETE /channels/<look:name>": CONTROL,
    "GET /setlist": CONTROL,
    "PUT /setlist": CONTROL,
    "PATCH /setlist": CONTROL,
    "POST /setlist/next": CONTROL,
    "POST /setlist/previous": CONTROL,
    "GET /mappings": CONTROL,
    "PUT /mappings": CONTROL,
    "GET /export": CONTROL,
    "POST /import": CONTROL,
    "POST /preview": CONTROL_LEFT,
    "GET /recording": CONTROL,
    "POST /recording": CONTROL,
    "GET /recordings": CONTROL,
    "GET /recordings/<name>": CONTROL,
    "DELETE /recordings/<name>": CONTROL,
    "GET /clip": CONTROL,
    "GET /broadcast": CONTROL,
    "PUT /broadcast": CONTROL,
    "DELETE /broadcast": CONTROL,
    "GET /source": CONTROL_LEFT,
    "PUT /source": CONTROL_LEFT,
    "DELETE /source": CONTROL_LEFT,
    "GET /source.jpg": CONTROL_LEFT,
    "GET /status": ALL,
    "GET /healthz": ALL,
    "GET /metrics": VIEW,
    "POST /guard/extend": CONTROL,
    "POST /login": ANYBODY,
}
VALUES = {
    "<path:filename>": "page.js", "<viewer_id>": "somebody", "<number>": "1", "<look:name>": "new",
    "<name>": "new",
}  # fmt: skip


def rules_of(client: Any) -> set[tuple[str, str, str]]:
    """(method, rule, endpoint) of each route, but for what Flask answers by itself."""
    return {
        (method, rule.rule, rule.endpoint)
        for rule in client.application.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }


def token_of(context: AppContext, who: str) -> str | None:
    role, _, channel = who.partition(" of ")
    tokens = context.tokens.of_channel(channel) if channel else context.tokens
    return {"control": tokens.owner, "view": tokens.watch, "nobody": None}[role]


def answer(client: Any, token: str | None, method: str, rule: str, query: str) -> tuple[int, str]:
    """(status, error or "") of a request that does as little as possible."""
    path = rule
    for variable, value in VALUES.items():
        path = path.replace(variable, value)
    headers = {} if token is None else {"Authorization": bearer(token)}
    body = None if method in ("GET", "DELETE") else {}
    found = Visitor(client).ask(method, path + query, body, **headers)
    try:
        is_json = found.mimetype == "application/json" and found.status_code >= 400
        return found.status_code, found.json["error"] if is_json else ""
    finally:
        found.close()


def test_every_route_is_in_the_table(gallery: Any) -> None:
    assert {f"{method} {rule}" for method, rule, _ in rules_of(gallery)} == set(ROUTES)


def test_the_limits_name_no_route_that_does_not_exist(gallery: Any) -> None:
    endpoints = {endpoint for _, _, endpoint in rules_of(gallery)}
    assert endpoints >= channel_limits.OF_CHANNEL | channel_limits.OF_NONE
    assert not channel_limits.OF_CHANNEL & channel_limits.OF_NONE


@pytest.mark.parametrize("who", sorted(ANYBODY))
def test_a_visitor_may_use_these_routes_of_a_channel_and_no_others(
    gallery: Any, context: AppContext, who: str
) -> None:
    token, let_in = token_of(context, who), set()
    for method, rule, endpoint in rules_of(gallery):
        names = endpoint in channel_limits.OF_CHANNEL or " of " in who
        query = "?channel=left" if names else ""
        status, sentence = answer(gallery, token, method, rule, query)
        assert status != 500, (method, rule)
        if status not in (401, 403):
            let_in.add(f"{method} {rule}")
        else:
            assert sentence.endswith("."), (method, rule)
    assert let_in == {route for route, visitors in ROUTES.items() if who in visitors}


@pytest.mark.parametrize(
    "query",
    ["main", "right", "none", "", "lef", "Left", "left%00", "left&channel=main",
     "main&channel=left"],
)  # fmt: skip
@pytest.mark.parametrize("who", ["view of left", "control of left"])
def test_a_token_of_a_channel_opens_nothing_of_another_whether_that_exists_or_not(
    gallery: Any, context: AppContext, who: str, query: str
) -> None:
    for method, rule, endpoint in rules_of(gallery):
        if endpoint == "login":
            continue
        status, sentence = answer(
            gallery, token_of(context, who), method, rule, f"?channel={query}"
        )
        assert status == 403, (method, rule)
        assert "left only" in sentence or "view-only" in sentence, (method, rule)


@pytest.mark.parametrize("who", ["view of left", "control of left"])
def test_without_a_channel_it_opens_only_what_says_nothing_of_any(
    gallery: Any, context: AppContext, who: str
) -> None:
    opened = {}
    for method, rule, endpoint in rules_of(gallery):
        status, _ = answer(gallery, token_of(context, who), method, rule, "")
        if status != 403:
            opened[endpoint] = status
    assert {*opened} == {"static", "healthz", "login", "index"}
    assert opened["index"] == 302, "to its own page"


@pytest.mark.parametrize("who", ["view of main", "control of main"])
def test_a_token_of_the_default_channel_opens_no_more_than_that_of_another(
    gallery: Any, context: AppContext, who: str
) -> None:
    as_left = who.replace("main", "left")
    for query in ("", "?channel=main"):
        let_in = set()
        for method, rule, _ in rules_of(gallery):
            if answer(gallery, token_of(context, who), method, rule, query)[0] not in (401, 403):
                let_in.add(f"{method} {rule}")
        assert let_in == {route for route, visitors in ROUTES.items() if as_left in visitors}

"""The control socket of the page: changes go over it in order, else over HTTP."""

from __future__ import annotations

import json
import re

import pytest

from tests.page.desk import FIRST_PICTURE
from tests.page.gate import CONNECTED
from tests.page.gate import gated as gated_window
from tests.page.live_server import shared
from tests.page.test_picture import HIDE
from tests.page.test_windows import QuickServer

pytestmark = pytest.mark.browser

SET = """(batches) => import('/page/control.js').then(({setParameters}) => {
    const start = performance.now();
    batches.forEach((values) => setParameters(values));
    return performance.now() - start;
})"""
HOLD = "(on) => import('/page/control.js').then(({hold}) => hold('a test', on))"
BROKE = "The connection broke before the server answered."


shared_server = shared(QuickServer)


def scene(server):
    return server.ask("GET", "/scene")


def changes_of(page):
    """The requests of a window that change something, from now on, as [(method, path, body)]."""
    found = []

    def note(request):
        path = re.sub(r"^https?://[^/]+/", "", request.url)
        if request.method != "GET" and not path.endswith("/shown"):
            found.append((request.method, path, json.loads(request.post_data or "null")))

    page.on("request", note)
    return found


@pytest.fixture
def gated(desk):
    """(a window, its gate): what the page sends over the socket is kept back."""
    return gated_window(desk)


def test_words_and_controls_go_over_the_socket_without_a_request(desk, server, eventually):
    page = desk.open()
    requests = changes_of(page)
    page.fill("#prompt", "a green fish")
    page.keyboard.press("Enter")
    eventually(lambda: scene(server)["prompt"], "a green fish")
    page.fill("#speed", "100")
    eventually(lambda: scene(server)["speed"], 4)
    page.keyboard.press("Escape")
    page.keyboard.press("Space")
    eventually(lambda: scene(server)["motion"], "hold")
    page.fill("#brightness", "0.5")
    eventually(lambda: scene(server)["brightness"], 0.5)
    eventually(lambda: page.inner_text("#brightness-value"), "0.50")
    eventually(lambda: page.text_content("#latency").endswith(" ms"))
    assert requests == []


def test_a_change_of_another_controller_is_pushed_and_not_polled(desk, server, eventually):
    page = desk.open()
    polled = []
    page.on("request", lambda it: polled.append(it.url) if it.url.endswith("/status") else None)
    eventually(lambda: len(polled) > 0)
    polled.clear()
    server.ask("PATCH", "/scene", {"seed": 4711})
    eventually(lambda: page.input_value("#seed"), "4711")
    assert [it for it in desk.messages(page).pushed if it["scene"]["seed"] == 4711]
    assert len(polled) <= 1, "the regular one at most"
    server.ask("POST", "/undo")
    eventually(lambda: page.is_enabled("#redo"))


def test_two_windows_follow_each_other(desk, server, eventually):
    one, other = desk.open(), desk.open()
    one.fill("#speed", "100")
    eventually(lambda: other.inner_text("#speed-value"), "4.00")
    other.fill("#seed", "12")
    other.keyboard.press("Enter")
    eventually(lambda: one.input_value("#seed"), "12")
    one.click("#black")
    eventually(lambda: other.get_attribute("#black", "aria-pressed"), "true")
    eventually(lambda: other.inner_text("#brightness-value"), "0.00")
    other.click("#black")
    eventually(lambda: one.get_attribute("#black", "aria-pressed"), "false")


def test_black_goes_back_to_the_brightness_before(desk, server, eventually):
    page = desk.open()
    page.fill("#brightness", "0.4")
    page.keyboard.press("Escape")
    for wanted in (0, 0.4):
        page.keyboard.press("b")
        eventually(lambda wanted=wanted: scene(server)["brightness"], wanted)


def test_changes_are_sent_by_http_in_their_order_when_the_socket_breaks(gated, server, eventually):
    page, gate = gated
    requests = changes_of(page)
    page.fill("#prompt", "a green fish")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.keyboard.press("Space")
    eventually(lambda: [list(it["patch"])[0] for it in gate.held], ["prompt", "motion"])
    page.evaluate(SET, [{"speed": 1}])
    eventually(lambda: len(gate.held), 3)
    assert requests == [], "the socket is open"
    gate.break_off()
    eventually(lambda: scene(server)["speed"], 1)
    assert scene(server)["prompt"] == "a green fish"
    assert scene(server)["motion"] == "hold"
    asked = [("POST", "prompt"), ("PATCH", "scene"), ("PATCH", "parameters")]
    eventually(lambda: [(method, path) for method, path, _ in requests], asked)


def test_a_trigger_that_was_not_answered_is_not_sent_again(gated, server, eventually):
    page, gate = gated
    requests = changes_of(page)
    page.evaluate(SET, [{"new_seed": True}])
    eventually(lambda: len(gate.held), 1)
    gate.break_off()
    eventually(lambda: page.text_content("#message"), BROKE)
    assert requests == []


def test_an_older_state_does_not_replace_what_the_page_has_sent(gated, server, eventually):
    page, gate = gated
    older = scene(server) | {"seed": 1}
    state = {"scene": older, "revision": older["revision"], "history": {"undo": 1, "redo": 0}}
    page.fill("#seed", "34")
    page.keyboard.press("Enter")
    eventually(lambda: len(gate.held), 1)
    gate.push(state | {"setlist": None})
    eventually(lambda: page.is_enabled("#undo"))  # so the page has used the message
    assert page.input_value("#seed") == "34"
    newer = older | {"seed": 34, "revision": older["revision"] + 1}
    gate.push({"id": gate.held[0]["id"], "scene": newer})
    gate.push(state | {"setlist": None, "history": {"undo": 0, "redo": 0}})
    eventually(lambda: page.is_enabled("#undo"), False)
    assert page.input_value("#seed") == "34"


def test_a_refusal_over_the_socket_is_shown(gated, eventually):
    page, gate = gated
    page.keyboard.press("Space")
    eventually(lambda: len(gate.held), 1)
    gate.push({"id": gate.held[0]["id"], "error": "The scene is sealed.", "status": 400})
    eventually(lambda: page.text_content("#message"), "The scene is sealed.")


def test_values_are_merged_and_triggers_are_not(desk, server, eventually):
    page = desk.open()
    sent = desk.messages(page).sent
    took_ms = page.evaluate(SET, [{"speed": i / 100} for i in range(1, 201)])
    eventually(lambda: scene(server)["speed"], 2)
    eventually(lambda: sent[-1]["set"], {"speed": 2, "fade_s": 0})
    assert len(sent) <= 2 + took_ms / 16, "the first, and the newest of each 16 ms"
    page.evaluate(SET, [{"undo": True}, {"undo": 0}, {"undo": False}, {"undo": 1}])
    eventually(lambda: len([it for it in sent if "undo" in it["set"]]), 2)


def test_without_the_socket_values_are_merged_into_few_requests(
    desk, server, http_window, eventually
):
    requests = changes_of(http_window)
    for i in range(1, 41):
        http_window.evaluate(SET, [{"speed": i / 20, "brightness": 1 - i / 80}])
    eventually(lambda: (scene(server)["speed"], scene(server)["brightness"]), (2, 0.5))
    newest = {"speed": 2, "brightness": 0.5, "fade_s": 0}
    eventually(lambda: requests[-1][2], newest)  # the browser reports its requests late
    assert {path for _, path, _ in requests} == {"parameters"}
    assert http_window.evaluate(CONNECTED) is False
    eventually(lambda: http_window.inner_text("#speed-value"), "2.00")


@pytest.fixture
def http_window(desk):
    page = desk.without_socket()
    desk.show(page)
    return page


def test_the_fade_of_the_page_applies_to_triggers_and_is_set_by_a_controller(desk, eventually):
    page = desk.open()
    sent = desk.messages(page).sent
    page.evaluate(SET, [{"fade_s": 15, "easing": "linear"}])
    eventually(lambda: page.inner_text("#fade-value"), "15 s")
    assert page.input_value("#easing") == "linear"
    assert sent == [], "it is the page's own"
    page.evaluate(SET, [{"new_seed": True}, {"motion": "hold"}])
    eventually(lambda: len(sent), 2)
    assert sent[0]["set"] == {"new_seed": True, "fade_s": 15, "easing": "linear"}
    assert sent[1]["set"] == {"motion": "hold", "fade_s": 0}


def test_a_value_out_of_range_is_refused_with_a_sentence(desk, server, eventually):
    page = desk.open()
    page.evaluate(SET, [{"speed": 99}])
    eventually(lambda: page.text_content("#message"), "The speed must be a number from 0 to 4.")
    page.evaluate(SET, [{"sped": 1}])
    eventually(lambda: "There is no parameter 'sped'" in page.text_content("#message"))
    assert scene(server)["speed"] == 0.15


def test_a_hidden_page_closes_the_socket_unless_something_needs_it(desk, server, eventually):
    page = desk.open()
    messages = desk.messages(page)
    page.evaluate(HIDE, True)
    eventually(lambda: messages.open, 0)
    page.evaluate(HIDE, False)
    eventually(lambda: messages.open, 1)
    page.evaluate(HOLD, True)
    page.evaluate(HIDE, True)
    page.evaluate(SET, [{"speed": 3}])
    eventually(lambda: scene(server)["speed"], 3)
    assert messages.open == 1
    page.evaluate(HOLD, False)
    eventually(lambda: messages.open, 0)


def test_the_socket_comes_back_after_the_server_was_killed(own_desk, eventually):
    page = own_desk.open()
    messages = own_desk.messages(page)
    own_desk.tolerate_lost_server()
    own_desk.server.end()
    eventually(lambda: messages.open, 0)
    own_desk.server.start()
    before = len(messages.received)
    eventually(lambda: len(messages.received) > before)
    own_desk.server.ask("PATCH", "/scene", {"seed": 99})
    eventually(lambda: page.input_value("#seed"), "99")
    page.keyboard.press("Space")
    eventually(lambda: any("patch" in one for one in messages.sent))
    eventually(lambda: scene(own_desk.server)["motion"], "hold")


def test_attempts_become_rare_when_the_socket_is_refused(desk):
    page = desk.open()
    pauses = """import('/page/socket.js')
        .then(({pauseMs}) => [1, 2, 3, 4, 5, 8, 30].map(pauseMs))"""
    assert page.evaluate(pauses) == [1000, 1000, 1000, 2000, 4000, 30000, 30000]


def test_a_watcher_is_told_of_changes_over_the_socket(desk, server, eventually):
    token = json.loads((server.state_dir / "tokens.json").read_text())["watch"]
    page = desk.window(extra_http_headers={"X-Forwarded-For": "203.0.113.9"})  # not the owner
    page.goto(f"{server.url}/#{token}")
    page.wait_for_selector(FIRST_PICTURE)
    desk.expect_network_report(401)  # the first answer
    pushed = desk.messages(page).pushed
    server.ask("POST", "/prompt", {"prompt": "a red circle"})
    eventually(lambda: desk.messages(page).pushed[-1]["scene"]["prompt"], "a red circle")
    assert all("seed" not in it["scene"] for it in [*pushed, *desk.messages(page).pushed])
    eventually(lambda: page.inner_text("#showing"), "a red circle")

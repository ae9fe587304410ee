"""The words: sent while they are typed, in order, and named where the model does not know them."""

from __future__ import annotations

import time

import pytest

from tests.page.desk import FIRST_PICTURE
from tests.page.live_server import FIRST_PROMPT

pytestmark = pytest.mark.browser

KNOWN = ("two yelow stars", "A Crimson ROCKET, in space!", "5 butterflies", "a hgue rokcet")
WATCH = """
    window.keys = []; window.posts = []; window.gate = null;
    addEventListener('input', () => keys.push(performance.now()), true);
    const real = window.fetch;
    let flying = 0;
    window.fetch = async (path, options) => {
        if (!path.endsWith('/prompt')) return real(path, options);
        const {prompt} = JSON.parse(options.body);
        posts.push({at: performance.now(), prompt, flying: ++flying});
        await gate;
        return real(path, options).finally(() => { flying -= 1; });
    };
"""
HOLD_POSTS = "() => { gate = new Promise((open) => { window.letPostsGo = open; }); }"
HOLD_STATUS = """
    () => {
        window.answers = 0;
        const gate = new Promise((open) => { window.letStatusGo = open; });
        const real = window.fetch;
        window.fetch = async (path, options) => {
            if (!path.endsWith('/status')) return real(path, options);
            const text = await (await real(path)).text();
            answers += 1;
            await gate;
            return new Response(text);
        };
    }
"""


@pytest.fixture
def page(desk):
    return emptied(desk, desk.window())


@pytest.fixture
def still_page(desk):
    """A page whose own time stands still, but for what a test lets pass."""
    window = desk.window()
    window.clock.install()
    emptied(desk, window)
    window.clock.pause_at(window.evaluate("Date.now()") / 1000 + 4)  # before a silence is too long
    return window


def emptied(desk, window):
    """The page with a picture and an empty field, in a window."""
    window.add_init_script(WATCH)
    window.goto(desk.server.url)
    window.wait_for_selector(FIRST_PICTURE)
    window.fill("#prompt", "")
    window.evaluate("() => { keys.length = 0; }")
    return window


def sent(page):
    return [post["prompt"] for post in page.evaluate("posts")]


def test_the_field_has_the_focus_at_start(desk):
    page = desk.open()
    assert page.evaluate("document.activeElement.id") == "prompt"


def test_the_first_key_takes_the_place_of_the_old_words(desk, server, eventually):
    page = desk.open()
    page.keyboard.type("a red car")
    assert page.input_value("#prompt") == "a red car"
    eventually(lambda: server.ask("GET", "/status")["prompt"], "a red car")


def test_words_typed_in_a_window_that_began_with_the_picture_alone_go_where_they_are_put(desk):
    page = desk.open("/?clean")
    page.keyboard.press("Escape")
    page.locator("#prompt").press("End")
    page.keyboard.type(", large")
    assert page.input_value("#prompt") == f"{FIRST_PROMPT}, large"


def test_typing_sends_the_words_once_150_ms_after_the_last_key(still_page):
    for key in "green star":
        still_page.locator("#prompt").press(key if key != " " else "Space")
        still_page.clock.run_for(149)
    assert sent(still_page) == []
    still_page.clock.run_for(1)
    assert sent(still_page) == ["green star"]
    assert still_page.evaluate("posts[0].at - keys.at(-1)") == pytest.approx(150, abs=0.5)
    still_page.clock.run_for(2000)
    assert sent(still_page) == ["green star"]


def test_enter_sends_at_once_and_once(still_page):
    still_page.locator("#prompt").press_sequentially("red")
    still_page.keyboard.press("Enter")
    assert sent(still_page) == ["red"]
    still_page.clock.run_for(2000)
    assert sent(still_page) == ["red"]


def test_the_button_sends_what_the_field_holds(page, server, eventually):
    page.fill("#prompt", "a blue moon")
    page.click("text=Set Prompt")
    eventually(lambda: server.ask("GET", "/status")["prompt"], "a blue moon")
    eventually(lambda: page.text_content("#showing"), "a blue moon")


def test_an_example_fills_the_field_and_is_sent(page, server, eventually):
    example = page.locator("#examples button").nth(2)
    words = example.inner_text()
    example.click()
    assert page.input_value("#prompt") == words
    eventually(lambda: server.ask("GET", "/status")["prompt"], words)


def test_posts_never_overlap_and_the_newest_words_win(page, server, eventually):
    page.evaluate(HOLD_POSTS)
    for words in ("red", "green", "blue", "pink", "a white cloud"):
        page.fill("#prompt", words)
        page.keyboard.press("Enter")
    page.evaluate("letPostsGo()")
    eventually(lambda: server.ask("GET", "/status")["prompt"], "a white cloud")
    assert sent(page) == ["red", "a white cloud"]
    assert [post["flying"] for post in page.evaluate("posts")] == [1, 1]


def test_the_page_says_how_long_words_take_to_become_a_picture(page, eventually):
    started = time.monotonic()
    page.fill("#prompt", "a red heart")
    page.keyboard.press("Enter")
    eventually(lambda: page.text_content("#latency").endswith(" ms"))
    passed_ms = (time.monotonic() - started) * 1000
    assert 0 < int(page.text_content("#latency").split()[0]) <= passed_ms + 1
    eventually(lambda: "p95" in page.text_content("#server"))


def test_the_age_and_the_rate_of_the_picture_are_shown(page, eventually):
    def is_young():
        number, _, unit = page.text_content("#age").partition(" ")
        return unit == "ms" and int(number) < 2000

    eventually(is_young)
    eventually(lambda: float(page.text_content("#fps")) > 0.5)


def test_words_of_others_are_shown_but_do_not_touch_the_field(page, server, eventually):
    server.ask("POST", "/prompt", {"prompt": "a brown house"})
    eventually(lambda: page.text_content("#showing"), "a brown house")
    assert page.input_value("#prompt") == ""
    assert page.title().startswith("a brown house")


def test_a_field_that_nobody_uses_follows_the_words_of_others(desk, server, eventually):
    page = desk.open()
    page.keyboard.press("Escape")
    server.ask("POST", "/prompt", {"prompt": "a brown house"})
    eventually(lambda: page.input_value("#prompt"), "a brown house")
    page.locator("#prompt").press("End")
    page.keyboard.type(" and a tree")
    eventually(lambda: server.ask("GET", "/status")["prompt"], "a brown house and a tree")


def test_a_field_whose_window_is_not_in_front_follows_too(desk, server, eventually):
    page = desk.open()
    page.evaluate("() => { document.hasFocus = () => false; }")
    server.ask("POST", "/prompt", {"prompt": "a brown house"})
    eventually(lambda: page.input_value("#prompt"), "a brown house")
    page.keyboard.type("a fish")
    assert page.input_value("#prompt") == "a fish"


def test_what_was_begun_in_a_field_and_left_is_kept(page, server, eventually):
    page.fill("#prompt", "  ")
    page.keyboard.press("Escape")
    server.ask("POST", "/prompt", {"prompt": "a brown house"})
    eventually(lambda: page.text_content("#showing"), "a brown house")
    assert page.input_value("#prompt") == "  "


def test_an_empty_prompt_is_answered_with_a_sentence(page, eventually):
    for empty in ("", "   "):
        page.fill("#prompt", empty)
        for send in (lambda: page.keyboard.press("Enter"), lambda: page.click("text=Set Prompt")):
            send()
            eventually(
                lambda: page.text_content("#message"), "The prompt is empty; type a few words."
            )
            page.focus("#prompt")
            page.keyboard.press("x")
            eventually(lambda: page.text_content("#message"), "")
            page.fill("#prompt", empty)
    assert sent(page) == []


def test_words_past_the_models_limit_are_named_below_the_field(page, desk, eventually):
    page.fill("#prompt", "a red star, " * 14 + "on blue")
    page.keyboard.press("Enter")
    eventually(lambda: page.text_content("#message").startswith("The model does not read"))
    said = page.text_content("#message")
    assert "on blue" not in said.partition("“")[0]
    page.wait_for_timeout(1500)  # the status is taken meanwhile
    assert page.text_content("#message") == said

    beside = desk.open()  # it learns of it with the page
    assert beside.text_content("#message") == said
    page.fill("#prompt", "a red star")
    eventually(lambda: page.text_content("#message"), "")
    beside.keyboard.press("Escape")
    eventually(lambda: beside.input_value("#prompt"), "a red star")
    eventually(lambda: beside.text_content("#message"), "")


def test_a_paste_of_more_than_a_prompt_may_hold_is_kept_and_said(page, eventually):
    page.evaluate("document.execCommand('insertText', false, 'red '.repeat(375))")
    wanted = "The prompt has 1,500 characters; 1,000 is the most. Shorten it."
    eventually(lambda: page.text_content("#message"), wanted)
    assert len(page.input_value("#prompt")) == 1500
    page.keyboard.press("Enter")
    eventually(lambda: page.text_content("#message"), wanted)
    assert sent(page) == []
    page.fill("#prompt", "🐱" * 1000)  # characters, as the server counts them
    page.keyboard.press("Enter")
    eventually(lambda: sent(page) == ["🐱" * 1000])
    eventually(lambda: "characters" not in page.text_content("#message"))


def test_a_status_from_before_new_words_does_not_bring_the_old_ones_back(page, eventually):
    page.evaluate(HOLD_STATUS)
    eventually(lambda: page.evaluate("answers"), 1)
    page.fill("#prompt", "a blue moon")
    page.keyboard.press("Enter")
    eventually(lambda: page.text_content("#showing"), "a blue moon")
    page.evaluate(
        """() => {
            window.shown = [];
            const look = () => shown.push(document.querySelector('#showing').textContent);
            new MutationObserver(look).observe(document.querySelector('#showing'),
                                               {childList: true});
            letStatusGo();
        }"""
    )
    eventually(lambda: page.evaluate("answers > 1"))  # so the first has been taken
    assert page.evaluate("shown") == []


def test_a_refusal_is_said_by_the_field_until_the_next_key(page, desk, eventually):
    refusal = {"status": "error", "error": "The prompt is not to my taste."}
    page.route("**/prompt", lambda it: it.fulfill(status=400, json=refusal))
    page.fill("#prompt", "red")
    page.keyboard.press("Enter")
    eventually(lambda: page.text_content("#message"), refusal["error"])
    page.wait_for_timeout(1500)
    assert page.text_content("#message") == refusal["error"]
    page.unroute("**/prompt")
    page.locator("#prompt").press_sequentially(" star")
    eventually(lambda: page.text_content("#message"), "")
    desk.expect_network_report(400)


def test_a_page_that_was_locked_out_says_how_to_get_in(page, desk, eventually):
    page.route("**/prompt", lambda it: it.fulfill(status=401, json={"error": "no"}))
    page.fill("#prompt", "red")
    page.keyboard.press("Enter")
    eventually(lambda: "lost its access" in page.text_content("#message"))
    desk.expect_network_report(401)


def test_too_many_posts_are_sent_again_when_the_server_says(page, server, desk, eventually):
    slow = {"status": "error", "error": "Too fast."}
    page.route(
        "**/prompt",
        lambda it: it.fulfill(status=429, headers={"Retry-After": "1"}, json=slow),
    )
    page.fill("#prompt", "a pink fish")
    page.keyboard.press("Enter")
    eventually(lambda: page.text_content("#message"), "Too fast.")
    page.unroute("**/prompt")
    eventually(lambda: server.ask("GET", "/status")["prompt"], "a pink fish")
    desk.expect_network_report(429)


def test_the_page_says_that_the_demo_model_paints(page):
    assert "tiny demo model" in page.text_content(".eyebrow")
    page.click("text=Words this small model knows")
    page.click("#known button[data-word='star']")
    assert page.input_value("#prompt") == "star"
    page.click("#known button[data-word='red']")
    assert page.input_value("#prompt") == "star red"


def test_an_unknown_word_is_named_and_a_known_one_takes_its_place(page, server, eventually):
    page.fill("#prompt", "a red dragon on a blue background")
    page.keyboard.press("Enter")
    eventually(lambda: "“dragon”" in page.text_content("#message"))
    offers = page.locator("#message button")
    assert offers.count() == 3
    offered = offers.first.inner_text()
    offers.first.click()
    assert page.input_value("#prompt") == f"a red {offered} on a blue background"
    eventually(lambda: page.text_content("#message"), "")
    eventually(lambda: server.ask("GET", "/status")["prompt"], page.input_value("#prompt"))


def test_sending_the_same_words_again_measures_nothing(page, eventually):
    page.fill("#prompt", "a red star")
    page.keyboard.press("Enter")
    eventually(lambda: page.text_content("#latency").endswith("ms"))
    measured = page.text_content("#latency")
    with page.expect_response("**/prompt"):
        page.keyboard.press("Enter")
    page.wait_for_timeout(1000)
    assert page.text_content("#latency") == measured


@pytest.mark.parametrize("known", KNOWN)
def test_known_and_slightly_misspelt_words_are_not_complained_about(page, known):
    page.fill("#prompt", known)
    page.keyboard.press("Enter")
    page.wait_for_timeout(300)
    assert page.text_content("#message") == ""


def test_a_prompt_without_any_word_is_not_known_and_a_click_replaces_it(page, eventually):
    page.fill("#prompt", "🐱🚀 ???")
    page.keyboard.press("Enter")
    eventually(lambda: "does not know “🐱🚀 ???”" in page.text_content("#message"))
    offered = page.locator("#message button").first.inner_text()
    page.locator("#message button").first.click()
    assert page.input_value("#prompt") == offered


def test_a_word_that_is_still_being_typed_is_not_called_unknown(still_page):
    still_page.locator("#prompt").press_sequentially("a butterf")
    still_page.clock.run_for(1199)
    assert still_page.text_content("#message") == ""
    still_page.clock.run_for(1)
    assert "“butterf”" in still_page.text_content("#message")

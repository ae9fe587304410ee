"""The prompt field: what is typed is sent, in order, and shown."""

from __future__ import annotations

import time

import pytest

from tests.page.field import sent, wait_for_status
from tests.page.live_server import FIRST_PROMPT
from tests.page.test_picture import frame

pytestmark = pytest.mark.browser
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


def test_no_field_has_the_focus_at_start_and_a_key_does_not_become_text(desk):
    page = desk.open()
    assert page.evaluate("document.activeElement === document.body")
    page.keyboard.type("xq")
    assert page.input_value("#prompt") == FIRST_PROMPT


@pytest.mark.parametrize("key", ["/", "Enter"])
def test_a_key_enters_the_field_and_typing_replaces_the_old_words(desk, server, eventually, key):
    page = desk.open()
    page.keyboard.press(key)
    page.keyboard.type("a red car")
    assert page.input_value("#prompt") == "a red car"
    eventually(lambda: server.ask("GET", "/status")["prompt"], "a red car")


def test_after_a_clean_start_typed_words_are_inserted_at_the_cursor(desk):
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


def test_enter_sends_at_once_and_only_once(still_page):
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


def test_clicking_an_example_fills_the_field_and_sends_it(page, server, eventually):
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


def test_sending_the_same_words_again_measures_no_latency(page, desk, eventually):
    page.fill("#prompt", "a red star")
    page.keyboard.press("Enter")
    eventually(lambda: page.text_content("#latency").endswith("ms"))
    measured = page.text_content("#latency")
    answers = desk.messages(page).answers
    page.keyboard.press("Enter")
    eventually(lambda: len(desk.messages(page).answers) > len(answers))
    after = desk.messages(page).answers[-1]["scene"]["frame"]
    eventually(lambda: frame(page) > after)
    wait_for_status(page)  # takes more than a second, in which the figures are refreshed
    assert page.text_content("#latency") == measured


def test_the_age_and_the_rate_of_the_picture_are_shown(page, eventually):
    def is_young():
        number, _, unit = page.text_content("#age").partition(" ")
        return unit == "ms" and int(number) < 2000

    eventually(is_young)
    eventually(lambda: float(page.text_content("#fps")) > 0.5)


def test_words_of_others_are_shown_but_do_not_change_a_field_in_use(page, server, eventually):
    server.ask("POST", "/prompt", {"prompt": "a brown house"})
    eventually(lambda: page.text_content("#showing"), "a brown house")
    assert page.input_value("#prompt") == ""
    assert page.title().startswith("a brown house")


def test_an_unfocused_field_follows_the_words_of_others(desk, server, eventually):
    page = desk.open()
    page.keyboard.press("Escape")
    server.ask("POST", "/prompt", {"prompt": "a brown house"})
    eventually(lambda: page.input_value("#prompt"), "a brown house")
    page.locator("#prompt").press("End")
    page.keyboard.type(" and a tree")
    eventually(lambda: server.ask("GET", "/status")["prompt"], "a brown house and a tree")


def test_a_field_in_a_background_window_follows_the_words_of_others(desk, server, eventually):
    page = desk.open()
    page.keyboard.press("Enter")
    page.evaluate("() => { document.hasFocus = () => false; }")
    server.ask("POST", "/prompt", {"prompt": "a brown house"})
    eventually(lambda: page.input_value("#prompt"), "a brown house")
    page.keyboard.type("a fish")
    assert page.input_value("#prompt") == "a fish"


def test_a_field_that_was_left_shows_the_words_in_force(page, server, eventually):
    page.fill("#prompt", "  ")
    page.keyboard.press("Escape")
    eventually(lambda: page.input_value("#prompt"), FIRST_PROMPT)
    page.fill("#prompt", "a green fish")
    page.keyboard.press("Escape")  # what was typed is sent when the field is left
    eventually(lambda: server.ask("GET", "/status")["prompt"], "a green fish")
    assert page.input_value("#prompt") == "a green fish"


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
    eventually(lambda: page.evaluate("answers > 1"))  # so the page has used the first
    assert page.evaluate("shown") == []

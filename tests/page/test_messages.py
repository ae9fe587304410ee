"""The message below the field: refusals, limits, and words that the model does not know."""

from __future__ import annotations

import pytest

from tests.page.field import sent, wait_for_status

pytestmark = pytest.mark.browser
KNOWN = ("two yelow stars", "A Crimson ROCKET, in space!", "5 butterflies", "a hgue rokcet")


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
    assert all(words.strip() for words in sent(page))  # a slow machine sends the x of the field


def test_words_past_the_models_limit_are_named_below_the_field(page, desk, eventually):
    page.fill("#prompt", "a red star, " * 14 + "on blue")
    page.keyboard.press("Enter")
    eventually(lambda: page.text_content("#message").startswith("The model does not read"))
    said = page.text_content("#message")
    assert "on blue" not in said.partition("“")[0]
    wait_for_status(page)
    assert page.text_content("#message") == said

    beside = desk.open()  # its page comes with the sentence
    assert beside.text_content("#message") == said
    page.fill("#prompt", "a red star")
    eventually(lambda: page.text_content("#message"), "")
    beside.keyboard.press("Escape")
    eventually(lambda: beside.input_value("#prompt"), "a red star")
    eventually(lambda: beside.text_content("#message"), "")


def test_a_pasted_prompt_that_is_too_long_is_kept_and_refused_with_a_sentence(page, eventually):
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


def test_a_refusal_stays_below_the_field_until_the_next_key(http_page, desk, eventually):
    refusal = {"status": "error", "error": "The prompt is not to my taste."}
    http_page.route("**/prompt", lambda it: it.fulfill(status=400, json=refusal))
    http_page.fill("#prompt", "red")
    http_page.keyboard.press("Enter")
    eventually(lambda: http_page.text_content("#message"), refusal["error"])
    wait_for_status(http_page)
    assert http_page.text_content("#message") == refusal["error"]
    http_page.unroute("**/prompt")
    http_page.locator("#prompt").press_sequentially(" star")
    eventually(lambda: http_page.text_content("#message"), "")
    desk.expect_network_report(400)


def test_a_page_that_lost_its_access_says_how_to_log_in(http_page, desk, eventually):
    http_page.route("**/prompt", lambda it: it.fulfill(status=401, json={"error": "no"}))
    http_page.fill("#prompt", "red")
    http_page.keyboard.press("Enter")
    eventually(lambda: "lost its access" in http_page.text_content("#message"))
    desk.expect_network_report(401)


def test_a_prompt_that_was_sent_too_soon_is_sent_again_when_the_server_permits(
    http_page, server, desk, eventually
):
    slow = {"status": "error", "error": "Too fast."}
    http_page.route(
        "**/prompt",
        lambda it: it.fulfill(status=429, headers={"Retry-After": "1"}, json=slow),
    )
    http_page.fill("#prompt", "a pink fish")
    http_page.keyboard.press("Enter")
    eventually(lambda: http_page.text_content("#message"), "Too fast.")
    http_page.unroute("**/prompt")
    eventually(lambda: server.ask("GET", "/status")["prompt"], "a pink fish")
    desk.expect_network_report(429)


def test_the_page_says_that_the_demo_model_paints(page, server, eventually):
    assert "tiny demo model" in page.text_content(".eyebrow")
    page.click("text=Words this small model knows")
    server.ask("PATCH", "/scene", {"seed": 4711})
    eventually(lambda: page.input_value("#seed"), "4711")  # the field stays empty meanwhile
    page.click("#known button[data-word='star']")
    assert page.input_value("#prompt") == "star"
    page.click("#known button[data-word='red']")
    assert page.input_value("#prompt") == "star red"


def test_an_unknown_word_is_named_and_can_be_replaced_with_a_known_one(page, server, eventually):
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


@pytest.mark.parametrize("known", KNOWN)
def test_known_and_slightly_misspelt_words_are_not_called_unknown(page, known, eventually):
    page.fill("#prompt", known)
    page.keyboard.press("Enter")
    eventually(lambda: page.text_content("#showing"), known)  # the answer has been used
    assert page.text_content("#message") == ""


def test_a_prompt_without_any_word_is_called_unknown_and_a_click_replaces_it(page, eventually):
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


def test_a_late_answer_does_not_take_back_which_word_is_unknown(still_page, eventually):
    still_page.evaluate("() => { gate = new Promise((open) => { window.openGate = open; }); }")
    still_page.locator("#prompt").press_sequentially("a butterf")
    still_page.clock.run_for(1200)
    assert "“butterf”" in still_page.text_content("#message")
    still_page.evaluate("() => openGate()")
    eventually(lambda: still_page.text_content("#showing"), "a butterf")
    assert "“butterf”" in still_page.text_content("#message")

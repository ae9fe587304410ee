"""Blends, fades, previews, and two controllers of one stream."""

from __future__ import annotations

import pytest

from tests.page.field import wait_for_status
from tests.page.live_server import FIRST_PROMPT

pytestmark = pytest.mark.browser


def prompts(server):
    return [(it["text"], it["weight"]) for it in server.ask("GET", "/scene")["prompts"]]


def test_words_are_blended_weighted_and_removed(desk, server, eventually):
    page = desk.open()
    page.click("#blend-add")
    page.keyboard.type("a red mushroom")
    eventually(lambda: prompts(server), [(FIRST_PROMPT, 1), ("a red mushroom", 0.5)])
    eventually(lambda: page.inner_text("#showing"), f"{FIRST_PROMPT} + a red mushroom")
    page.get_by_label("Weight of words 2").fill("0.25")
    eventually(lambda: prompts(server)[1][1], 0.25)
    page.get_by_label("Weight of these words").fill("0")
    eventually(lambda: prompts(server)[0][1], 0)
    page.click("#blend-first-remove")
    eventually(lambda: prompts(server), [("a red mushroom", 1)])
    assert page.input_value("#prompt") == "a red mushroom"
    assert page.locator("#blend li").count() == 0


def test_a_blend_of_another_controller_is_shown_at_once(desk, server, eventually):
    page = desk.open()
    blend = [{"text": "a blue moon", "weight": 3}, {"text": "a red star", "weight": 1}]
    server.ask("PATCH", "/scene", {"prompts": blend})
    eventually(lambda: page.input_value("#prompt"), "a blue moon")
    assert page.locator("#blend li input[type=text]").input_value() == "a red star"
    assert page.inner_text("#weight-value") == "3.00"
    page.click(".blend-row >> nth=1")
    page.get_by_label("Weight of words 2").fill("0.5")
    eventually(lambda: prompts(server), [("a blue moon", 3), ("a red star", 0.5)])
    server.ask("POST", "/prompt", {"prompt": "a green fish"})
    eventually(lambda: page.locator("#blend li").count(), 0)


def test_at_most_eight_prompts_are_blended(desk):
    page = desk.open()
    for _ in range(7):
        page.click("#blend-add")
    assert not page.locator("#blend-add").is_visible()


def test_a_fade_is_chosen_kept_sent_and_shown(desk, server, eventually):
    page = desk.open()
    assert page.inner_text("#fade-value") == "cut"
    page.locator("#fade").fill("50")
    assert page.inner_text("#fade-value") == "15 s"
    page.select_option("#easing", "linear")
    page.fill("#prompt", "a red heart")
    page.keyboard.press("Enter")
    eventually(lambda: (server.ask("GET", "/scene")["fade"] or {}).get("easing"), "linear")
    eventually(lambda: page.inner_text("#fade-left").startswith("Fading"))
    page.reload()
    eventually(lambda: page.inner_text("#fade-value"), "15 s")
    assert page.input_value("#easing") == "linear"
    server.ask("POST", "/prompt", {"prompt": FIRST_PROMPT})


def test_freeze_does_not_wait_for_a_fade(desk, eventually):
    page = desk.open()
    page.locator("#fade").fill("100")
    sent = desk.messages(page).sent
    page.click("#freeze")
    eventually(lambda: [it["patch"] for it in sent], [{"motion": "hold", "fade_s": 0}])


def test_a_draft_is_previewed_and_sent_only_on_enter(desk, server, eventually, colour_of, pixels):
    page = desk.open()
    page.click("#send-enter")
    page.keyboard.press("/")
    page.keyboard.type("a circle on a red background")
    page.wait_for_selector("#preview-picture:visible")
    eventually(lambda: colour_of(pixels(page.locator("#preview-picture"))), "red")
    wait_for_status(page)
    assert page.input_value("#prompt") == "a circle on a red background"
    assert server.ask("GET", "/status")["prompt"] == FIRST_PROMPT
    page.keyboard.press("Enter")
    eventually(lambda: server.ask("GET", "/status")["prompt"], "a circle on a red background")
    assert not page.locator("#preview-picture").is_visible()
    page.reload()
    assert page.get_attribute("#send-enter", "aria-pressed") == "true"


def test_a_draft_that_was_left_is_replaced_by_the_words_in_force(desk, server, eventually):
    page = desk.open()
    page.click("#send-enter")
    page.keyboard.press("/")
    page.keyboard.type("a green fish")
    page.keyboard.press("Escape")
    eventually(lambda: page.input_value("#prompt"), FIRST_PROMPT)


def test_another_controllers_change_is_read_before_the_next_regular_status(
    still_page, server, desk
):
    desk.rest(1)  # a status that was requested before the clock stood still is answered by then
    server.ask("POST", "/prompt", {"prompt": "a brown house"})
    passed_ms = 0
    while still_page.text_content("#showing") != "a brown house":
        assert passed_ms < 900, "the regular status comes after a second"
        still_page.clock.run_for(10)
        passed_ms += 10
        desk.rest(0.1)


@pytest.mark.parametrize("motion", ["hold", "fresh", "walk"])
def test_the_motion_is_chosen_and_shown(desk, server, eventually, motion):
    page = desk.open()
    page.click(f'#motion [data-value="{motion}"]')
    eventually(lambda: server.ask("GET", "/scene")["motion"], motion)
    assert page.get_attribute(f'#motion [data-value="{motion}"]', "aria-pressed") == "true"


def test_a_typed_seed_is_sent_and_one_that_is_not_a_number_is_refused(desk, server, eventually):
    page = desk.open()
    page.fill("#seed", "4711")
    page.keyboard.press("Enter")
    eventually(lambda: server.ask("GET", "/scene")["seed"], 4711)
    page.fill("#seed", "many")
    page.keyboard.press("Enter")
    assert page.text_content("#message") == "The seed must be a whole number."
    assert page.input_value("#seed") == "4711"


def test_a_saved_picture_that_is_dropped_on_the_page_is_shown_and_held(desk, server, eventually):
    server.ask("PATCH", "/scene", {"prompt": "a red heart", "motion": "hold", "seed": 7})
    page = desk.open()
    page.evaluate("""async () => {
        window.saved = await (await fetch('snapshot.jpg')).blob();
    }""")
    server.ask("PATCH", "/scene", {"prompt": "a green fish", "motion": "walk", "seed": 8})
    eventually(lambda: page.input_value("#prompt"), "a green fish")
    page.evaluate("""() => {
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([saved], 'picture.jpg'));
        for (const kind of ['dragover', 'drop'])
            document.body.dispatchEvent(
                new DragEvent(kind, {dataTransfer, bubbles: true, cancelable: true}));
    }""")
    eventually(lambda: page.input_value("#prompt"), "a red heart")
    assert page.text_content("#message") == "The picture is held: a red heart"
    eventually(lambda: page.input_value("#seed"), "7")
    assert page.get_attribute("#freeze", "aria-pressed") == "true"


def test_a_moved_weight_does_not_send_a_draft_that_waits_for_enter(desk, server, eventually):
    page = desk.open()
    page.click("#blend-add")
    page.keyboard.type("a red mushroom")
    eventually(lambda: len(prompts(server)), 2)
    page.click("#send-enter")
    page.get_by_label("Weight of words 2").fill("0.25")
    eventually(lambda: prompts(server)[1][1], 0.25)
    page.fill("#prompt", "a blue draft")
    page.get_by_label("Weight of words 2").fill("0.75")
    page.wait_for_selector("#preview-picture:visible")
    assert prompts(server)[0][0] == FIRST_PROMPT
    page.press("#prompt", "Enter")
    eventually(lambda: prompts(server), [("a blue draft", 1), ("a red mushroom", 0.75)])

"""Looks and the setlist on the page: saved, recalled, moved, renamed, deleted, played."""

from __future__ import annotations

import json

import pytest

from tests.page.gate import gated
from tests.page.repertoire import emptied, names, with_looks

pytestmark = pytest.mark.browser
THREE = ("a circle on a red background", "a circle on a green background", "a fish on a blue sea")


@pytest.fixture
def looks(server):
    with with_looks(server, *THREE):
        yield server


@pytest.fixture
def desk(looks, desk):
    """Its windows are closed before the looks are deleted."""
    return desk


@pytest.fixture
def page(desk):
    page = desk.open()
    page.wait_for_selector(".look:nth-child(3)")
    return page


def shown(page):
    return page.eval_on_selector_all(".look", "(all) => all.map((it) => it.dataset.name)")


def words(server):
    return server.ask("GET", "/status")["prompt"]


def test_the_strip_shows_the_looks_in_order_with_pictures_and_numbers(page, eventually):
    assert shown(page) == list(THREE)
    assert page.locator(".badge").all_inner_texts() == ["1", "2", "3"]
    painted = "document.querySelectorAll('.look img')[{}].naturalWidth > 0"
    for i in range(3):
        eventually(lambda i=i: page.evaluate(painted.format(i)))


def test_a_click_and_a_key_recall_a_look_with_the_pages_fade(
    page, looks, eventually, colour_of, pixels
):
    page.click(".look:nth-child(2) .look-recall")
    eventually(lambda: words(looks), THREE[1])
    eventually(lambda: colour_of(pixels(page.locator("#picture"))), "green")
    page.wait_for_selector(".look:nth-child(2) [aria-current]")
    page.focus("#fade")
    page.keyboard.press("End")  # 60 s
    with page.expect_request("**/recall") as request:
        page.keyboard.press("1")
    assert request.value.post_data_json == {"fade_s": 60, "easing": "smooth"}
    eventually(lambda: "Fading" in page.inner_text("#fade-left"))
    assert page.get_attribute("#fade-bar", "data-running") is not None
    eventually(lambda: page.inner_text("#showing"), THREE[0])


def test_the_arrows_step_through_the_looks_and_around(page, looks, eventually):
    for key, wanted in (("3", 2), ("ArrowRight", 0), ("ArrowRight", 1), ("ArrowLeft", 0)):
        page.keyboard.press(key)
        eventually(lambda wanted=wanted: words(looks), THREE[wanted])


def test_what_is_on_screen_is_saved_under_a_free_name(page, looks, eventually):
    page.keyboard.press("1")
    eventually(lambda: words(looks), THREE[0])
    eventually(lambda: page.inner_text("#showing"), THREE[0])
    page.keyboard.press("s")
    eventually(lambda: names(looks), [*THREE, f"{THREE[0]} 2"])
    eventually(lambda: shown(page), [*THREE, f"{THREE[0]} 2"])


def test_a_look_is_dragged_to_another_place(page, looks, eventually):
    first, last = (page.locator(".look").nth(i).bounding_box() for i in (0, 2))
    page.mouse.move(first["x"] + 20, first["y"] + 40)
    page.mouse.down()
    page.mouse.move(last["x"] + last["width"] - 5, last["y"] + 40, steps=8)
    page.mouse.up()
    wanted = [THREE[1], THREE[2], THREE[0]]
    eventually(lambda: names(looks), wanted)
    assert shown(page) == wanted
    assert words(looks) == THREE[2], "the drag has recalled a look"


def test_the_menu_moves_renames_and_deletes_a_look(page, looks, eventually):
    def choose(name, what):
        page.hover(f'.look[data-name="{name}"]')
        page.click(f'.look[data-name="{name}"] .look-more')
        page.click(f'#look-menu [data-do="{what}"]')

    choose(THREE[0], "right")
    eventually(lambda: names(looks), [THREE[1], THREE[0], THREE[2]])
    choose(THREE[0], "rename")
    page.keyboard.type("Opening")
    page.keyboard.press("Enter")
    eventually(lambda: names(looks), [THREE[1], "Opening", THREE[2]])
    eventually(lambda: shown(page), [THREE[1], "Opening", THREE[2]])
    choose("Opening", "remove")
    assert page.inner_text('#look-menu [data-do="remove"]') == "Delete for good?"
    assert "Opening" in names(looks)
    page.click('#look-menu [data-do="remove"]')
    eventually(lambda: shown(page), [THREE[1], THREE[2]])


def test_the_keyboard_moves_and_renames_a_look(page, looks, eventually):
    page.focus(".look:nth-child(3) .look-recall")
    page.keyboard.press("Alt+ArrowLeft")
    eventually(lambda: names(looks), [THREE[0], THREE[2], THREE[1]])
    page.keyboard.press("F2")
    page.keyboard.type("1b")  # text, not shortcuts
    page.keyboard.press("Enter")
    eventually(lambda: names(looks), [THREE[0], "1b", THREE[1]])


def test_a_refused_name_is_answered_with_a_sentence(page, looks, desk, eventually):
    page.dblclick(".look:nth-child(1) .name")
    page.keyboard.type(THREE[1])
    page.keyboard.press("Enter")
    eventually(lambda: page.get_attribute("#message", "data-kind"), "error")
    eventually(lambda: shown(page), list(THREE))
    assert names(looks) == list(THREE)
    desk.tolerate_report("status of 4")


def test_a_second_page_shows_looks_and_words_of_the_first(page, desk, looks, eventually):
    other = desk.open()
    page.keyboard.press("2")
    eventually(lambda: other.inner_text("#showing"), THREE[1])
    eventually(lambda: other.input_value("#prompt"), THREE[1])
    page.keyboard.press("s")
    eventually(lambda: len(shown(other)), 4)


def test_looks_are_exported_and_imported(page, looks, eventually, tmp_path):
    page.click("text=Looks as a file")
    with page.expect_download() as saved:
        page.click("#export")
    file = tmp_path / "looks.json"
    saved.value.save_as(file)
    assert [look["name"] for look in json.loads(file.read_text())["looks"]] == list(THREE)
    emptied(looks)
    eventually(lambda: shown(page), [])
    page.set_input_files("#import-file", file)
    eventually(lambda: shown(page), list(THREE))
    assert page.text_content("#message") == "3 looks imported."
    file.write_text("{not json")
    page.set_input_files("#import-file", file)
    eventually(lambda: "not JSON" in page.text_content("#message"))


def test_a_setlist_is_made_played_stepped_and_paused(page, looks, eventually):
    page.evaluate("document.getElementById('setlist').open = true")
    page.click("#setlist-add")
    entries = page.locator("#setlist-entries li")
    eventually(lambda: len(looks.ask("GET", "/setlist")["entries"]), 3)
    hold = page.get_by_label("hold").first
    hold.fill("500")
    hold.press("Enter")
    eventually(lambda: looks.ask("GET", "/setlist")["entries"][0]["hold_s"], 500)
    page.keyboard.press("Escape")
    page.keyboard.press("p")
    eventually(lambda: looks.ask("GET", "/setlist")["playing"])
    eventually(lambda: page.inner_text("#setlist-play"), "Pause")
    page.keyboard.press("]")
    eventually(lambda: words(looks), THREE[1])
    eventually(lambda: entries.nth(1).get_attribute("aria-current"), "step")
    eventually(lambda: "left" in page.inner_text("#setlist-now"))
    page.keyboard.press("PageUp")
    eventually(lambda: words(looks), THREE[0])
    page.keyboard.press("p")
    eventually(lambda: looks.ask("GET", "/setlist")["playing"], False)
    page.get_by_label("Remove entry 2").click()
    eventually(lambda: len(looks.ask("GET", "/setlist")["entries"]), 2)


def test_without_looks_the_strip_says_what_it_is_for(desk, server):
    emptied(server)
    page = desk.open()
    page.wait_for_selector("#looks-empty:visible")
    before = words(server)
    page.keyboard.press("1")
    page.keyboard.press("ArrowRight")
    assert words(server) == before


def test_looks_that_are_saved_in_quick_succession_have_names_of_their_own(page, looks, eventually):
    for key in "sns":
        page.keyboard.press(key)
    eventually(lambda: len(names(looks)), 5)
    seeds = [look["scene"]["seed"] for look in looks.ask("GET", "/looks")["looks"][3:]]
    assert seeds[0] != seeds[1], "the second is saved with the new seed"


def test_a_look_is_saved_with_the_changes_that_are_still_on_their_way(desk, looks, eventually):
    page, gate = gated(desk)
    page.wait_for_selector(".look:nth-child(3)")
    page.fill("#seed", "4711")
    page.keyboard.press("Enter")
    eventually(lambda: [one["patch"]["seed"] for one in gate.held], [4711])
    page.click("#look-add")
    page.wait_for_timeout(2500)
    assert len(names(looks)) == 3, "its change is not yet in force"
    gate.release()
    eventually(lambda: len(names(looks)), 4)
    assert looks.ask("GET", "/looks")["looks"][3]["scene"]["seed"] == 4711


def test_an_error_about_a_look_does_not_stop_the_words_from_following(
    desk, page, looks, eventually
):
    page.dblclick(".look:nth-child(1) span.name")
    page.fill("input.name", "a/b")
    page.keyboard.press("Enter")
    page.wait_for_selector('#message[data-kind="error"]')
    desk.expect_network_report(400)
    looks.ask("POST", "/prompt", {"prompt": "a purple house"})
    eventually(lambda: page.input_value("#prompt"), "a purple house")

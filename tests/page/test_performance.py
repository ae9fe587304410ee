"""A performance: looks made and recalled on one page, undo, freeze, black and a setlist.

The results are read from /stream by a viewer of the test's own, not from the page's canvas.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Page, Response

from tests.page.desk import Desk
from tests.page.live_server import LiveServer
from tests.page.messages import Messages
from tests.page.repertoire import emptied, names
from tests.page.viewer import Viewer, difference, pixels

pytestmark = pytest.mark.browser

LOOKS = {
    "red": "a red circle on a white background",
    "blue": "a blue square on a white background",
    "yellow": "a yellow star on a black background",
}
ACTS = re.compile(r"/(undo|redo|recall|setlist|next|previous)$")
DRAFT = "a draft of somebody else"
Eventually = Callable[..., None]


@dataclass
class Stage:
    """A page on which the three looks were made, held, and a viewer of the stream.

    pictures: the JPEG of each look by its colour, as the viewer received it.
    """

    page: Page
    viewer: Viewer
    pictures: dict[str, bytes]
    eventually: Eventually
    messages: Messages
    responses: list[Response]  # to requests of the page that change something

    def press(self, key: str) -> int:
        """Presses a key that changes the scene; frames after the result show the change."""
        answers, responses = len(self.messages.answers), len(self.responses)
        self.page.keyboard.press(key)

        def answered() -> list[dict[str, Any]]:
            over_socket = [it["scene"] for it in self.messages.answers[answers:]]
            return over_socket + [it.json() for it in self.responses[responses:] if it.ok]

        self.eventually(lambda: len(answered()) > 0)
        return int(answered()[0].get("frame", self.viewer.number))

    def shows(self, colour: str) -> None:
        """Waits until the viewer receives the look's picture, byte for byte."""
        self.eventually(lambda: self.viewer.things(), colour)
        self.eventually(lambda: self.viewer.jpeg == self.pictures[colour])

    def next_frames(self, count: int, after: int) -> list[bytes]:
        """The first frames after frame `after`, which a change gave as its last without it."""
        self.eventually(lambda: len(self.viewer.between(after)) >= count)
        return [part.jpeg for part in self.viewer.between(after)][:count]

    def fade(self, seconds: float) -> None:
        """Moves the slider of the fade to about `seconds`."""
        set_fade(self.page, seconds)


def is_act(response: Response) -> bool:
    return response.request.method != "GET" and ACTS.search(response.url) is not None


def set_fade(page: Page, seconds: float) -> None:
    page.fill("#fade", str(round(100 * (seconds / 60) ** 0.5)))
    page.keyboard.press("Escape")


def painted_prompt(server: LiveServer, number: int) -> str:
    """The words that frame `number` was painted from: while they are typed, their beginning may
    already look like all of them."""
    prompts = server.ask("GET", f"/frames/{number}/shot")["shot"]["prompts"]
    return " + ".join(prompt for prompt, _ in prompts)


def write(page: Page, words: str) -> None:
    page.keyboard.press("/")
    page.keyboard.type(words)
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")


def pressed(page: Page, control: str) -> bool:
    return page.get_attribute(control, "aria-pressed") == "true"


def current_look(page: Page) -> str | None:
    found = page.locator(".look [aria-current=true] .name")
    return found.text_content() if found.count() == 1 else None


@pytest.fixture
def stage(desk: Desk, server: LiveServer, eventually: Eventually) -> Iterator[Stage]:
    emptied(server)
    page = desk.open()
    with Viewer(server.port).running() as viewer:
        stage = Stage(page, viewer, {}, eventually, desk.messages(page), [])
        page.on("response", lambda it: stage.responses.append(it) if is_act(it) else None)
        eventually(lambda: viewer.number > 0)
        stage.press("Space")
        for count, (colour, words) in enumerate(LOOKS.items(), 1):
            write(page, words)
            eventually(lambda: page.text_content("#showing"), words)  # noqa: B023
            eventually(lambda: painted_prompt(server, viewer.number), words)  # noqa: B023
            assert viewer.things() == colour
            page.keyboard.press("s")
            eventually(lambda: page.locator(".look").count(), count)
            stage.pictures[colour] = viewer.jpeg
        assert names(server) == list(LOOKS.values())
        yield stage
    emptied(server)


def test_looks_made_on_the_page_are_recalled_by_keys_with_fades(stage: Stage) -> None:
    stage.fade(10)  # a busy machine may paint nothing for some seconds
    for key, colour in (("1", "red"), ("2", "blue"), ("3", "yellow")):
        after = stage.press(key)
        stage.shows(colour)
        seen = {part.jpeg for part in stage.viewer.between(after)}
        assert seen - set(stage.pictures.values()), "pictures between the two looks"


def test_a_recall_in_the_middle_of_a_fade_starts_from_what_is_on_screen(stage: Stage) -> None:
    start = stage.pictures["yellow"]
    stage.fade(15)
    began = stage.press("1")
    stage.eventually(lambda: difference(stage.viewer.jpeg, start) > 8)
    after = stage.press("2")
    stage.eventually(lambda: stage.viewer.number > after)
    before, then = (stage.viewer.between(*span) for span in ((began, after), (after, None)))
    last, first = before[-1].jpeg, then[0].jpeg
    for colour in stage.pictures:
        assert difference(last, stage.pictures[colour]) > 4 * difference(last, first), colour
    stage.shows("blue")
    seen = {part.jpeg for part in stage.viewer.between(began)}
    assert stage.pictures["red"] not in seen, "the first fade never ended"


def test_undo_and_redo_step_through_what_was_played(stage: Stage) -> None:
    for key, colour in (("1", "red"), ("2", "blue")):
        stage.press(key)
        stage.shows(colour)
    stage.press("Control+z")
    stage.shows("red")
    stage.press("Control+z")
    stage.shows("yellow")
    stage.press("Control+Shift+z")
    stage.shows("red")
    stage.fade(2)
    stage.press("Control+z")
    stage.shows("yellow")


def test_freeze_repeats_the_picture_and_black_is_black(stage: Stage) -> None:
    one, other = stage.next_frames(2, stage.viewer.number)
    assert one == other, "held"
    stage.press("Space")
    stage.eventually(lambda: difference(stage.viewer.jpeg, one) > 0.5)
    stage.eventually(lambda: stage.viewer.things(), "yellow")
    one, other, third = stage.next_frames(3, stage.press("Space"))
    assert one == other == third, "frozen"

    stage.press("b")
    stage.eventually(lambda: stage.viewer.brightness() < 1)
    assert not stage.viewer.things()
    after = stage.press("2")
    assert max(pixels(it).max() for it in stage.next_frames(3, after)) < 8, "a look ends no black"
    stage.press("b")
    stage.shows("blue")


def test_a_setlist_is_played_and_stepped_by_keys(stage: Stage) -> None:
    page, viewer = stage.page, stage.viewer
    make_setlist(page, hold_s=600, fade_s=0.5)
    for key, colour in (("p", "red"), ("]", "blue"), ("]", "yellow"), ("[", "blue")):
        stage.press(key)
        stage.shows(colour)
    stage.press("p")
    stage.eventually(lambda: page.text_content("#setlist-play"), "Play")
    assert viewer.things() == "blue", "a pause changes no picture"


def test_a_setlist_plays_by_itself_and_loops(stage: Stage) -> None:
    make_setlist(stage.page, hold_s=8, fade_s=1)
    stage.page.check("#setlist-loop")
    stage.page.evaluate("document.activeElement.blur()")
    after = stage.viewer.number - 1  # the look that was made last is on screen
    stage.press("p")

    def played() -> list[str]:
        """The looks whose pictures were received, in order."""
        colours = {jpeg: colour for colour, jpeg in stage.pictures.items()}
        found = [colours.get(part.jpeg) for part in stage.viewer.between(after)]
        known = [colour for colour in found if colour is not None]
        return [it for i, it in enumerate(known) if i == 0 or known[i - 1] != it]

    stage.eventually(lambda: len(played()) >= 5, limit_s=150)
    assert played()[:5] == ["yellow", "red", "blue", "yellow", "red"]
    stage.press("p")


def make_setlist(page: Page, hold_s: float, fade_s: float) -> None:
    """Adds all looks to the setlist and types their times, as a user does."""
    page.evaluate("document.getElementById('setlist').open = true")
    page.click("#setlist-add")
    page.wait_for_selector("#setlist-entries li:nth-child(3)")
    for i in (1, 2, 3):
        fields = page.locator(f"#setlist-entries li:nth-child({i}) input")
        for field, seconds in ((fields.nth(0), hold_s), (fields.nth(1), fade_s)):
            field.fill(str(seconds))
            with page.expect_response("**/setlist"):
                page.keyboard.press("Enter")
    page.evaluate("document.activeElement.blur()")


def test_a_second_page_follows_and_its_field_in_use_is_never_overwritten(
    stage: Stage, desk: Desk, eventually: Eventually
) -> None:
    page, other = stage.page, desk.open()
    eventually(lambda: other.locator(".look").count(), 3)
    other.click("#send-enter")
    other.fill("#prompt", DRAFT)
    own_fade = other.input_value("#fade")

    def follows() -> None:
        eventually(lambda: other.text_content("#showing"), page.text_content("#showing"))
        eventually(lambda: current_look(other), current_look(page))
        assert other.input_value("#prompt") == DRAFT

    stage.press("1")
    stage.shows("red")
    assert current_look(page) == LOOKS["red"]
    follows()
    stage.press("Control+z")
    stage.shows("yellow")
    follows()

    stage.press("Space")
    eventually(lambda: pressed(other, "#freeze"), False)
    eventually(lambda: pressed(other, "#motion [data-value=walk]"))
    stage.press("Space")
    eventually(lambda: pressed(other, "#freeze"))
    stage.press("b")
    eventually(lambda: pressed(other, "#black"))
    stage.press("b")
    eventually(lambda: pressed(other, "#black"), False)
    eventually(lambda: other.is_enabled("#redo"), False)

    stage.fade(30)
    stage.press("2")
    eventually(lambda: other.get_attribute("#fade-bar", "data-running") is not None)
    eventually(lambda: other.text_content("#fade-left").startswith("Fading"))
    assert other.input_value("#fade") == own_fade, "each page has its own fade"
    follows()
    stage.fade(0)
    stage.press("3")
    eventually(lambda: other.get_attribute("#fade-bar", "data-running"), None)
    follows()

    write(page, "a green fish")
    page.keyboard.press("s")
    eventually(lambda: other.locator(".look").count(), 4)
    follows()
    assert other.evaluate("document.activeElement.id") == "prompt"
    other.keyboard.press("Escape")
    eventually(lambda: other.input_value("#prompt"), "a green fish")

"""A saved picture dropped on the page of another server with the same weights: the same picture.

Both servers are processes of their own, with another seed, other words and another history.
"""

from __future__ import annotations

import base64
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.page.desk import FIRST_PICTURE, Desk
from tests.page.live_server import LiveServer, serving
from tests.page.viewer import difference
from turbostream.stream import recipe

pytestmark = pytest.mark.browser

WORDS = "a red circle on a white background"
DROP = """(bytes) => {
    const data = new DataTransfer();
    const file = Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0));
    data.items.add(new File([file], 'picture.jpg', {type: 'image/jpeg'}));
    for (const step of ['dragenter', 'dragover', 'drop'])
        document.getElementById('picture').dispatchEvent(
            new DragEvent(step, {dataTransfer: data, bubbles: true, cancelable: true}));
}"""
COMMENT = 0xFE


class OtherServer(LiveServer):
    """A server that starts with another seed and other words."""

    def __init__(self, state_dir: Path) -> None:
        super().__init__(state_dir)
        self._env |= {"SEED": "987654321", "INITIAL_PROMPT": "a green fish in the sea"}


@pytest.fixture
def other_server(tmp_path: Path) -> Iterator[LiveServer]:
    folder = tmp_path / "other"
    folder.mkdir()
    with serving(folder, OtherServer) as server:
        yield server


def without_comments(jpeg: bytes) -> bytes:
    """The file without its comment segments; the rest is unchanged."""
    kept, place = [jpeg[:2]], 2
    while jpeg[place + 1] != 0xDA:
        end = place + 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big")
        if jpeg[place + 1] != COMMENT:
            kept.append(jpeg[place:end])
        place = end
    return b"".join((*kept, jpeg[place:]))


def snapshot(server: LiveServer) -> bytes:
    """The next frame. A busy machine may paint none in the 10 s that a request waits for it."""
    for _ in range(9):
        try:
            with urllib.request.urlopen(f"{server.url}/snapshot.jpg", timeout=60) as answer:
                found: bytes = answer.read()
                return found
        except urllib.error.HTTPError as error:
            with error:
                refusal = error.code, error.read()
            if error.code != 503:
                break
    raise AssertionError(refusal)


def saved_by(page: Page) -> bytes:
    """The file that the page's button saves."""
    with page.expect_download() as saved:
        page.click("#save")
    return saved.value.path().read_bytes()


def held(page: Page, server: LiveServer, eventually: Callable[..., None]) -> None:
    """Writes the words, and stops the noise somewhere on its way."""
    page.keyboard.press("/")
    page.keyboard.type(WORDS)
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    eventually(lambda: server.ask("GET", "/scene")["prompt"], WORDS)
    page.keyboard.press("Space")
    eventually(lambda: server.ask("GET", "/scene")["motion"], "hold")
    after = server.ask("PATCH", "/scene", {"motion": "hold"})["frame"]  # changes nothing
    eventually(lambda: int(page.get_attribute("#picture", "data-frame") or 0) > after)


def test_a_picture_saved_here_and_dropped_there_is_the_same_picture(
    other_server: LiveServer,  # before the desk, so that its window closes before it ends
    desk: Desk,
    server: LiveServer,
    eventually: Callable[..., None],
) -> None:
    page = desk.open()
    held(page, server, eventually)
    saved = saved_by(page)
    assert saved == snapshot(server), "what is held is what was saved"

    there = desk.window()
    there.goto(other_server.url)
    there.wait_for_selector(FIRST_PICTURE)
    there.fill("#fade", "22")  # about 3 s
    there.keyboard.press("Escape")
    before = snapshot(other_server)
    assert difference(before, saved) > 10
    there.evaluate(DROP, base64.b64encode(saved).decode())
    eventually(lambda: there.text_content("#message"), f"The picture is held: {WORDS}")
    eventually(lambda: other_server.ask("GET", "/scene")["fade"], None)
    again = snapshot(other_server)
    assert recipe.read(again) == recipe.read(saved), "the same shot and the same fingerprint"
    assert without_comments(again) == without_comments(saved)
    assert snapshot(other_server) == again, "and it stays"
    eventually(lambda: there.text_content("#showing"), WORDS)
    eventually(lambda: there.get_attribute("#freeze", "aria-pressed"), "true")

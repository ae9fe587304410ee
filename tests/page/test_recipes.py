"""A saved picture dropped on the page: read in the browser, held by the server.

The reader of the page and that of stream/recipe.py find the same in the same bytes.
"""

from __future__ import annotations

import base64
import io
import json
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page

from tests.page.desk import Desk
from tests.page.live_server import LiveServer
from tests.stream.test_recipe import SHOT, comment, jpeg, with_json, with_text, written
from turbostream.stream import recipe
from turbostream.stream.shot import MAX_SEED, Shot
from turbostream.stream.shot_json import to_json

pytestmark = pytest.mark.browser

READ = """async (bytes) => {
    const {readRecipe} = await import('/page/recipe.js');
    const file = Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0));
    try {
        return {found: readRecipe(file.buffer).text};
    } catch (error) {
        return {sentence: error.message};
    }
}"""
START = """async (mayWrite) => {
    const {startDrop} = await import('/page/drop.js');
    window.said = [];
    const say = (text, kind) => said.push([text, kind]);
    startDrop({say, mayWrite: () => mayWrite, fadeS: () => 0});
}"""
DROP = """({files, steps}) => {
    const data = new DataTransfer();
    for (const bytes of files) {
        const file = Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0));
        data.items.add(new File([file], 'picture.jpg'));
    }
    return steps.map((step) => {
        const event = new DragEvent(step, {dataTransfer: data, bubbles: true, cancelable: true});
        document.body.dispatchEvent(event);
        return [event.defaultPrevented, document.body.classList.contains('dropping')];
    });
}"""

FILES = {
    "whole": written(SHOT),
    "blend and no fingerprint": written(Shot((("a", 0.25), ("雪", 0.75)), SHOT.noise), ""),
    "without": jpeg(),
    "no JPEG": b"\x89PNG",
    "empty": b"",
    "only the start": b"\xff\xd8",
    "no marker": b"\xff\xd8no marker",
    "short segment": b"\xff\xd8\xff\xfe\x00\x01",
    "cut off": written(SHOT)[:60],
    "behind the data": b"\xff\xd8\xff\xda" + recipe.segment(SHOT, ""),
    "too many segments": b"\xff\xd8" + comment(b"x") * 100 + recipe.segment(SHOT, ""),
    "too far in": b"\xff\xd8" + comment(b"x" * 60_000) * 2 + recipe.segment(SHOT, ""),
    "endless fill": b"\xff\xd8" + b"\xff" * 70_000,
    "huge": with_text(b"{}" + b" " * 600),
    "not UTF-8": with_text(b"\xff\xfe"),
    "not JSON": with_text(b"{"),
    "deep": with_text(b"[" * 500),
    "a list": with_json([]),
    "more fields": with_json({"shot": to_json(SHOT), "more": 1}),
    "a wrong fingerprint": with_json({"shot": to_json(SHOT), "fingerprint": 7}),
}


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def read_here(file: bytes) -> dict[str, Any]:
    try:
        found = recipe.read(file)
    except recipe.RecipeError as error:
        return {"sentence": str(error)}
    return {"found": (to_json(found.shot), found.fingerprint)}


def drop(page: Page, *files: bytes) -> list[list[bool]]:
    steps = ["dragover", "drop"]
    found: list[list[bool]] = page.evaluate(DROP, {"files": list(map(text, files)), "steps": steps})
    return found


def snapshot(server: LiveServer) -> bytes:
    with urllib.request.urlopen(f"{server.url}/snapshot.jpg", timeout=30) as answer:
        found: bytes = answer.read()
        return found


@pytest.fixture
def blank(desk: Desk, server: LiveServer) -> Page:
    """A window on the server's address without the page, which listens for drops itself."""
    page = desk.window()
    page.route("**/blank", lambda route: route.fulfill(body="<body>", content_type="text/html"))
    page.goto(f"{server.url}/blank")
    return page


def test_the_page_reads_what_the_stream_reads(blank: Page) -> None:
    for name, file in FILES.items():
        found = blank.evaluate(READ, text(file))
        if "found" in found:
            content = json.loads(found["found"])
            found = {"found": (content["shot"], content.get("fingerprint", ""))}
        assert found == read_here(file), name


def test_a_dropped_picture_is_painted_again_pixel_by_pixel(
    blank: Page, server: LiveServer, eventually: Callable[..., None]
) -> None:
    server.ask("PATCH", "/scene", {"prompt": "a red heart", "motion": "hold", "seed": MAX_SEED - 4})
    saved = snapshot(server)
    server.ask("PATCH", "/scene", {"prompt": "two green moons", "motion": "walk", "seed": 5})
    assert snapshot(server) != saved
    blank.evaluate(START, True)
    assert drop(blank, saved) == [[True, True], [True, False]]
    eventually(lambda: blank.evaluate("said"), [["The picture is held: a red heart", "done"]])
    again = snapshot(server)
    assert recipe.read(again).shot == recipe.read(saved).shot, "a seed of 63 bits is kept exactly"
    assert again == saved


def test_a_file_that_is_not_a_saved_picture_gets_one_sentence(
    blank: Page, server: LiveServer, eventually: Callable[..., None], desk: Desk
) -> None:
    before = server.ask("GET", "/scene")["revision"]
    blank.evaluate(START, True)
    heavy = {"version": 2, "prompts": [["a", 0.5]], "noise": [[1, 1]]}
    cases = [
        ([jpeg()], "The picture holds no recipe"),
        ([b"text"], "not a JPEG"),
        ([jpeg(), jpeg()], "drop one picture"),
        ([with_json({"shot": heavy})], "must add up to 1"),
    ]
    for count, (files, sentence) in enumerate(cases, 1):
        drop(blank, *files)
        eventually(lambda count=count: len(blank.evaluate("said")), count)
        said, kind = blank.evaluate("said.at(-1)")
        assert sentence in said
        assert kind == "error"
    desk.expect_network_report(400)
    assert server.ask("GET", "/scene")["revision"] == before


def test_only_an_owner_may_drop_and_only_files_from_outside_count(
    blank: Page, server: LiveServer
) -> None:
    asked: list[Any] = []
    blank.on("request", lambda request: asked.append(request))
    blank.evaluate(START, False)
    assert drop(blank, written(SHOT)) == [[True, False], [True, False]]
    assert drop(blank) == [[False, False], [False, False]], "words are the field's"
    blank.evaluate(START, True)
    blank.evaluate("document.body.dispatchEvent(new DragEvent('dragstart', {bubbles: true}))")
    assert drop(blank, written(SHOT)) == [[False, False], [False, False]], (
        "a drag of the page's own"
    )
    blank.wait_for_timeout(300)
    assert blank.evaluate("said") == []
    assert not [request for request in asked if request.method == "POST"]


def test_a_saved_picture_is_an_ordinary_jpeg(server: LiveServer) -> None:
    found = Image.open(io.BytesIO(snapshot(server)))
    found.load()
    assert found.format == "JPEG"

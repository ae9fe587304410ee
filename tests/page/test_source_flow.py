"""How many pictures the page keeps on the line to the server, on a clock that the test moves."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.page.live_server import LiveServer

pytestmark = pytest.mark.browser

# A line that takes delayMs in each direction and serialMs for each picture; a picture each everyMs.
LINE = """async ([delayMs, serialMs, everyMs, lastsMs, bytes]) => {
    const {PictureFlow} = await import(new URL('page/source_flow.js', document.baseURI));
    let [now, sent, lineFree, most] = [0, 0, 0, 0];
    const answers = [];  // [when, how many]
    const ages = [];  // ms until the answer
    const socket = {connection: 1, sendPicture() {
        sent += 1;
        lineFree = Math.max(now, lineFree) + serialMs;
        answers.push([lineFree + 2 * delayMs, sent, now]);
        most = Math.max(most, answers.length);
    }};
    const flow = new PictureFlow(async () => new ArrayBuffer(bytes), socket, () => now);
    let before = 0;
    for (; now < lastsMs; now += 1) {
        if (now === lastsMs / 2) { before = sent; ages.length = 0; }
        if (now % everyMs === 0) flow.offer();
        while (answers.length && answers[0][0] <= now) {
            const [, count, at] = answers.shift();
            ages.push(now - at);
            flow.acknowledged(count);
        }
        for (let turn = 0; turn < 5; turn += 1) await null;
    }
    const perSecond = (sent - before) / (lastsMs / 2000);
    return {perSecond, most, ageMs: Math.max(...ages)};
}"""
LASTS_MS = 10_000


@pytest.fixture
def line(page: Page, server: LiveServer) -> Any:
    page.goto(server.url)
    return lambda *line: page.evaluate(LINE, list(line))


@pytest.mark.parametrize("delay_ms", [0, 20, 100, 200])
def test_a_long_line_carries_as_many_pictures_as_a_short_one(line: Any, delay_ms: int) -> None:
    found = line(delay_ms, 1, 33, LASTS_MS, 10_000)
    assert found["perSecond"] == pytest.approx(1000 / 33, rel=0.03)
    assert found["most"] <= 2 * delay_ms / 33 + 3


@pytest.mark.parametrize("delay_ms", [5, 100])
def test_a_full_line_holds_few_pictures_that_wait(line: Any, delay_ms: int) -> None:
    """It carries 10 pictures/s of the 30."""
    found = line(delay_ms, 100, 33, LASTS_MS, 10_000)
    assert found["perSecond"] == pytest.approx(10, rel=0.05)
    assert found["ageMs"] <= 2 * delay_ms + 3 * 100 + 33


def test_the_pictures_on_the_line_are_bounded(line: Any) -> None:
    assert line(300, 1, 20, 2 * LASTS_MS, 10_000)["most"] == 16
    assert line(300, 1, 20, 2 * LASTS_MS, 240_000)["most"] == 4

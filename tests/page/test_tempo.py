"""The tempo panel: beats are tapped or typed, modulators move the picture, recalls wait."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.page.desk import FIRST_PICTURE
from tests.page.repertoire import with_looks

pytestmark = pytest.mark.browser

# Presses T `count` times, `every_ms` apart, on the browser's clock.
TAP = """async ([count, every_ms]) => {
    const began = performance.now();
    for (let i = 0; i < count; i += 1) {
        const leftMs = began + i * every_ms - performance.now();
        await new Promise((done) => setTimeout(done, leftMs));
        document.dispatchEvent(new KeyboardEvent('keydown', {key: 't', bubbles: true}));
    }
}"""
# [how far the mark is ahead of the server's beat, in beats, how long that took in s]; a bar of 3.
AHEAD = """async () => {
    const [animation] = document.querySelector('#beats span').getAnimations();
    const {duration, easing} = animation.effect.getTiming();
    if (duration !== 3000 || easing !== 'steps(3)') return null;
    const began = performance.now();
    const at = animation.currentTime / 1000;
    const {beat} = await (await fetch('scene')).json();
    return [(at - (beat % 3) + 4.5) % 3 - 1.5, (performance.now() - began) / 1000];
}"""


def scene(server):
    return server.ask("GET", "/scene")


def modulators(server):
    return scene(server)["modulators"]


@pytest.fixture
def page(desk, server):
    page = desk.open()
    assert not page.is_visible("#bpm"), "closed until it is wanted"
    page.click("#tempo > summary")
    page.evaluate("document.activeElement.blur()")
    return page


def test_taps_set_the_tempo(page, server, eventually):
    page.evaluate(TAP, [6, 400])
    eventually(lambda: scene(server)["bpm"], pytest.approx(150, rel=0.1))
    eventually(lambda: page.input_value("#bpm") == f"{round(scene(server)['bpm'], 2):g}")
    assert "bpm" in page.inner_text("#tempo-now")


def test_a_typed_tempo_is_sent_and_an_impossible_one_is_put_back(page, server, eventually):
    page.fill("#bpm", "93.5")
    page.keyboard.press("Enter")
    eventually(lambda: scene(server)["bpm"], 93.5)
    for impossible in ("0", "10000", ""):
        page.fill("#bpm", impossible)
        page.keyboard.press("Enter")
        assert page.input_value("#bpm") == "93.5"
    page.fill("#beats-per-bar", "3")
    page.keyboard.press("Enter")
    eventually(lambda: scene(server)["beats_per_bar"], 3)
    page.fill("#beats-per-bar", "2.5")
    page.keyboard.press("Enter")
    assert page.input_value("#beats-per-bar") == "3"
    assert scene(server)["bpm"] == 93.5


def test_the_dots_follow_the_servers_beat(page, server, eventually):
    server.ask("PATCH", "/scene", {"bpm": 60, "beats_per_bar": 3})

    def quick() -> float | None:
        """In beats; None while the server is slow."""
        found = page.evaluate(AHEAD)
        return abs(found[0]) if found and found[1] < 0.2 else None

    eventually(lambda: quick() is not None)
    eventually(lambda: (quick() or 1.0) < 0.3)


def test_the_dots_rest_while_the_panel_is_closed(page, eventually):
    moving = "document.querySelector('#beats span').getAnimations().length"
    eventually(lambda: page.evaluate(moving), 1)
    page.click("#tempo > summary")
    eventually(lambda: page.evaluate(moving), 0)
    page.click("#tempo > summary")
    eventually(lambda: page.evaluate(moving), 1)


def test_with_reduced_motion_no_dot_moves(desk, server):
    page = desk.open(reduced_motion="reduce")
    page.click("#tempo > summary")
    assert not page.is_visible("#beats")


def test_a_modulator_moves_the_picture_until_it_is_removed(page, server, eventually, pixels):
    server.ask("PATCH", "/scene", {"motion": "hold", "bpm": 60})
    page.click("#modulator-add")
    page.select_option("#modulators select >> nth=0", "brightness")
    page.fill("#modulators input[type=range] >> nth=0", "1")
    eventually(lambda: modulators(server)[0]["depth"], 1)
    assert modulators(server) == [
        {
            "parameter": "brightness",
            "shape": "sine",
            "depth": 1,
            "period": 4,
            "unit": "beats",
            "phase": 0,
        }
    ]
    means: list[float] = []

    def swing() -> bool:
        means.append(float(np.mean(pixels(page.locator("#picture")))))
        return min(means) < 0.2 * max(means)

    eventually(swing)
    page.click("#modulators button")
    eventually(lambda: modulators(server), [])
    eventually(lambda: np.mean(pixels(page.locator("#picture"))) > 0.9 * max(means))


def test_each_field_of_a_modulator_is_sent_and_followed(page, desk, server, eventually):
    other = desk.open()
    other.click("#tempo > summary")
    page.click("#modulator-add")
    page.select_option("#modulators select >> nth=0", "phase")
    page.select_option("#modulators select >> nth=1", "triangle")
    page.fill("#modulators input[type=number]", "2.5")
    page.keyboard.press("Enter")
    page.select_option("#modulators select >> nth=2", "seconds")
    page.fill("#modulators input[type=range] >> nth=0", "3")
    page.fill("#modulators input[type=range] >> nth=1", "0.25")
    wanted = {
        "parameter": "phase",
        "shape": "triangle",
        "depth": 3,
        "period": 2.5,
        "unit": "seconds",
        "phase": 0.25,
    }
    eventually(lambda: modulators(server), [wanted])
    eventually(lambda: other.input_value("#modulators input[type=number]"), "2.5")
    eventually(lambda: other.input_value("#modulators input[type=range] >> nth=1"), "0.25")
    page.select_option("#modulators select >> nth=0", "brightness")
    eventually(lambda: modulators(server)[0]["depth"], 1)  # its greatest
    for wrong in ("0", "", "100000"):
        page.fill("#modulators input[type=number]", wrong)
        page.keyboard.press("Enter")
        assert page.input_value("#modulators input[type=number]") == "2.5"
    assert modulators(server)[0]["period"] == 2.5


def test_there_is_one_modulator_for_each_value_that_can_move(page, server, eventually):
    rows = server.ask("GET", "/parameters")["parameters"]
    movable = {row["name"] for row in rows if row["modulation"]}
    for _ in movable:
        page.click("#modulator-add")
    assert page.is_disabled("#modulator-add")
    eventually(lambda: {it["parameter"] for it in modulators(server)}, movable)
    assert f"{len(movable)} modulators" in page.inner_text("#tempo-now")


def test_a_recall_on_the_bar_is_marked_until_it_happens(desk, server, eventually):
    with with_looks(server, "a red star", "a blue moon"):
        page = desk.open()
        page.click("#tempo > summary")
        page.click("#quantise [data-value=bar]")
        eventually(lambda: scene(server)["quantise"], "bar")
        server.ask("PATCH", "/scene", {"bpm": 20, "beats_per_bar": 2, "beat": 0})  # 6 s a bar
        page.click(".look:nth-child(1) .look-recall")
        page.wait_for_selector(".look:nth-child(1).waiting")
        assert scene(server)["prompt"] == "a blue moon"
        page.wait_for_selector(".look:nth-child(1):not(.waiting)")
        eventually(lambda: scene(server)["prompt"], "a red star")
        page.click("#quantise [data-value=off]")
        eventually(lambda: scene(server)["quantise"], "off")


def test_a_watcher_has_neither_tempo_nor_brightness(desk, server):
    token = json.loads((server.state_dir / "tokens.json").read_text())["watch"]
    page = desk.window(extra_http_headers={"X-Forwarded-For": "203.0.113.9"})  # not the owner
    page.goto(f"{server.url}/#{token}")
    page.wait_for_selector(FIRST_PICTURE)
    desk.expect_network_report(401)  # the first answer
    for control in ("#tempo", "#brightness", "#fade"):
        assert not page.is_visible(control), control
    page.evaluate(TAP, [4, 300])
    assert scene(server)["bpm"] == 120

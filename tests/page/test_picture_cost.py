"""What the page does for each frame: it reports and restyles little."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.browser

# [known, known after the pause, ms of the pause] of one acknowledgement that is answered at once.
ACKNOWLEDGE = """async () => {
    const {acknowledgeFrame} = await import('/page/send.js');
    const real = {setTimeout: setTimeout.bind(window), fetch: fetch.bind(window)};
    const pauses = [];
    window.setTimeout = (then, ms, ...more) => {
        if (ms === 100) pauses.push(then);
        else return real.setTimeout(then, ms, ...more);
    };
    window.fetch = async () => new Response(null, {status: 204});
    const later = () => new Promise((done) => { real.setTimeout(done, 20); });
    let known = null;
    acknowledgeFrame({id: 'x', frame: 3}).then((value) => { known = value; });
    for (let i = 0; i < 500 && !pauses.length; i += 1) await later();
    await later();
    const before = known;
    pauses.forEach((then) => then());
    await later();
    Object.assign(window, real);
    return [before, known];
}"""
GLOW = "(name) => getComputedStyle(document.querySelector(name)).getPropertyValue('--glow')"


def test_the_next_acknowledgement_waits_so_that_not_every_frame_costs_a_request(desk):
    assert desk.open().evaluate(ACKNOWLEDGE) == [None, True]


def test_the_glow_of_the_picture_restyles_the_background_alone(desk, eventually):
    page = desk.open()
    eventually(lambda: page.evaluate(GLOW, "main") not in ("", "rgba(0, 0, 0, 0)"))
    assert page.evaluate(GLOW, "h1") == "rgba(0, 0, 0, 0)"

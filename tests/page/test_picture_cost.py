"""What the page does for each frame: it decodes it either way, and reports and restyles little."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from tests.page.test_picture import difference, frame, newest_of_before

pytestmark = pytest.mark.browser

WITHOUT_DECODER = "delete globalThis.ImageDecoder"
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


@pytest.mark.parametrize("script", ["", WITHOUT_DECODER], ids=["decoder", "bitmap"])
def test_a_damaged_picture_is_left_out_and_the_next_one_is_painted(desk, script):
    page = desk.alone()
    page.add_init_script(script)
    file = io.BytesIO()
    Image.new("RGB", (96, 64), "red").save(file, "JPEG")
    jpeg = file.getvalue()

    def part(number: int, body: bytes) -> bytes:
        head = f"Content-Type: image/jpeg\r\nContent-Length: {len(body)}\r\nX-Frame-Id: {number}"
        return f"{head}\r\n\r\n".encode() + body + b"\r\n--b\r\n"

    parts = b"--b\r\n" + part(4, b"\xff\xd8 no picture") + part(5, jpeg)
    page.route("**/stream", lambda route: route.fulfill(body=parts))
    page.goto(desk.server.url)
    page.wait_for_selector("#picture[data-frame='5']")
    assert page.evaluate("typeof ImageDecoder") == ("undefined" if script else "function")
    assert page.evaluate("document.querySelector('#picture').width") == 96


def test_both_ways_of_decoding_show_the_same_picture(desk, server, pixels, eventually):
    server.ask("PATCH", "/scene", {"motion": "hold"})
    after = newest_of_before(server)
    seen = []
    for script in ("", WITHOUT_DECODER):
        page = desk.window()
        page.add_init_script(script)
        desk.show(page)
        eventually(lambda page=page: frame(page) > after)
        seen.append(pixels(page.locator("#picture")))
    assert seen[0].std() > 3
    assert difference(*seen) < 1


def test_the_next_acknowledgement_waits_so_that_not_every_frame_costs_a_request(desk):
    assert desk.open().evaluate(ACKNOWLEDGE) == [None, True]


def test_the_glow_of_the_picture_restyles_the_background_alone(desk, eventually):
    page = desk.open()
    eventually(lambda: page.evaluate(GLOW, "main") not in ("", "rgba(0, 0, 0, 0)"))
    assert page.evaluate(GLOW, "h1") == "rgba(0, 0, 0, 0)"

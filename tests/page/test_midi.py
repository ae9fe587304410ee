"""MIDI on the whole page, with devices that only `navigator.requestMIDIAccess` pretends to have."""

from __future__ import annotations

import pytest

from tests.page.desk import FIRST_PICTURE
from tests.page.midi_device import Devices
from tests.page.repertoire import with_looks

pytestmark = pytest.mark.browser

BOX = "nanoKONTROL2"
NO_MAPPINGS = {"midi": [], "sound": []}


@pytest.fixture(autouse=True)
def no_mappings(server):
    server.ask("PUT", "/mappings", NO_MAPPINGS)
    yield
    server.ask("PUT", "/mappings", NO_MAPPINGS)


def opened(desk, **options):
    """A window with the panel open, and its devices."""
    page = desk.window(**options)
    devices = Devices(page)
    page.goto(desk.server.url)
    page.wait_for_selector(FIRST_PICTURE)
    page.locator("#midi").evaluate("(box) => { box.open = true; }")
    return page, devices


def connected(desk, *names):
    page, devices = opened(desk)
    for name in names or (BOX,):
        devices.plug(name)
    page.click("#midi-connect")
    page.wait_for_selector("#midi-learn:enabled")
    return page, devices


def control(target, number=21, mode="continuous", **changes):
    knob = {"device": BOX, "channel": 1, "type": "cc", "number": number}
    return {**knob, "target": target, "mode": mode, **changes}


def mapped(server, page, *midi):
    """Puts mappings as another client does, and waits until the page has them."""
    server.ask("PUT", "/mappings", {"midi": list(midi), "sound": []})
    page.wait_for_function("(n) => document.querySelectorAll('#midi-mappings li').length === n",
                           arg=len(midi))  # fmt: skip


def scene(server, name):
    return server.ask("GET", "/scene")[name]


def said(page):
    return page.text_content("#midi-say")


# -- learning and turning --------------------------------------------------------------------------


def test_a_knob_is_learned_turned_and_the_mapping_is_kept(desk, server, eventually):
    page, devices = connected(desk)
    page.click("#midi-learn")
    assert page.locator("#speed").evaluate("(it) => getComputedStyle(it).outlineStyle") == "dashed"
    before = scene(server, "speed")
    page.click("#speed", position={"x": 2, "y": 5})
    assert "speed" in said(page)
    devices.knob(BOX, 21, 60, 61, 62)
    eventually(lambda: said(page), f"knob 21 of {BOX} → speed")
    assert scene(server, "speed") == before, "neither the click nor the movement changed it"
    eventually(lambda: server.ask("GET", "/mappings")["midi"], [control("speed")])
    assert f"knob 21 of {BOX}, channel 1 → speed" in page.inner_text("#midi-mappings")
    assert page.inner_text("#midi-mappings [role=status]") == "Turn it down to take over."
    assert page.locator(".learning").count() == 0
    devices.knob(BOX, 21, 3, 127)
    eventually(lambda: scene(server, "speed"), 4)
    page.click("#midi-mappings .icon")
    eventually(lambda: server.ask("GET", "/mappings")["midi"], [])
    devices.knob(BOX, 21, 0)
    desk.rest(0.3)
    assert scene(server, "speed") == 4


def test_the_picture_follows_a_knob(desk, server, eventually, pixels):
    page, devices = connected(desk)
    mapped(server, page, control("brightness"))
    canvas = page.locator("#picture")
    assert pixels(canvas).max() > 100
    devices.knob(BOX, 21, 127, 60, 0)
    eventually(lambda: pixels(canvas).max() < 8)
    devices.knob(BOX, 21, 127)
    eventually(lambda: pixels(canvas).max() > 100)


def test_a_knob_takes_over_only_where_the_value_is(desk, server, eventually):
    page, devices = connected(desk)
    mapped(server, page, control("brightness"))
    devices.knob(BOX, 21, 127)
    devices.knob(BOX, 21, 64)
    eventually(lambda: scene(server, "brightness"), 64 / 127)
    desk.rest(2.1)  # an echo of what the knob sent comes sooner
    server.ask("PATCH", "/scene", {"brightness": 0.9, "fade_s": 0})
    eventually(lambda: page.evaluate(
        "async () => (await import('/page/scene.js')).scene.brightness"), 0.9)  # fmt: skip
    devices.knob(BOX, 21, 70, 80)
    eventually(lambda: page.inner_text("#midi-mappings [role=status]"), "Turn it up to take over.")
    assert scene(server, "brightness") == 0.9
    devices.knob(BOX, 21, 120)
    eventually(lambda: scene(server, "brightness"), 120 / 127)
    assert page.inner_text("#midi-mappings [role=status]") == ""


def test_a_fine_control_is_learned_with_14_bits(desk, server, eventually):
    page, devices = connected(desk)
    page.select_option("#midi-target", "bpm")
    devices.send(BOX, *([0xB0, number, value] for number, value in
                        ((2, 10), (34, 1), (2, 10), (34, 90))))  # fmt: skip
    eventually(lambda: server.ask("GET", "/mappings")["midi"],
               [control("bpm", 2, type="cc14")])  # fmt: skip
    low, high = 20, 300
    devices.send(BOX, [0xB0, 2, 0], [0xB0, 34, 0], [0xB0, 2, 64], [0xB0, 34, 1])
    wanted = low + (64 * 128 + 1) / 16383 * (high - low)
    eventually(lambda: scene(server, "bpm"), pytest.approx(wanted))


def test_buttons_toggle_step_and_recall_a_look(desk, server, eventually):
    with with_looks(server, "a red heart", "a green fish"):
        page, devices = connected(desk)
        eventually(lambda: page.locator(".look").count(), 2)
        page.click("#midi-learn")
        page.click('.look-recall[data-value="a red heart"]')
        devices.press(BOX, 36)
        eventually(lambda: len(server.ask("GET", "/mappings")["midi"]), 1)
        page.click("#midi-learn")
        page.click("#freeze")
        devices.press(BOX, 37)
        eventually(lambda: len(server.ask("GET", "/mappings")["midi"]), 2)
        assert scene(server, "prompt") == "a green fish", "a click that is learned recalls nothing"
        devices.press(BOX, 36)
        eventually(lambda: scene(server, "prompt"), "a red heart")
        assert scene(server, "motion") == "hold"
        eventually(lambda: page.get_attribute("#freeze", "aria-pressed"), "true")
        devices.press(BOX, 37)
        eventually(lambda: scene(server, "motion"), "walk")
        mapped(server, page, control("next_look", 40, "trigger"))
        devices.knob(BOX, 40, 127, 0)
        eventually(lambda: scene(server, "prompt"), "a green fish")


def test_a_disabled_button_can_be_learned_and_escape_ends_learning(desk, server, eventually):
    page, devices = connected(desk)
    page.click("#midi-learn")
    page.keyboard.press("Escape")
    assert page.get_attribute("#midi-learn", "aria-pressed") == "false"
    page.locator("#redo").evaluate("(button) => { button.disabled = true; }")
    page.click("#midi-learn")
    page.click("#redo", force=True)
    devices.knob(BOX, 46, 127, 0)
    eventually(lambda: [it["target"] for it in server.ask("GET", "/mappings")["midi"]], ["redo"])


def test_range_and_mode_of_a_mapping_are_edited(desk, server, eventually):
    page, devices = connected(desk)
    server.ask("PATCH", "/scene", {"speed": 0.15, "fade_s": 0})
    eventually(lambda: page.evaluate(
        "async () => (await import('/page/scene.js')).scene.speed"), 0.15)  # fmt: skip
    mapped(server, page, control("speed"))
    page.get_by_label("to ", exact=True).fill("0.5")
    page.keyboard.press("Enter")
    eventually(lambda: server.ask("GET", "/mappings")["midi"], [control("speed", high=0.5)])
    page.get_by_label("to ", exact=True).fill("77")
    page.keyboard.press("Tab")
    assert page.get_by_label("to ", exact=True).input_value() == "0.5", "out of range"
    page.get_by_label("How it sets speed").select_option("toggle")
    eventually(lambda: server.ask("GET", "/mappings")["midi"],
               [control("speed", mode="toggle", high=0.5)])  # fmt: skip
    devices.knob(BOX, 21, 127, 0)
    eventually(lambda: scene(server, "speed"), 0.5)


# -- devices ---------------------------------------------------------------------------------------


def test_a_device_that_disappears_while_it_is_turned_works_again_when_it_is_back(
    desk, server, eventually
):
    page, devices = connected(desk)
    hold = control("black", 36, "momentary", type="note")
    mapped(server, page, control("speed"), hold)
    devices.knob(BOX, 21, 0, 30, 60, 90, 127)
    devices.send(BOX, [0x90, 36, 100])
    eventually(lambda: scene(server, "brightness"), 0)
    devices.knob(BOX, 21, 126, 120)
    devices.unplug(BOX)
    eventually(lambda: said(page), f"{BOX} was disconnected.")
    eventually(lambda: scene(server, "brightness"), 1)  # the held button was released
    eventually(lambda: scene(server, "speed"), pytest.approx(120 / 127 * 4))
    devices.plug(BOX, "another id")
    devices.knob("another id", 21, 119)
    eventually(lambda: scene(server, "speed"), pytest.approx(119 / 127 * 4))
    assert BOX in page.inner_text("#midi-now")


def test_two_devices_are_told_apart(desk, server, eventually):
    page, devices = connected(desk, BOX, "Faderfox")
    mapped(server, page, control("speed"), control("brightness", device="Faderfox"))
    devices.knob("Faderfox", 21, 127, 20)
    eventually(lambda: scene(server, "brightness"), 20 / 127)
    assert scene(server, "speed") == 0.15
    devices.knob(BOX, 21, 0, 127)
    eventually(lambda: scene(server, "speed"), 4)
    assert scene(server, "brightness") == 20 / 127


def test_a_device_in_use_by_another_program_is_named(desk, eventually):
    page, devices = opened(desk)
    devices.set(busy=[BOX])
    devices.plug(BOX)
    page.click("#midi-connect")
    eventually(lambda: "close other programs that use it" in page.inner_text("#midi-devices"))


def test_a_flood_leaves_the_page_responsive_and_its_last_value_arrives(desk, server, eventually):
    page, devices = connected(desk)
    mapped(server, page, control("brightness"), control("speed", 22))
    longest_ms = page.evaluate(
        """async (id) => {
        let [longest, last, running] = [0, performance.now(), true];
        const watch = () => {
            longest = Math.max(longest, performance.now() - last);
            last = performance.now();
            if (running) setTimeout(watch);
        };
        watch();
        for (let n = 0; n < 5000; n += 1) {
            devices.send(id, [0xB0, 21 + (n & 1), 127 - (n >> 1) % 128]);
            if (n % 50 === 49) await new Promise((done) => setTimeout(done));
        }
        devices.send(id, [0xB0, 21, 32]);
        devices.send(id, [0xB0, 22, 100]);
        running = false;
        return longest;
    }""",
        BOX,
    )
    assert longest_ms < 500
    eventually(lambda: scene(server, "brightness"), 32 / 127)
    eventually(lambda: scene(server, "speed"), pytest.approx(100 / 127 * 4))
    assert page.text_content("#message") == ""


def test_a_clock_sets_the_tempo_if_it_may(desk, server, eventually):
    page, devices = connected(desk)
    tick = """([id, begin]) => {
        devices.send(id, [0xFA], begin);
        for (let n = 0; n < 120; n += 1) devices.send(id, [0xF8], begin + n * 60000 / 97 / 24);
    }"""
    server.ask("PATCH", "/scene", {"bpm": 110})
    page.evaluate(tick, [BOX, 0])
    desk.rest(0.3)
    assert scene(server, "bpm") == 110
    page.check("#midi-clock")
    page.evaluate(tick, [BOX, 10_000])
    eventually(lambda: scene(server, "bpm"), 97)
    assert scene(server, "beat") < 30 * 97 / 60


def test_messages_of_other_kinds_and_broken_ones_do_nothing(desk, server):
    page, devices = connected(desk)
    mapped(server, page, control("speed"))
    before = server.ask("GET", "/status")["revision"]
    devices.send(BOX, [], [0xB0], [0xF0, *[1] * 70_000, 0xF7], [0xFE], [0xA0, 1, 2], [0xD0, 9])
    desk.rest(0.3)
    assert server.ask("GET", "/status")["revision"] == before


def test_a_mapping_of_a_parameter_that_was_removed_is_shown_and_does_nothing(
    desk, server, eventually
):
    page, devices = connected(desk)
    mapped(server, page, control("colour"), control("speed"))
    text = page.inner_text("#midi-mappings")
    assert "There is no parameter colour; this mapping has no effect." in text
    devices.knob(BOX, 21, 0, 127)
    eventually(lambda: scene(server, "speed"), 4)


# -- permission ------------------------------------------------------------------------------------


def test_devices_are_asked_for_on_a_click_only_and_without_system_messages(desk):
    page, devices = opened(desk)
    desk.rest(0.3)
    assert devices.asked == []
    page.click("#midi-connect")
    page.wait_for_selector("#midi-learn:enabled")
    assert devices.asked == [{"sysex": False}]
    assert page.inner_text("#midi-devices") == "No MIDI device is connected; plug one in."


def test_a_page_with_permission_connects_by_itself(desk):
    page, devices = opened(desk, permissions=["midi"])
    page.wait_for_selector("#midi-learn:enabled")
    assert len(devices.asked) == 1


def test_a_refusal_is_one_sentence(desk, eventually):
    page, devices = opened(desk)
    devices.set(refuse=True)
    page.click("#midi-connect")
    eventually(lambda: said(page).startswith("The browser refused access to MIDI devices;"))
    devices.set(refuse=False)
    page.click("#midi-connect")
    page.wait_for_selector("#midi-learn:enabled")


def test_a_browser_without_web_midi_says_so(desk):
    page = desk.window()
    page.add_init_script("delete Navigator.prototype.requestMIDIAccess")
    page.goto(desk.server.url)
    page.wait_for_selector("#midi-connect:disabled", state="attached")
    assert said(page) == "This browser has no Web MIDI; use Chrome, Edge or Firefox."


def test_a_page_that_is_not_secure_says_where_to_open_it(desk):
    page = desk.alone()
    page.add_init_script("delete window.WebSocket")

    def serve(route):
        path = route.request.url.removeprefix("http://insecure.test")
        if path == "/" or path.startswith("/page/"):
            answer = route.fetch(url=desk.server.url + path)
            headers = answer.headers
            headers.pop("cross-origin-opener-policy", None)  # reported on the console there
            route.fulfill(response=answer, headers=headers)
        else:
            route.fulfill(status=503, json={"status": "error", "error": "Busy."})

    page.route("http://insecure.test/**", serve)
    page.goto("http://insecure.test/")
    page.wait_for_selector("#midi-connect:disabled", state="attached")
    assert said(page).startswith("MIDI needs a secure page: open this one as localhost")
    desk.tolerate_report("status of 503")


def test_only_one_window_uses_the_devices(desk, server, eventually):
    page, devices = connected(desk)
    mapped(server, page, control("speed"))
    other = desk.beside(page.context)
    others = Devices(other)
    other.goto(desk.server.url)
    other.wait_for_selector(FIRST_PICTURE)
    other.locator("#midi").evaluate("(box) => { box.open = true; }")
    others.plug(BOX)
    other.click("#midi-connect")
    other.wait_for_selector("#midi-learn:enabled")
    eventually(lambda: "Another window" in page.inner_text("#midi-devices"))
    devices.knob(BOX, 21, 0, 127)
    desk.rest(0.3)
    assert scene(server, "speed") == 0.15
    other.close()
    page.wait_for_selector("#midi-learn:enabled")
    devices.knob(BOX, 21, 0, 127)
    eventually(lambda: scene(server, "speed"), 4)


def test_mappings_are_in_the_file_of_the_looks(desk, server, eventually):
    page, _ = connected(desk)
    mapped(server, page, control("look", mode="trigger", value="é" * 20))
    exported = server.ask("GET", "/export")
    assert exported["mappings"]["midi"] == [control("look", mode="trigger", value="é" * 20)]
    assert "look: " + "é" * 20 in page.inner_text("#midi-mappings")

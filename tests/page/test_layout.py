"""The page at every width: no control is clipped, squeezed or covered, in both views."""

from __future__ import annotations

import pytest

from tests.page.desk import FIRST_PICTURE
from tests.page.repertoire import with_looks

pytestmark = pytest.mark.browser

WIDTHS = range(360, 2561, 80)
# Each fault as text. What lies in a strip that scrolls sideways may be outside of its box.
FAULTS = """() => {
    const faults = [];
    const name = (it) => it.id || it.ariaLabel || it.textContent.trim() || it.className;
    const box = (it) => it.getBoundingClientRect();
    const strip = (it) => it.closest('#examples, #look-list');
    const inStrips = (it) => strip(it) !== null;
    const controls = [...document.querySelectorAll('button, a.button, input, select, summary')]
        .filter((it) => it.checkVisibility({visibilityProperty: true}) && box(it).width > 0);
    const page = document.documentElement;
    if (page.scrollWidth > innerWidth) faults.push(`the page is ${page.scrollWidth} wide`);
    for (const it of controls) {
        const home = it.closest('.panel, .looks, .notice') ?? document.body;
        const [own, outer] = [box(it), box(home)];
        const outside = own.left < outer.left - 0.5 || own.right > outer.right + 0.5;
        if (!inStrips(it) && (outside || own.left < 0 || own.right > innerWidth))
            faults.push(`${name(it)} is clipped`);
        const whole = it.matches('input, select') || it.scrollWidth <= it.clientWidth + 1;
        if (!whole) faults.push(`the text of ${name(it)} is cut`);
    }
    const free = controls.filter((it) => !inStrips(it));
    free.forEach((one, i) => free.slice(i + 1).forEach((other) => {
        if (one.contains(other) || other.contains(one)) return;
        if (one.closest('.looks') !== other.closest('.looks')) return;
        const [a, b] = [box(one), box(other)];
        const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (across > 1.5 && down > 1.5) faults.push(`${name(one)} is over ${name(other)}`);
    }));
    return faults;
}"""
# All that the source panel can show; it is not hidden again by the next scene.
SHOW_SOURCE = """() => {
    document.getElementById('source').open = true;
    const parts = ['preview', 'capture', 'pinned-label', 'device', 'moves'];
    for (const id of [...parts.map((part) => `source-${part}`), 'capturing']) {
        const element = document.getElementById(id);
        element.hidden = false;
        Object.defineProperty(element, 'hidden', {set() {}});
    }
    const preview = document.getElementById('source-preview');
    [preview.width, preview.height] = [512, 512];
    const longest = 'A camera with a long name '.repeat(4);
    document.getElementById('source-device').append(new Option(longest));
}"""
SMALL = """() => [...document.querySelectorAll('button, a.button, input, select, summary')]
    .filter((it) => it.checkVisibility({visibilityProperty: true}))
    .filter((it) => !it.matches('[type=checkbox]'))
    .filter((it) => it.getBoundingClientRect().height < 40)
    .map((it) => it.id || it.ariaLabel || it.textContent.trim())"""


@pytest.fixture
def full(desk, server):
    """The page with everything open: a blend, the preview, a setlist, the tempo, recordings,
    and the source panel with all that it can show."""
    with with_looks(server, "a red star", "a blue moon", "a green fish"):
        page = desk.open()
        page.click("#send-enter")
        page.click("#blend-add")
        page.evaluate("document.getElementById('setlist').open = true")
        page.evaluate("document.getElementById('exchange').open = true")
        page.evaluate("document.getElementById('recordings').open = true")
        page.evaluate(SHOW_SOURCE)
        page.click("#setlist-add")
        page.wait_for_selector("#setlist-entries li:nth-child(3)")
        page.evaluate("document.getElementById('tempo').open = true")
        page.fill("#beats-per-bar", "16")
        for _ in range(2):
            page.click("#modulator-add")
        yield page


@pytest.mark.parametrize("height", [600, 800, 1440])
def test_no_control_is_clipped_or_covered_at_any_width(full, height):
    faults = {}
    for width in WIDTHS:
        full.set_viewport_size({"width": width, "height": height})
        full.evaluate("() => new Promise(requestAnimationFrame)")
        if found := full.evaluate(FAULTS):
            faults[width] = found
    assert faults == {}


def test_no_control_is_clipped_in_the_watch_view(desk):
    page = desk.open("/?view=watch")
    faults = {}
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        page.evaluate("() => new Promise(requestAnimationFrame)")
        if found := page.evaluate(FAULTS):
            faults[width] = found
        picture = page.locator("#picture").bounding_box()
        assert picture["height"] > 250 or picture["width"] == pytest.approx(width, abs=2)
    assert faults == {}


def test_touch_targets_on_a_phone_are_large_enough(desk, server):
    with with_looks(server, "a red star"):
        page = desk.open(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
        page.wait_for_selector(".look")
        page.evaluate("document.getElementById('setlist').open = true")
        page.click("#setlist-add")
        page.wait_for_selector("#setlist-entries li")
        page.evaluate("document.getElementById('tempo').open = true")
        page.click("#modulator-add")
        page.wait_for_selector("#modulators li")
        page.evaluate(SHOW_SOURCE)
        assert page.evaluate(SMALL) == []


def test_a_large_screen_has_larger_controls_and_uses_its_width(desk):
    small = desk.open(viewport={"width": 1280, "height": 800})
    large = desk.open(viewport={"width": 2560, "height": 1440})
    height = "document.querySelector('#freeze').getBoundingClientRect().height"
    assert large.evaluate(height) > 1.2 * small.evaluate(height)
    unused = """() => innerWidth - document.querySelector('#also').getBoundingClientRect().right"""
    assert large.evaluate(unused) < 80


@pytest.mark.parametrize("fit", ["cover", "contain"])
@pytest.mark.parametrize("size", [(1280, 720), (720, 1280)])
def test_the_clean_view_fits_the_picture_to_the_stage(desk, fit, size):
    width, height = size
    page = desk.open(f"/?clean&fit={fit}", viewport={"width": width, "height": height})
    box = page.locator("#picture").bounding_box()
    assert (box["width"], box["height"]) == (width, height)
    found = page.evaluate("getComputedStyle(document.querySelector('#picture')).objectFit")
    assert found == fit
    page.keyboard.press("Escape")
    page.wait_for_selector(".panel:visible")
    assert f"fit={fit}" in page.url


def test_the_watch_view_has_an_address_and_a_way_back(desk):
    page = desk.open("/?view=watch")
    assert page.locator("#showing").is_visible()
    for control in ("#form", ".transport", "#looks", ".motion"):
        assert not page.locator(control).is_visible(), control
    page.click("#watch")
    assert page.locator("#form").is_visible()
    assert "view=watch" not in page.url
    page.keyboard.press("w")
    assert not page.locator("#form").is_visible()
    page.reload()
    page.wait_for_selector(FIRST_PICTURE)
    assert not page.locator("#form").is_visible()


def test_the_essential_controls_are_above_the_fold_at_1280_by_800(desk):
    page = desk.open(viewport={"width": 1280, "height": 800})
    for element in ("#broadcast > summary", "#watch", "#save", "#fps", "#viewers"):
        box = page.locator(element).bounding_box()
        assert box["y"] + box["height"] <= 800, element


@pytest.mark.parametrize("width", [390, 1280])
def test_an_open_panel_moves_no_name_of_a_panel(desk, width):
    page = desk.open(viewport={"width": width, "height": 800})
    names = page.locator(".panels > details > summary")
    page.set_viewport_size({"width": width, "height": 2400})  # nothing scrolls at a click
    before = [it.bounding_box() for it in names.all()]
    page.click("#tempo > summary")
    assert [it.bounding_box() for it in names.all()] == before
    assert page.locator("#tap").bounding_box()["y"] > max(box["y"] for box in before)

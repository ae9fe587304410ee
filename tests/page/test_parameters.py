"""The parameter table and the controls of the page name the same parameters."""

from __future__ import annotations

import pytest

from tests.page.repertoire import with_looks

pytestmark = pytest.mark.browser

WITHOUT_CONTROL = {
    "guidance": "its control shows where the model uses it",
    "negative": "its control shows where the model uses it",
    "look_number": "a click on the look, or the keys 1 to 9",
    "previous_look": "the left arrow key; the strip shows all looks",
    "next_look": "the right arrow key; the strip shows all looks",
}
# The sliders of feedback, which the server may not offer: they stay as the script leaves them.
SHOW_MOVES = """() => {
    const moves = document.getElementById('source-moves');
    moves.hidden = false;
    Object.defineProperty(moves, 'hidden', {set() {}});
}"""


@pytest.fixture
def page(desk, server):
    """The page with a look and as many blended prompts as there can be."""
    with with_looks(server, "a red star"):
        page = desk.open()
        page.wait_for_selector(".look")
        while page.is_visible("#blend-add"):
            page.click("#blend-add")
        for panel in ("setlist", "tempo", "source"):
            page.evaluate("(id) => { document.getElementById(id).open = true; }", panel)
        page.evaluate(SHOW_MOVES)
        yield page


def test_each_parameter_has_a_control_and_each_control_a_parameter(page, server):
    table = {row["name"] for row in server.ask("GET", "/parameters")["parameters"]}
    marked = page.locator("[data-parameter]")
    visible = [it for it in marked.all() if it.is_visible()]
    shown = {it.get_attribute("data-parameter") for it in visible}
    assert shown == table - set(WITHOUT_CONTROL)


def test_a_control_that_sets_one_value_names_it(page, server):
    choices = {
        row["name"]: row["choices"]
        for row in server.ask("GET", "/parameters")["parameters"]
        if row["kind"] == "choice"
    }
    for name in ("motion", "quantise"):
        buttons = page.locator(f"button[data-parameter={name}]").all()
        assert [it.get_attribute("data-value") for it in buttons] == choices[name]
    options = page.locator("#easing option").all()
    assert [it.get_attribute("value") for it in options] == choices["easing"]
    assert page.get_attribute("[data-parameter=look]", "data-value") == "a red star"


def test_ranges_and_titles_come_from_the_table(page, server):
    rows = {row["name"]: row for row in server.ask("GET", "/parameters")["parameters"]}
    ranged = {
        "#weight": "weight_1",
        "#brightness": "brightness",
        "#bpm": "bpm",
        "#beats-per-bar": "beats_per_bar",
        "#strength": "strength",
        "#zoom": "zoom",
        "#rotation": "rotation",
        "#shift_x": "shift_x",
        "#shift_y": "shift_y",
    }
    for control, name in ranged.items():
        found = [float(page.get_attribute(control, end)) for end in ("min", "max")]
        assert found == rows[name]["knob"], name
    for control in ("#speed", "#brightness", "#fade", "#seed", "#bpm"):
        name = page.get_attribute(control, "data-parameter")
        assert page.get_attribute(control, "title").lower() == rows[name]["help"].lower()
    page.fill("#speed", "100")
    assert float(page.inner_text("#speed-value")) == rows["speed"]["high"]

"""The pure parts of MIDI on the page: messages, mappings, what is learned, and the clock."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.browser

PARSE = """async (messages) => {
    const {MidiParser} = await import('/page/midi_messages.js');
    const parser = new MidiParser();
    return messages.flatMap((bytes) => parser.take(new Uint8Array(bytes)));
}"""
FOLLOW = """async ({row, mappings, steps}) => {
    const {MidiMap, keyOf} = await import('/page/midi_map.js');
    const map = new MidiMap((name) => (name === row.name ? row : undefined));
    map.setMappings(mappings);
    return steps.map(({event, inForce, at, device, lost}) => {
        if (lost) return map.lost(lost)[row.name] ?? null;
        const current = () => inForce ?? undefined;
        const {values, waits} = map.take(device ?? 'box', event, current, at ?? 0);
        return values[row.name] ?? Object.values(waits)[0] ?? null;
    });
}"""
CLOCK = """async (events) => {
    const {MidiClock} = await import('/page/midi_clock.js');
    const clock = new MidiClock();
    return events.map(([type, at]) => clock.take(type, at));
}"""
LEARN = """async ({events, row, value}) => {
    const {controlOf, mappingFor} = await import('/page/midi_learn.js');
    const event = controlOf(events);
    return event && mappingFor('box', event, row, value ?? undefined);
}"""
IN_FORCE = """async ([name, scene, own]) => {
    const {inForce} = await import('/page/in_force.js');
    return inForce(name, scene, own ?? {}) ?? null;
}"""

SPEED = {
    "name": "speed", "kind": "continuous", "low": 0, "high": 4, "knob": [0, 1], "choices": [],
}  # fmt: skip
SEED = {"name": "seed", "kind": "whole", "low": 0, "high": 2**40, "knob": [0, 127], "choices": []}
BLACK = {"name": "black", "kind": "choice", "choices": ["off", "on"]}
MOTION = {"name": "motion", "kind": "choice", "choices": ["walk", "hold", "fresh"]}
NEXT = {"name": "next_look", "kind": "trigger", "choices": []}
LOOK = {"name": "look", "kind": "text", "choices": []}
NUMBER = {"name": "look_number", "kind": "whole", "low": 1, "high": 999, "knob": [1, 9]}
NUMBER["choices"] = []


@pytest.fixture(scope="module")
def window(browser, shared_server):
    """A page of the server's origin that imports modules, for all tests of this file."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(shared_server.url + "/?clean")
    yield page
    context.close()


def cc(value: int, number: int = 21, **changes: Any) -> dict[str, Any]:
    return {"type": "cc", "channel": 1, "number": number, "value": value, "most": 127, **changes}


def fine(value: int, kind: str = "cc14", number: int = 21) -> dict[str, Any]:
    return {**cc(value, number), "type": kind, "most": 16383, "fine": True}


def note(velocity: int, number: int = 60) -> dict[str, Any]:
    return {**cc(velocity, number), "type": "note", "on": velocity > 0}


# -- messages --------------------------------------------------------------------------------------


def parsed(window, *messages):
    """(type, channel, number, value) of each event."""
    names = ("type", "channel", "number", "value")
    return [tuple(event.get(name) for name in names) for event in window.evaluate(PARSE, messages)]


@pytest.mark.parametrize(
    ("message", "event"),
    [
        ([0xB0, 70, 127], ("cc", 1, 70, 127)),
        ([0xBF, 70, 0], ("cc", 16, 70, 0)),
        ([0x92, 60, 100], ("note", 3, 60, 100)),
        ([0x92, 60, 0], ("note", 3, 60, 0)),
        ([0x82, 60, 64], ("note", 3, 60, 0)),
        ([0xC0, 5], ("program", 1, 5, 5)),
        ([0xE0, 0, 64], ("pitchbend", 1, 0, 8192)),
        ([0xE0, 127, 127], ("pitchbend", 1, 0, 16383)),
        *(([status], (kind, None, None, None)) for status, kind in
          ((0xF8, "clock"), (0xFA, "start"), (0xFB, "continue"), (0xFC, "stop"))),
    ],
)  # fmt: skip
def test_a_message_is_read(window, message, event):
    assert parsed(window, message) == [event]


def test_a_press_with_velocity_0_is_a_release(window):
    on = [event["on"] for event in window.evaluate(PARSE, [[0x90, 60, 1], [0x90, 60, 0]])]
    assert on == [True, False]


@pytest.mark.parametrize(
    "message",
    [[], [0xB0], [0xB0, 1], [0xB0, 1, 200], [0xB0, 255, 1], [60, 60, 60], [0xF0, 1, 2, 0xF7],
     [0xF0] * 70_000, [0xFE], [0xFF], [0xA0, 60, 60], [0xD0, 60], [0xF2, 1, 1], [0xC0]],
)  # fmt: skip
def test_any_other_message_gives_nothing(window, message):
    assert parsed(window, message) == []


def test_both_halves_of_a_14_bit_control_give_one_value_each_pair(window):
    def pair(upper, lower):
        return [0xB0, 21, upper], [0xB0, 53, lower]

    events = parsed(window, *pair(64, 1), *pair(64, 127), *pair(65, 0))
    values = [value for kind, _, _, value in events if kind == "cc14"]
    assert values[1:] == [64 * 128 + 1, 64 * 128 + 127, 65 * 128], "only the first half comes alone"


def test_a_control_without_the_lower_half_reaches_both_ends(window):
    events = parsed(window, [0xB0, 1, 0], [0xB0, 1, 127])
    assert [value for kind, _, _, value in events if kind == "cc14"] == [0, 16383]


def test_an_nrpn_is_read_from_its_four_controllers(window):
    messages = [[0xB0, 99, 2], [0xB0, 98, 44], [0xB0, 6, 100], [0xB0, 38, 3]]
    events = parsed(window, *messages, [0xB0, 6, 101], [0xB0, 38, 0])
    found = [event for event in events if event[0] == "nrpn"]
    assert [event[2] for event in found] == [300] * 3
    assert [event[3] for event in found][1:] == [100 * 128 + 3, 101 * 128]
    reset = [[0xB0, 101, 127], [0xB0, 100, 127], [0xB0, 6, 5]]
    assert parsed(window, *messages[:2], *reset)[-2][:1] == ("cc",), "no parameter is selected"


# -- mappings --------------------------------------------------------------------------------------


def mapping(row, mode="continuous", **changes):
    control = {"device": "box", "channel": 1, "type": "cc", "number": 21}
    return {**control, "target": row["name"], "mode": mode, **changes}


def followed(window, row, steps, *mappings):
    """What each step sets, or which way the control has to be moved, or None."""
    given = {"row": row, "mappings": list(mappings), "steps": steps}
    return window.evaluate(FOLLOW, given)


def turns(*values, in_force=None, at=0):
    return [{"event": cc(value), "inForce": in_force, "at": at} for value in values]


def test_a_knob_sweeps_its_range(window):
    assert followed(window, SPEED, turns(0, 127), mapping(SPEED)) == [0, 1]
    narrow = mapping(SPEED, low=2, high=-5)
    assert followed(window, SPEED, turns(0, 127), narrow) == [2, 0], "inside the accepted range"


def test_a_whole_number_and_a_choice_are_stepped_through(window):
    assert followed(window, SEED, turns(0, 64, 127), mapping(SEED)) == [0, 64, 127]
    found = followed(window, MOTION, turns(0, 42, 43, 84, 85, 127), mapping(MOTION))
    assert found == ["walk", None, "hold", None, "fresh", None], "each choice once"


@pytest.mark.parametrize(
    "changes", [{"channel": 2}, {"number": 22}, {"type": "note"}, {"device": "other"}]
)
def test_another_control_has_no_effect(window, changes):
    assert followed(window, SPEED, turns(64), mapping(SPEED, **changes)) == [None]


def test_any_device_may_be_meant(window):
    step = {"event": cc(127), "device": "whichever"}
    assert followed(window, SPEED, [step], mapping(SPEED, device="*")) == [1]


def test_a_mapping_of_a_removed_parameter_has_no_effect(window):
    gone = mapping({"name": "colour"})
    assert followed(window, SPEED, turns(64), gone, mapping(SPEED)) == [pytest.approx(64 / 127)]


def test_a_knob_waits_until_it_crosses_the_value_in_force(window):
    found = followed(window, SPEED, turns(10, 30, 90, 100, in_force=0.5), mapping(SPEED))
    assert found == ["up", "up", pytest.approx(90 / 127), pytest.approx(100 / 127)]
    found = followed(window, SPEED, turns(120, 20, in_force=0.5), mapping(SPEED))
    assert found == ["down", pytest.approx(20 / 127)]


def test_two_steps_from_the_value_in_force_are_near_enough(window):
    steps = turns(61, 62, in_force=64 / 127)
    assert followed(window, SPEED, steps, mapping(SPEED)) == ["up", pytest.approx(62 / 127)]


def test_a_knob_that_has_taken_over_keeps_the_parameter_while_its_changes_are_on_their_way(window):
    values = [value / 127 for value in (64, 70, 80, 90)]
    steps = turns(64, in_force=0.5)
    steps += turns(70, in_force=0.5, at=10)  # nothing has come back yet
    steps += turns(80, in_force=values[0], at=40)
    steps += turns(90, in_force=values[1], at=70)
    assert followed(window, SPEED, steps, mapping(SPEED)) == pytest.approx(values)


def test_a_value_that_was_changed_elsewhere_is_not_jumped_away_from(window):
    steps = turns(64, 80, in_force=64 / 127)
    steps += turns(82, 90, in_force=0.1, at=5000)
    steps += turns(13, 20, in_force=0.1, at=6000)
    found = followed(window, SPEED, steps, mapping(SPEED))
    assert found[2:4] == ["down", "down"]
    assert found[4:] == pytest.approx([13 / 127, 20 / 127])


def test_a_value_of_its_own_from_long_ago_is_another_value(window):
    steps = turns(64, 100, in_force=0.5) + turns(101, in_force=64 / 127, at=9000)
    assert followed(window, SPEED, steps, mapping(SPEED))[-1] == "down"


def test_a_parameter_outside_the_range_of_its_knob_is_taken_over_at_the_end(window):
    found = followed(window, SPEED, turns(100, 127, in_force=3), mapping(SPEED))
    assert found == ["up", 1]


def test_a_fine_control_takes_over_without_a_jump(window):
    steps = [{"event": fine(value), "inForce": 0.5} for value in (8100, 8300, 8301)]
    found = followed(window, SPEED, steps, mapping(SPEED, type="cc14"))
    assert found == ["up", pytest.approx(8300 / 16383), pytest.approx(8301 / 16383)]


def presses(*values, in_force=None):
    """Presses long after one another."""
    return [
        {"event": event, "inForce": in_force, "at": 5000 * at} for at, event in enumerate(values)
    ]


def test_a_toggle_changes_what_is_in_force(window):
    toggle = mapping(BLACK, "toggle")
    assert followed(window, BLACK, presses(cc(127), cc(0), in_force="off"), toggle) == ["on", None]
    assert followed(window, BLACK, presses(cc(127), in_force="on"), toggle) == ["off"]
    only_presses = presses(cc(127), cc(127), in_force="off")
    assert followed(window, BLACK, only_presses, toggle) == ["on", "on"], "no release is sent"
    quick = [{"event": event, "inForce": "off", "at": 0} for event in (cc(127), cc(0), cc(127))]
    assert followed(window, BLACK, quick, toggle) == ["on", None, "off"], "before an answer"
    ends = mapping(SPEED, "toggle", low=0.2, high=0.8)
    assert followed(window, SPEED, presses(cc(127), in_force=0.3), ends) == [0.8]
    assert followed(window, SPEED, presses(cc(127), in_force=0.7), ends) == [0.2]
    notes = mapping(MOTION, "toggle", type="note", number=60)
    assert followed(window, MOTION, presses(note(1), in_force="fresh"), notes) == ["walk"]


def test_a_trigger_fires_on_the_press_alone(window):
    steps = presses(cc(127), cc(0), cc(100), cc(110), cc(10))
    fired = followed(window, NEXT, steps, mapping(NEXT, "trigger"))
    assert fired == [True, None, True, None, None]
    recall = mapping(LOOK, "trigger", type="note", number=60, value="dawn")
    assert followed(window, LOOK, presses(note(9), note(0)), recall) == ["dawn", None]
    program = mapping(LOOK, "trigger", type="program", number=3, value="dawn")
    step = {"event": {**cc(3, 3), "type": "program"}}
    assert followed(window, LOOK, [step, step], program) == ["dawn", "dawn"]
    assert followed(window, LOOK, presses(cc(127)), mapping(LOOK, "trigger")) == [None]


def test_a_held_button_lasts_until_its_release_or_the_end_of_its_device(window):
    held = mapping(BLACK, "momentary", type="note", number=60)
    steps = presses(note(80), note(0), note(80))
    found = followed(window, BLACK, [*steps, {"lost": "box"}, {"lost": "box"}], held)
    assert found == ["on", "off", "on", "off", None]


def test_a_program_number_recalls_the_look_of_that_number(window):
    programs = mapping(NUMBER, type="program", low=1, high=128)
    del programs["number"]
    steps = [{"event": {**cc(value, value), "type": "program"}} for value in (0, 4, 127)]
    assert followed(window, NUMBER, steps, programs) == [1, 5, 128]


# -- learning --------------------------------------------------------------------------------------


def learned(window, row, *events, value=None):
    return window.evaluate(LEARN, {"events": list(events), "row": row, "value": value})


@pytest.mark.parametrize(
    ("row", "event", "mode"),
    [(SPEED, cc(5), "continuous"), (SPEED, note(5), "momentary"), (BLACK, cc(5), "toggle"),
     (MOTION, cc(5), "continuous"), (MOTION, note(5), "toggle"), (NEXT, cc(5), "trigger")],
)  # fmt: skip
def test_what_is_learned_suits_the_parameter(window, row, event, mode):
    found = learned(window, row, event)
    assert (found["mode"], found["number"], found["device"]) == (mode, event["number"], "box")


def test_a_button_that_sets_one_value_is_learned_with_it(window):
    found = learned(window, MOTION, cc(127), value="hold")
    assert (found["mode"], found["value"]) == ("trigger", "hold")


def test_the_finest_form_of_a_control_is_learned(window):
    both = (cc(64, 21), fine(8192), cc(1, 53))
    assert learned(window, SPEED, *both)["type"] == "cc14"
    assert learned(window, SPEED, cc(1, 53), fine(8192))["number"] == 53, "a knob of its own"
    select = (cc(2, 99), cc(44, 98), fine(100, "nrpn", 300))
    assert learned(window, SPEED, *select)["number"] == 300


def test_a_control_that_is_touched_on_the_way_is_not_learned(window):
    events = [cc(9, 5), *(cc(value, 21) for value in range(9))]
    assert learned(window, SPEED, *events)["number"] == 21


def test_programs_are_learned_for_the_number_of_a_look(window):
    found = learned(window, NUMBER, {**cc(7, 7), "type": "program"})
    assert (found["mode"], found["low"], found["high"]) == ("continuous", 1, 128)
    assert "number" not in found


# -- the value in force ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [("speed", 0.2), ("weight_2", 0.5), ("weight_3", None), ("freeze", "on"), ("black", "off"),
     ("phase", None), ("next_look", None), ("fade_s", 3)],
)  # fmt: skip
def test_the_value_in_force_is_found_in_the_scene(window, name, value):
    scene = {"speed": 0.2, "motion": "hold", "brightness": 1, "phase": 8.1}
    scene["prompts"] = [{"text": "a", "weight": 1}, {"text": "b", "weight": 0.5}]
    assert window.evaluate(IN_FORCE, [name, scene, {"fade_s": 3}]) == value
    assert window.evaluate(IN_FORCE, ["speed", None]) is None


# -- the clock -------------------------------------------------------------------------------------


def ticks(bpm, count, begin=0.0, jitter_ms=0.0):
    """The pulses of a clock; each second one is late by the jitter."""
    every = 60_000 / bpm / 24
    return [["clock", begin + n * every + (jitter_ms if n % 2 else 0)] for n in range(count)]


def tempi(window, events):
    return [it["bpm"] for it in window.evaluate(CLOCK, events) if "bpm" in it]


@pytest.mark.parametrize("bpm", [20.0, 60.0, 93.7, 120.0, 174.3, 300.0])
def test_a_steady_clock_gives_its_tempo_once(window, bpm):
    assert tempi(window, ticks(bpm, 480)) == [bpm]


def test_a_jittering_clock_gives_its_tempo(window):
    found = tempi(window, ticks(120, 2000, jitter_ms=1.5))
    assert found
    assert all(abs(bpm - 120) <= 0.2 for bpm in found)
    assert len(found) <= 2


def test_another_tempo_is_found_within_two_beats(window):
    slow = ticks(90, 200)
    fast = ticks(140, 60, begin=slow[-1][1] + 60_000 / 140 / 24)
    assert tempi(window, slow + fast)[-1] == 140.0


def test_at_most_two_tempi_a_second(window):
    events, at = [], 0.0
    for n in range(2400):
        at += 60_000 / (100 + n / 50) / 24
        events.append(["clock", at])
    assert 10 < len(tempi(window, events)) <= 2 * at / 1000 + 1


def test_a_pause_is_not_a_tempo(window):
    first = ticks(120, 100)
    assert tempi(window, first + ticks(120, 100, begin=60_000)) == [120.0]


def test_the_beat_is_0_at_the_first_pulse_after_a_start(window):
    answers = window.evaluate(CLOCK, [["start", 0], *ticks(120, 1600)])
    beats = [(at - 1, it["beat"]) for at, it in enumerate(answers) if "beat" in it]
    assert beats == [(0, 0), (768, 32), (1536, 64)]
    answers = window.evaluate(CLOCK, [["continue", 0], *ticks(120, 800)])
    assert not [it for it in answers if "beat" in it], "where in the song is not known"


@pytest.mark.parametrize("bpm", [5.0, 1000.0])
def test_a_tempo_out_of_range_is_ignored(window, bpm):
    assert tempi(window, ticks(bpm, 200)) == []


def test_pulses_at_one_time_are_ignored(window):
    assert tempi(window, [["clock", 5.0]] * 500) == []

"""Mappings: their checks, their JSON form and their place in the file of the looks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from turbostream.stream import looks_json
from turbostream.stream.looks import Look, Looks
from turbostream.stream.looks_json import Content
from turbostream.stream.mappings import MidiMapping, SoundMapping, from_json, with_unknown
from turbostream.stream.scene import Scene
from turbostream.stream.scene_checks import SceneError

KNOB = {"channel": 1, "type": "cc", "number": 21, "target": "speed"}
SOUND = {"source": "low", "target": "brightness"}
FULL_KNOB = {
    **KNOB, "device": "nanoKONTROL2 é", "mode": "momentary", "low": -1, "high": 2.5, "value": "on",
}  # fmt: skip
FULL_SOUND = {
    **SOUND, "amount": -0.5, "smoothing": 0.9, "floor": 0.1, "low": 0, "high": 1, "value": True,
}  # fmt: skip


def midi(**changes: Any) -> dict[str, Any]:
    return {"midi": [{**KNOB, **changes}]}


def sound(**changes: Any) -> dict[str, Any]:
    return {"sound": [{**SOUND, **changes}]}


def without(name: str) -> dict[str, Any]:
    return {"midi": [{key: value for key, value in KNOB.items() if key != name}]}


def test_every_field_survives_the_json_form() -> None:
    data = {"midi": [FULL_KNOB], "sound": [FULL_SOUND]}
    assert json.loads(json.dumps(from_json(data).as_json())) == data


def test_what_is_left_out_has_a_default() -> None:
    found = from_json({**midi(), **sound()})
    assert found.midi == (MidiMapping(1, "cc", "speed", 21, "*", "continuous"),)
    assert found.sound == (SoundMapping("low", "brightness", 1.0, 0.0, 0.0),)
    assert not from_json({})


@pytest.mark.parametrize(
    ("kind", "most"),
    [("cc", 127), ("cc14", 31), ("nrpn", 16383), ("note", 127), ("program", 127), ("pitchbend", 0)],
)
def test_the_number_of_each_type_has_its_range(kind: str, most: int) -> None:
    for number in (0, most):
        assert from_json(midi(type=kind, number=number)).midi[0].number == number
    for number in (-1, most + 1):
        with pytest.raises(SceneError, match=f"whole number from 0 to {most}"):
            from_json(midi(type=kind, number=number))


def test_pitch_bend_and_any_program_need_no_number() -> None:
    for kind in ("pitchbend", "program"):
        assert from_json(midi(type=kind, number=None)).midi[0].number is None
    with pytest.raises(SceneError, match="number"):
        from_json(without("number"))


BAD: dict[str, object] = {
    "a list": [],
    "text": "midi",
    "another kind": {"osc": []},
    "entries that are no list": {"midi": {}},
    "an entry that is no object": {"midi": [7]},
    "257 entries": {"midi": [KNOB] * 257},
    "257 entries of sound": {"sound": [SOUND] * 257},
    "no target": without("target"),
    "no channel": without("channel"),
    "no type": without("type"),
    "another field": midi(colour="red"),
    "channel 0": midi(channel=0),
    "channel 17": midi(channel=17),
    "a channel that is true": midi(channel=True),
    "a channel with a fraction": midi(channel=1.5),
    "an unknown type": midi(type="sysex"),
    "a type that is a list": midi(type=[]),
    "an unknown mode": midi(mode="dance"),
    "an empty target": midi(target=""),
    "a long target": midi(target="x" * 61),
    "a target that is a number": midi(target=7),
    "a long device": midi(device="x" * 201),
    "a lone surrogate": midi(device="\ud800"),
    "a control character": midi(target="a\x00"),
    "NaN": midi(low=float("nan")),
    "infinity": midi(high=float("inf")),
    "a number that no float holds": midi(high=10**400),
    "a range that is text": midi(low="0"),
    "a value that is a list": midi(value=[]),
    "a long value": midi(value="x" * 1001),
    "a value that is a lone surrogate": midi(value="\udfff"),
    "an unknown source": sound(source="bass"),
    "an amount of 2": sound(amount=2),
    "a smoothing below 0": sound(smoothing=-0.1),
    "a floor that is true": sound(floor=True),
}


@pytest.mark.parametrize("name", BAD)
def test_wrong_mappings_are_refused_with_one_sentence(name: str) -> None:
    with pytest.raises(SceneError) as error:
        from_json(BAD[name])
    text = str(error.value)
    assert text[0].isupper()
    assert text.endswith(".")
    assert len(text) < 200


def test_an_entry_that_is_wrong_is_named() -> None:
    with pytest.raises(SceneError, match=r"^The MIDI mapping 2 cannot be used: its channel must"):
        from_json({"midi": [KNOB, {**KNOB, "channel": 99}]})


def test_an_unknown_target_is_kept_and_marked_and_the_answer_can_be_sent_back() -> None:
    data = {"midi": [KNOB, {**KNOB, "target": "gone"}], "sound": [{**SOUND, "target": "gone"}]}
    answer = with_unknown(from_json(data), lambda name: name != "gone")
    assert [entry.get("unknown") for entry in answer["midi"]] == [None, True]
    assert answer["sound"][0]["unknown"] is True
    assert from_json(answer) == from_json(data)


# -- in the file of the looks ----------------------------------------------------------------------


def test_mappings_survive_the_file() -> None:
    mappings = from_json({"midi": [FULL_KNOB], "sound": [FULL_SOUND]})
    text = looks_json.to_text(Content(mappings=mappings))
    assert json.loads(text)["version"] == 2
    assert looks_json.from_json(json.loads(text)) == Content(mappings=mappings)


def test_without_mappings_the_file_keeps_the_form_that_older_programs_read() -> None:
    look = Look.of("a", Scene.single("x", seed=3), 0.0)
    data = json.loads(looks_json.to_text(Content(Looks().put(look))))
    assert data["version"] == 1
    assert set(data) == {"version", "looks", "setlist"}
    assert not looks_json.from_json(data).mappings


def test_a_file_with_wrong_mappings_is_refused() -> None:
    with pytest.raises(SceneError, match="MIDI mapping 1"):
        looks_json.from_json({"version": 2, "looks": [], "mappings": midi(channel=0)})

"""Looks: they hold exactly what was on screen, and invalid ones are refused with one sentence."""

from __future__ import annotations

import base64
import io
import json
import random
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from turbostream.stream import looks_json, thumbnail
from turbostream.stream.channel import Channel
from turbostream.stream.looks import MOST_LOOKS, Look, Looks, UnknownLook, check_name
from turbostream.stream.looks_json import Content
from turbostream.stream.scene import Scene
from turbostream.stream.scene_checks import SceneError
from turbostream.stream.setlist import Entry, Setlist

E_ACUTE, E_AND_ACCENT = "caf\u00e9", "cafe\u0301"


def jpeg(width: int = 64, height: int = 48, noisy: bool = False) -> bytes:
    image = Image.new("RGB", (width, height), (200, 30, 90))
    if noisy:
        image = Image.frombytes("RGB", image.size, random.Random(1).randbytes(width * height * 3))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


def look(name: str = "dawn", prompt: str = "a red heart") -> Look:
    return Look.of(name, Scene.single(prompt, seed=7, phase=1.25), 0.0)


def sentence(error: pytest.ExceptionInfo[Exception]) -> str:
    text = str(error.value)
    assert text[0].isupper()
    assert text.endswith(".")
    assert len(text.splitlines()) == 1
    assert len(text) < 250
    return text


# -- names -----------------------------------------------------------------------------------------


def test_two_spellings_of_a_name_are_one() -> None:
    assert check_name(E_AND_ACCENT) == E_ACUTE
    assert check_name("  a b ") == "a b"
    with pytest.raises(SceneError, match="exists|already"):
        Looks().put(look("a"), look(E_ACUTE)).renamed("a", check_name(E_AND_ACCENT))


@pytest.mark.parametrize(
    "name",
    ["", "  ", "x" * 61, "x" * 300, "x" * 10**6, "a/b", "a\\b", "a\0b", "a\nb", "\x1b[2J", "\x7f",
     ".", "..", ".\u200d", "\u200d\u200c", "\ud800", "a\ufffd", "\u202egnp", 7, None, ["a"]],
)  # fmt: skip
def test_an_invalid_name_is_refused_with_a_sentence(name: object) -> None:
    with pytest.raises(SceneError) as error:
        check_name(name)
    sentence(error)


def test_a_name_of_60_characters_in_any_script_is_accepted() -> None:
    for name in (
        "x" * 60,
        "夜明け",
        "a.b",
        "50 %",
        "?#&",
        "\u0645\u06cc\u200c\u062e",
        "\U0001f468\u200d\U0001f469",
    ):
        assert check_name(name) == name


# -- the collection --------------------------------------------------------------------------------


def test_a_look_replaces_the_one_of_its_name_in_place_and_others_come_last() -> None:
    looks = Looks().put(look("a"), look("b")).put(look("a", "changed"), look("c"))
    assert looks.names == ("a", "b", "c")
    assert looks.get("a").scene.prompt == "changed"


def test_looks_above_the_maximum_are_refused() -> None:
    full = Looks().put(*(look(str(number)) for number in range(MOST_LOOKS)))
    with pytest.raises(SceneError) as error:
        full.put(look("one more"))
    assert str(MOST_LOOKS) in sentence(error)
    assert len(full.put(look("7", "replaced"))) == MOST_LOOKS


def test_an_order_names_each_look_once() -> None:
    looks = Looks().put(look("a"), look("b"), look(E_ACUTE))
    assert looks.ordered([E_AND_ACCENT, "b", "a"]).names == (E_ACUTE, "b", "a")
    for order in ([], ["a", "b"], ["a", "b", "b"], ["a", "b", "c"], ["a", "b", 7], [[], {}, "a"]):
        with pytest.raises(SceneError) as error:
            looks.ordered(order)
        sentence(error)


def test_a_look_that_does_not_exist_cannot_be_renamed_deleted_or_recalled() -> None:
    for action in (Looks().get, Looks().without, lambda name: Looks().renamed(name, "b")):
        with pytest.raises(UnknownLook) as error:
            action("a")
        sentence(error)


# -- what a look is --------------------------------------------------------------------------------


def test_a_recalled_look_gives_the_same_shot_after_many_other_changes() -> None:
    now = [100.0]
    channel = Channel("main", Scene.single("first"), lambda: now[0])
    channel.change({"prompts": [{"text": "a", "weight": 2}, {"text": "b", "weight": 0.7}]})
    now[0] += 3.3
    channel.change({"motion": "hold", "brightness": 0.4})
    saved = Look.of("dawn", channel.scene, now[0])
    shown = channel.take_shot()[1]
    text = looks_json.to_text(Content(Looks().put(saved)))
    rng = random.Random(2)
    for number in range(500):
        now[0] += rng.random()
        patch: dict[str, Any] = {"prompt": f"words {number}", "speed": rng.random() * 4}
        patch["motion"] = rng.choice(("walk", "hold", "fresh"))
        channel.change({**patch, "fade_s": rng.choice((0, 2))})
    again = looks_json.from_json(json.loads(text)).looks
    channel.recall(again.get("dawn").scene, fade_s=1.5)
    now[0] += 2
    assert channel.take_shot()[1] == shown
    assert channel.scene.brightness == 0.4, "the brightness is no part of a look"


def test_a_look_holds_neither_fades_nor_brightness_nor_size() -> None:
    channel = Channel("main", Scene.single("first", width=64, height=64), lambda: 5.0)
    channel.change({"prompt": "second", "brightness": 0.2, "fade_s": 60})
    found = looks_json.scene_of(Look.of("a", channel.scene, 5.0))
    assert not {"fades", "brightness", "width", "height"} & set(found)
    assert found["prompt"] == "first", "what is on screen"


# -- the JSON form ---------------------------------------------------------------------------------


def document(**changes: object) -> dict[str, Any]:
    text = looks_json.to_text(
        Content(
            Looks().put(Look("dawn", look().scene, jpeg()), look("dusk")),
            Setlist((Entry("dawn", 3.0, 1.0),), loop=True),
        )
    )
    return {**json.loads(text), **changes}


def test_everything_survives_the_file() -> None:
    content = looks_json.from_json(document())
    assert json.loads(looks_json.to_text(content)) == document()
    assert content.looks.get("dawn").thumbnail == jpeg()
    assert content.looks.get("dusk").thumbnail is None
    assert content.setlist == Setlist((Entry("dawn", 3.0, 1.0),), loop=True)


def with_look(**changes: object) -> dict[str, Any]:
    entry = {"name": "a", "scene": {"prompt": "x"}, **changes}
    return document(looks=[entry])


NEWER = {"version": 99, "prompt": "x"}
BAD_FILES: dict[str, object] = {
    "not an object": [],
    "nothing in it": {"version": 1},
    "a newer version": document(version=3),
    "an invalid version": document(version=True),
    "an unknown field": document(colour="red"),
    "looks that are no list": document(looks={}),
    "an invalid look": document(looks=[7]),
    "a look without a scene": document(looks=[{"name": "a"}]),
    "a look with more": with_look(colour="red"),
    "two spellings": document(
        looks=[{"name": name, "scene": {"prompt": "x"}} for name in (E_ACUTE, E_AND_ACCENT)]
    ),
    "201 looks": document(
        looks=[{"name": str(n), "scene": {"prompt": "x"}} for n in range(MOST_LOOKS + 1)]
    ),
    "a name with a slash": with_look(name="a/b"),
    "a newer scene": with_look(scene=NEWER),
    "a scene without words": with_look(scene={"seed": 1}),
    "a weight that is infinite": with_look(scene={"prompt": "x", "prompts": [["x", float("inf")]]}),
    "an invalid weight": with_look(scene={"prompt": "x", "prompts": [["x", float("nan")]]}),
    "weights of 0": with_look(scene={"prompt": "x", "prompts": [["x", 0], ["y", 0]]}),
    "a thousand prompts": with_look(scene={"prompt": "x", "prompts": [["x", 1]] * 1000}),
    "a thumbnail that is a number": with_look(thumbnail=7),
    "a thumbnail that is not base64": with_look(thumbnail="?" * 40),
    "a thumbnail that is not ASCII": with_look(thumbnail="é" * 40),
    "a thumbnail that is no picture": with_look(thumbnail=base64.b64encode(b"x" * 99).decode()),
    "a thumbnail of a megabyte": with_look(thumbnail="A" * 2**20),
    "an invalid setlist": document(setlist=[]),
    "an entry without a look": document(setlist={"entries": [{"hold_s": 1}]}),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_cannot_be_used_is_refused_with_a_sentence(name: str) -> None:
    with pytest.raises(SceneError) as error:
        looks_json.from_json(BAD_FILES[name])
    sentence(error)


def test_a_look_that_could_not_be_read_again_is_not_written() -> None:
    many = replace(look().scene, prompts=tuple((str(number), 1.0) for number in range(17)))
    with pytest.raises(SceneError) as error:
        looks_json.to_text(Content(Looks((look(), Look("many", many)))))
    assert "1 to 16" in sentence(error)


def test_more_looks_than_a_file_can_hold_are_refused() -> None:
    words = [[f"{letter * 999}", 1.0] for letter in "夜明け空海山川月星雲雨雪風火木"]
    scene = {"prompt": "x", "prompts": words}
    looks = Looks().put(*(looks_json.look_of(str(n), scene, None) for n in range(MOST_LOOKS)))
    with pytest.raises(SceneError) as error:
        looks_json.to_text(Content(looks))
    assert "8 MB" in sentence(error)


# -- thumbnails ------------------------------------------------------------------------------------


def size_of(data: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(data)) as image:
        return image.size


def test_a_thumbnail_of_a_painted_picture_is_160_pixels_wide_at_most() -> None:
    assert size_of(thumbnail.of_picture(jpeg(512, 256))) == (160, 80)
    assert size_of(thumbnail.of_picture(jpeg(64, 64))) == (64, 64)


def test_a_given_thumbnail_is_kept_if_it_is_small_and_made_smaller_if_it_is_not() -> None:
    assert thumbnail.checked(jpeg()) == jpeg()
    assert size_of(thumbnail.checked(jpeg(1024, 512))) == (160, 80)
    assert size_of(thumbnail.checked(jpeg(200, 1024))) == (160, 640)


def test_a_progressive_thumbnail_is_accepted() -> None:
    file = io.BytesIO()
    Image.open(io.BytesIO(jpeg(640, 480, noisy=False))).save(file, "JPEG", progressive=True)
    assert size_of(thumbnail.checked(file.getvalue())) == (160, 120)


def test_a_thumbnail_that_is_not_a_jpeg_is_refused_with_a_sentence() -> None:
    png = io.BytesIO()
    Image.new("RGB", (8, 8)).save(png, "PNG")
    whole = jpeg(160, 90, noisy=True)
    # the height and width of the frame header, far beyond what any machine can hold
    at = whole.index(b"\xff\xc0") + 5
    bomb = whole[:at] + b"\xff\xff\xff\xff" + whole[at + 4 :]
    scans = whole[:-2] + b"\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x00" * 1000 + whole[-2:]
    for data in (b"", b"\xff\xd8\xff", png.getvalue(), whole[: len(whole) // 2], bomb, scans,
                 jpeg(1025, 8), jpeg(900, 900, noisy=True)):  # fmt: skip
        with pytest.raises(SceneError) as error:
            thumbnail.checked(data)
        assert "thumbnail" in sentence(error)

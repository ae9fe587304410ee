"""The recipe inside a JPEG: small, read back exactly, and checked like any untrusted input."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from turbostream.stream import recipe
from turbostream.stream.recipe import MARK, MOST_BYTES, MOST_READ, Recipe, RecipeError
from turbostream.stream.scene import Scene
from turbostream.stream.shot import EarlierFrame, InputPicture, Shot, Source
from turbostream.stream.shot_json import VERSION

SHOT = Scene.single("a red heart", seed=7, phase=0.4).shot_at(0.0, 1)
FINGERPRINT = "sd-turbo@1 torch-2.9 jpeg-85"


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").save(file, "JPEG")
    return file.getvalue()


def comment(payload: bytes) -> bytes:
    return b"\xff\xfe" + (len(payload) + 2).to_bytes(2, "big") + payload


def with_text(text: bytes) -> bytes:
    return recipe.inserted(jpeg(), comment(MARK + text))


def with_json(content: object) -> bytes:
    return with_text(json.dumps(content).encode())


def written(shot: Shot, fingerprint: str = FINGERPRINT) -> bytes:
    return recipe.inserted(jpeg(), recipe.segment(shot, fingerprint))


def test_a_picture_with_its_recipe_is_the_same_picture_to_every_reader() -> None:
    plain, with_recipe = jpeg(), written(SHOT)
    assert with_recipe[2:4] == b"\xff\xfe"
    before, after = Image.open(io.BytesIO(plain)), Image.open(io.BytesIO(with_recipe))
    assert before.tobytes() == after.tobytes()
    assert after.info["comment"].startswith(MARK)


@given(
    st.lists(
        st.tuples(st.text(min_size=1, max_size=30), st.floats(0.01, 10)),
        min_size=1,
        max_size=3,
        unique_by=lambda pair: pair[0],
    ),
    st.integers(0, 2**63 - 1),
    st.floats(0, 100),
)
def test_a_shot_that_fits_is_read_back_exactly(
    mix: list[tuple[str, float]], seed: int, phase: float
) -> None:
    total = sum(weight for _, weight in mix)
    noise = Scene.single("words", seed=seed, phase=phase).shot_at(0.0, 1).noise
    shot = Shot(tuple((text, weight / total) for text, weight in mix), noise)
    segment = recipe.segment(shot, FINGERPRINT)
    assert len(segment) <= MOST_BYTES
    if segment:
        found = recipe.read(recipe.inserted(jpeg(), segment))
        assert found.shot == shot
        assert found.fingerprint in (FINGERPRINT, "")


def test_the_fingerprint_is_dropped_first_and_then_the_recipe() -> None:
    for length in range(1, 700):
        shot = Shot.single("x" * length, 7)
        segment = recipe.segment(shot, FINGERPRINT)
        assert len(segment) <= MOST_BYTES
        if not segment:
            break
        last = recipe.read(recipe.inserted(jpeg(), segment))
        assert last.shot == shot
    assert 400 < length < 600
    assert last.fingerprint == ""
    assert recipe.read(written(Shot.single("x" * 300, 7))).fingerprint == FINGERPRINT
    assert recipe.inserted(jpeg(), b"") == jpeg()


@pytest.mark.parametrize(
    "source", [InputPicture("9" * 64), EarlierFrame(123_456, 1.0123456789, -1 / 3, 1 / 7, -1 / 9)]
)
def test_a_source_is_part_of_the_recipe(source: Source) -> None:
    shot = replace(SHOT, source=source, strength=0.605)
    assert recipe.read(written(shot)) == Recipe(shot, FINGERPRINT)
    longest = [n for n in range(600) if written(replace(shot, prompts=(("x" * n, 1.0),))) != jpeg()]
    assert longest[-1] > 150


def test_words_of_any_alphabet_count_as_their_utf_8_bytes() -> None:
    shot = Shot.single("雪" * 100, 7)
    assert recipe.read(written(shot)) == Recipe(shot, FINGERPRINT)
    lone = Shot.single("lone \ud800 surrogate", 7)
    assert recipe.read(written(lone)).shot == lone


def test_the_recipe_is_found_behind_other_segments() -> None:
    app = b"\xff\xe0\x00\x04ab" + b"\xff" * 3 + b"\xe1\x00\x02" + comment(b"by hand")
    file = b"\xff\xd8" + app + recipe.segment(SHOT, FINGERPRINT) + jpeg()[2:]
    assert recipe.read(file) == Recipe(SHOT, FINGERPRINT)


NEWER = {"shot": {"version": VERSION + 1, "prompts": [["a", 1]], "noise": [[1, 1]]}}
UNKNOWN = {"shot": {"version": VERSION, "prompts": [["a", 1]], "noise": [[1, 1]], "mood": 1}}
HEAVY = {"shot": {"version": VERSION, "prompts": [["a", 0.5]], "noise": [[1, 1]]}}


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        (jpeg(), "holds no recipe"),
        (b"\xff\xd8", "damaged"),
        (b"", "not a JPEG"),
        (b"\x89PNG\r\n\x1a\n" + MARK, "not a JPEG"),
        (b"\xff\xd8no marker", "damaged"),
        (b"\xff\xd8\xff\xfe\x00\x01", "damaged"),
        (b"\xff\xd8\xff\xfe\x01\x00" + MARK, "damaged"),
        (b"\xff\xd8\xff", "damaged"),
        (b"\xff\xd8\xff\xda" + recipe.segment(SHOT, ""), "holds no recipe"),
        (b"\xff\xd8" + comment(b"x") * 100 + recipe.segment(SHOT, ""), "holds no recipe"),
        (b"\xff\xd8" + comment(b"x" * 60_000) * 2 + recipe.segment(SHOT, ""), "holds no recipe"),
        (b"\xff\xd8" + b"\xff" * (MOST_READ + 9), "holds no recipe"),
        (with_text(b"{}" + b" " * 600), "longer than 600"),
        (with_text(b"\xff\xfe"), "recipe in the picture is damaged"),
        (with_text(b"{"), "recipe in the picture is damaged"),
        (with_text(b"[" * 500), "recipe in the picture is damaged"),
        (with_text(b'{"shot": NaN}'), "recipe in the picture is damaged"),
        (with_json([]), "recipe in the picture is damaged"),
        (with_json({"shot": {}, "more": 1}), "recipe in the picture is damaged"),
        (with_json({**HEAVY, "fingerprint": 7}), "recipe in the picture is damaged"),
        (with_json({**HEAVY, "fingerprint": "x" * 401}), "recipe in the picture is damaged"),
        (with_json({"shot": 7}), "must be a JSON object"),
        (with_json(NEWER), "use a newer version"),
        (with_json(UNKNOWN), "use a newer version"),
        (with_json(HEAVY), "must add up to 1"),
    ],
)
def test_a_file_without_a_valid_recipe_gets_one_sentence(file: bytes, sentence: str) -> None:
    with pytest.raises(RecipeError, match=rf"^[A-Z][^\n]*{sentence}[^\n]*\.$"):
        recipe.read(file)


@given(st.binary(max_size=200), st.integers(0, 200), st.integers(0, 255))
def test_damaged_bytes_never_raise_anything_else(tail: bytes, place: int, value: int) -> None:
    whole = bytearray(written(SHOT))
    whole[place] = value
    for file in (bytes(whole), b"\xff\xd8" + tail, bytes(whole[: place + 1])):
        with suppress(RecipeError):
            recipe.read(file)

"""Which shots may be submitted together."""

from __future__ import annotations

from dataclasses import replace

from turbostream.stream.engine_api import batch_key
from turbostream.stream.scene import Scene
from turbostream.stream.shot import EarlierFrame, InputPicture


def test_words_noise_and_brightness_may_differ_within_a_batch_and_the_size_may_not() -> None:
    shot = Scene.single("words", seed=1).shot_at(0.0, 1)
    other = Scene.single("other words", seed=7).shot_at(3.0, 5)
    assert batch_key(shot) == batch_key(replace(other, brightness=0.5))
    for side in ("width", "height"):
        assert batch_key(shot) != batch_key(replace(shot, **{side: 128}))


def test_sources_and_strengths_may_differ_within_a_batch_but_not_with_and_without() -> None:
    plain = Scene.single("words", seed=1).shot_at(0.0, 1)
    one = replace(plain, source=InputPicture("a" * 64), strength=0.3)
    other = replace(plain, source=EarlierFrame(7, zoom=1.1), strength=1.0)
    assert batch_key(one) == batch_key(other)
    assert batch_key(one) != batch_key(plain)


def test_guidance_and_negative_words_may_differ_within_a_batch_but_not_with_and_without() -> None:
    plain = Scene.single("words", seed=1).shot_at(0.0, 1)
    one = replace(plain, guidance=1.5, negative=(("dull", 1.0),))
    assert batch_key(one) == batch_key(replace(plain, guidance=2.0))
    assert batch_key(one) != batch_key(plain)

"""Which shots may be submitted together."""

from __future__ import annotations

from dataclasses import replace

from turbostream.stream.engine_api import batch_key
from turbostream.stream.scene import Scene


def test_words_noise_and_brightness_may_differ_within_a_batch_and_the_size_may_not() -> None:
    shot = Scene("words", seed=1).shot_at(0.0, 1)
    other = Scene("other words", seed=7).shot_at(3.0, 5)
    assert batch_key(shot) == batch_key(replace(other, brightness=0.5))
    for side in ("width", "height"):
        assert batch_key(shot) != batch_key(replace(shot, **{side: 128}))

"""Text, noise, JPEG and the cache of compiled code, each by itself."""

from __future__ import annotations

import io
import logging
import math
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from turbostream.engine import jpeg
from turbostream.engine.cuda.compile_cache import KEPT, Cache
from turbostream.engine.model import prompt_encoder
from turbostream.engine.model.model import Model
from turbostream.engine.model.noise import gaussian, noise_of
from turbostream.engine.model.prompt_encoder import PromptEncoder
from turbostream.stream.shot import great_circle

seeds = st.integers(0, 2**63 - 1)


@given(seeds, seeds, st.floats(0, math.pi / 2))
def test_noise_keeps_unit_variance_along_the_whole_walk(first: int, second: int, at: float) -> None:
    circle = great_circle(first, second if second != first else second ^ 1, at)
    noise = noise_of(circle, (4, 64, 64))
    assert abs(float(noise.var()) - 1) < 0.1  # 16,384 numbers: 9 standard errors
    assert abs(float(noise.mean())) < 0.1


@given(seeds, seeds, st.floats(0, math.pi / 2, exclude_min=True))
def test_noise_between_two_seeds_is_exact_to_the_bit(first: int, second: int, at: float) -> None:
    """Pictures of earlier versions are painted again byte for byte."""
    shape = (4, 8, 8)
    exact = math.cos(at) * gaussian(first, shape) + math.sin(at) * gaussian(second, shape)
    assert torch.equal(noise_of(great_circle(first, second, at), shape), exact)
    assert torch.equal(noise_of(great_circle(first, second, 0.0), shape), gaussian(first, shape))


def test_noise_is_the_weighted_sum_of_any_number_of_seeds() -> None:
    mix = ((1, 0.6), (2, -0.64), (3, 0.48))
    exact = sum(weight * gaussian(seed, (4, 64, 64)).double() for seed, weight in mix)
    noise = noise_of(mix, (4, 64, 64))
    assert torch.allclose(noise.double(), torch.as_tensor(exact), atol=1e-6)
    assert torch.equal(noise_of(((1, -1.0),), (4, 8, 8)), -gaussian(1, (4, 8, 8)))


def test_a_plain_average_of_two_seeds_would_not_keep_unit_variance() -> None:
    halves = [noise_of(((seed, 1.0),), (4, 64, 64)) / 2 for seed in (1, 2)]
    assert float(sum(halves).var()) < 0.6  # type: ignore[union-attr]


def test_the_text_cache_is_bounded_and_keeps_what_was_used_last(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt_encoder, "CACHED_PROMPTS", 4)
    encoder = PromptEncoder(model.encode_prompt._tokenizer, model.encode_prompt._encoder)
    first = encoder("kept")
    for number in range(10):
        encoder(f"a star {number}")
        assert encoder("kept") is first
    assert len(encoder) == 4


def test_the_same_words_are_the_same_numbers_cached_or_not(model: Model) -> None:
    fresh = PromptEncoder(model.encode_prompt._tokenizer, model.encode_prompt._encoder)
    assert torch.equal(fresh("a red star").tensor, model.encode_prompt("a red star").tensor)


def test_a_jpeg_is_rgb_with_halved_chroma() -> None:
    pixels = np.zeros((32, 48, 4), np.uint8)
    pixels[..., 0] = 250
    pixels[..., 3] = 99  # means nothing
    image = Image.open(io.BytesIO(jpeg.encode(pixels, 90)))
    red, green, blue = image.getpixel((20, 20))  # type: ignore[misc]
    assert image.size == (48, 32)
    assert red > 240
    assert max(green, blue) < 10
    assert image.layer[0][1:3] == (2, 2)  # type: ignore[attr-defined]


def test_a_smaller_jpeg_after_a_larger_one_carries_nothing_of_it() -> None:
    rough = np.random.default_rng(0).integers(0, 255, (64, 64, 4), np.uint8)
    smooth = np.zeros((64, 64, 4), np.uint8)
    alone: list[bytes] = []
    thread = threading.Thread(target=lambda: alone.append(jpeg.encode(smooth, 85)))
    thread.start()
    thread.join()
    jpeg.encode(rough, 95)
    assert jpeg.encode(smooth, 85) == alone[0]


def test_brightness_multiplies_every_value_and_rounds_halves_to_the_even_number() -> None:
    pixels = np.zeros((256, 16, 4), np.uint8)
    pixels[..., :3] = np.arange(256, dtype=np.uint8)[:, None, None]
    before = pixels.copy()
    expected = pixels.copy()
    expected[..., :3] = np.rint(pixels[..., :3] * 0.5)
    assert jpeg.encode(pixels, 95, 0.5) == jpeg.encode(expected, 95)
    assert jpeg.scaled(0.5)[:6] == [0, 0, 1, 2, 2, 2]
    assert jpeg.encode(pixels, 95, 1.0) == jpeg.encode(pixels, 95)
    assert not jpeg.decode(jpeg.encode(pixels, 95, 0.0)).any()
    assert (pixels == before).all()


def test_compiled_code_comes_back_whole_or_not_at_all(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = Cache(tmp_path / "compiled")
    assert cache.find("a") is None
    cache.path("a").write_bytes(b"machine code")
    cache.seal("a")
    assert cache.find("a") == cache.path("a")
    cache.path("a").write_bytes(b"machine c0de")
    with caplog.at_level(logging.WARNING):
        assert cache.find("a") is None
    assert len(caplog.records) == 1
    assert not cache.path("a").exists()


def test_code_that_nobody_vouched_for_is_never_opened(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.path("foreign").write_bytes(b"from elsewhere")
    assert cache.find("foreign") is None


def test_the_cache_forgets_the_oldest(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    for number in range(KEPT + 3):
        cache.path(str(number)).write_bytes(b"code")
        cache.seal(str(number))
    assert len(list(tmp_path.glob("*.pt2"))) == KEPT
    assert len(list(tmp_path.glob("*.sha256"))) == KEPT


def test_compiled_code_from_a_folder_that_others_can_write_is_not_loaded(tmp_path: Path) -> None:
    folder = tmp_path / "compiled"
    cache = Cache(folder)
    cache.path("a").write_bytes(b"code")
    cache.seal("a")
    folder.chmod(0o777)
    with pytest.raises(ValueError, match="other users; delete it"):
        cache.find("a")

"""Mixes of prompts: the formula, its ends, and what the caches keep."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from turbostream.engine.model import prompt_encoder
from turbostream.engine.model.inputs import Value
from turbostream.engine.model.model import Model
from turbostream.engine.model.prompt_encoder import PromptEncoder
from turbostream.engine.model.prompt_mix import KEPT, MAX_PROMPTS, PromptMixer, fold, slerp
from turbostream.stream.shot import Shot, ShotError

A, B, C = "a red star on black", "two blue cats", "a green house in the snow"
Vectors = NDArray[np.float64]


def embeddings(model: Model, *texts: str) -> list[Vectors]:
    return [model.encode_prompt(text).tensor.double().numpy() for text in texts]


def mixed(model: Model, *prompts: tuple[str, float]) -> Vectors:
    return model.mix_prompts(prompts).tensor.double().numpy()


def between(first: Vectors, second: Vectors, share: float) -> Vectors:
    """Slerp of each row, written for one row at a time from the vectors themselves."""
    rows = []
    for one, two in zip(first, second, strict=True):
        cosine = one @ two / (np.linalg.norm(one) * np.linalg.norm(two))
        if abs(cosine) > 0.9995:
            rows.append((1 - share) * one + share * two)
            continue
        angle = math.acos(cosine)
        rows.append(
            (math.sin((1 - share) * angle) * one + math.sin(share * angle) * two) / math.sin(angle)
        )
    return np.array(rows)


def folded(vectors: Sequence[Vectors], weights: Sequence[float]) -> Vectors:
    mix = vectors[0]
    for index in range(1, len(vectors)):
        mix = between(mix, vectors[index], weights[index] / sum(weights[: index + 1]))
    return mix


def error(found: Vectors, expected: Vectors) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("share", [1e-9, 0.1, 0.25, 0.5, 0.8, 1 - 1e-9])
def test_two_prompts_are_the_slerp_of_each_token(model: Model, share: float) -> None:
    first, second = embeddings(model, A, B)
    expected = between(first, second, share)
    found = mixed(model, (A, 1 - share), (B, share))
    assert error(found, expected) < 1e-6
    if 0.05 < share < 0.95 and share != 0.5:
        assert error(found, between(second, first, share)) > 0.1, "the weights are not swapped"


@pytest.mark.parametrize("weights", [(0.5, 0.3, 0.2), (0.1, 0.1, 0.8), (0.2, 0.7, 0.1)])
def test_three_prompts_are_folded_in_the_order_of_the_shot(
    model: Model, weights: tuple[float, ...]
) -> None:
    texts = (A, B, C)
    vectors = embeddings(model, *texts)
    assert error(mixed(model, *zip(texts, weights, strict=True)), folded(vectors, weights)) < 1e-6
    for order in itertools.permutations(range(3)):
        swapped = [weights[index] for index in order]
        if swapped != list(weights):
            wrong = folded(vectors, swapped)
            assert error(mixed(model, *zip(texts, weights, strict=True)), wrong) > 0.01


def test_sixteen_prompts_are_folded_too(model: Model) -> None:
    texts = [f"{number} yellow fish" for number in range(MAX_PROMPTS)]
    weights = [(number + 1) / 136 for number in range(MAX_PROMPTS)]
    expected = folded(embeddings(model, *texts), weights)
    assert error(mixed(model, *zip(texts, weights, strict=True)), expected) < 1e-6


@pytest.mark.parametrize("weight", [1.0, 1, 1 - 1e-10])
def test_a_single_prompt_is_the_embedding_itself(model: Model, weight: float) -> None:
    assert model.mix_prompts(((A, weight),)) is model.encode_prompt(A)
    shot = Shot(((A, weight),), ((1, 1.0),))
    assert model.values(shot)["prompt_embedding"] is model.encode_prompt(A)


@pytest.mark.parametrize("texts", [(A, B), (B, A), (A, B, C), (C, A, B)])
def test_a_weight_that_vanishes_leaves_exactly_the_mix_without_it(
    model: Model, texts: tuple[str, ...]
) -> None:
    """Whichever prompt it is; 1e-12 is below the resolution of fp32."""
    rest = 1 / (len(texts) - 1)
    for gone in range(len(texts)):
        others = tuple((text, rest) for index, text in enumerate(texts) if index != gone)
        without = model.mix_prompts(others).tensor.double().numpy()
        found = []
        for weight in (1e-12, 1e-3):
            prompts = [(text, rest * (1 - weight)) for text, _ in others]
            prompts.insert(gone, (texts[gone], weight))
            found.append(error(mixed(model, *prompts), without))
        assert found[0] < 1e-6
        assert found[1] < 4e-3


def test_the_ends_of_the_factors_are_exactly_one_and_zero() -> None:
    angles = np.array([0.0, 1e-3, 0.5, 1.5, 3.0, math.pi])
    lengths = np.full(6, 2.0)
    for share, expected in ((0.0, (1.0, 0.0)), (1.0, (0.0, 1.0))):
        first, second = slerp(np.cos(angles) * 2, lengths, share)
        assert (first == expected[0]).all()
        assert (second == expected[1]).all()


def test_a_token_of_length_zero_is_mixed_linearly() -> None:
    first, second = slerp(np.zeros(1), np.zeros(1), 0.25)
    assert (first[0], second[0]) == (0.75, 0.25)


@given(st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_vectors_of_one_length_keep_it(share: float, seed: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(2, 5, 8))
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    products = np.einsum("ith,jth->ijt", vectors, vectors)
    weights = (1 - share, share) if 0 < share < 1 else (0.5, 0.5)
    mix = np.einsum("it,ith->th", fold(products, weights), vectors)
    assert np.abs(np.linalg.norm(mix, axis=-1) - 1).max() < 1e-3  # linear within 1.8 degrees
    assert error(mix, folded(list(vectors), weights)) < 1e-9


def test_the_mix_has_the_dtype_of_the_embeddings_and_is_added_in_fp32(model: Model) -> None:
    def encode(text: str) -> Value:
        return Value(model.encode_prompt(text).tensor.half())

    mix = PromptMixer(encode)(((A, 0.4), (B, 0.6))).tensor
    first, second = (encode(text).tensor.double().numpy() for text in (A, B))
    expected = torch.from_numpy(between(first, second, 0.6))
    assert mix.dtype == torch.float16
    assert float((mix.double() - expected).abs().max()) <= float(expected.abs().max()) * 2**-11
    assert (mix == expected.half()).double().mean() > 0.999


class Counting:
    """An encoder that lists what it was asked for."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.texts: list[str] = []

    def __call__(self, text: str) -> Value:
        self.texts.append(text)
        return self.model.encode_prompt(text)


def test_a_fade_encodes_and_multiplies_once_and_a_held_mix_is_one_tensor(
    model: Model,
) -> None:
    encode = Counting(model)
    mixer = PromptMixer(encode)
    for step in range(1, 40):
        mixer(((A, 1 - step / 40), (B, step / 40)))
    assert encode.texts == [A, B]
    held = mixer(((A, 0.5), (B, 0.5)))
    assert mixer(((A, 0.5), (B, 0.5))) is held
    assert len(mixer._mixes) == KEPT
    for number in range(20):
        mixer(((A, 0.5), (f"{number}", 0.5)))
    assert len(mixer._ingredients) == KEPT
    assert mixer(((A, 0.5), (B, 0.5))) is not held
    assert torch.equal(mixer(((A, 0.5), (B, 0.5))).tensor, held.tensor)


def test_a_mix_is_the_same_when_its_prompts_have_left_the_cache(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt_encoder, "CACHED_PROMPTS", 2)
    encoder = PromptEncoder(model.encode_prompt._tokenizer, model.encode_prompt._encoder)
    mixer = PromptMixer(encoder)
    prompts = ((A, 0.2), (B, 0.3), (C, 0.5))
    first = mixer(prompts).tensor.clone()
    fading = mixer(((A, 0.3), (B, 0.7))).tensor.clone()
    for number in range(3 * KEPT):
        mixer(((f"{number} stars", 0.5), (f"{number} cats", 0.5)))
    assert len(encoder) == 2
    assert torch.equal(mixer(prompts).tensor, first)
    assert torch.equal(mixer(((A, 0.3), (B, 0.7))).tensor, fading)


def test_an_earlier_mix_is_not_overwritten_by_a_later_one(model: Model) -> None:
    """Its picture may still be in flight."""
    mixes = [model.mix_prompts(((A, 1 - n / 30), (B, n / 30))) for n in range(1, 30)]
    kept = [mix.tensor.clone() for mix in mixes]
    for number in range(30):
        model.mix_prompts(((C, 0.5), (f"{number}", 0.5)))
    assert all(torch.equal(mix.tensor, one) for mix, one in zip(mixes, kept, strict=True))
    assert len({one.numpy().tobytes() for one in kept}) == len(kept)


def test_more_prompts_than_the_limit_are_refused_with_one_sentence(model: Model) -> None:
    def shot(count: int) -> Shot:
        return Shot(tuple((f"{n}", 1 / count) for n in range(count)), ((1, 1.0),))

    model.values(shot(MAX_PROMPTS))
    with pytest.raises(ShotError, match=r"^The shot mixes 17 prompts, .* at most 16\.$"):
        model.values(shot(MAX_PROMPTS + 1))


def test_the_picture_of_a_mix_depends_on_its_weights(model: Model) -> None:
    shot = Shot(((A, 0.3), (B, 0.7)), ((1, 1.0),))

    def pixels(shot: Shot) -> Any:
        inputs = {name: value.tensor[None] for name, value in model.values(shot).items()}
        with torch.inference_mode():
            return model.paint(**inputs)

    swapped = replace(shot, prompts=((A, 0.7), (B, 0.3)))
    assert not torch.equal(pixels(shot), pixels(swapped))
    turned = replace(shot, prompts=((B, 0.7), (A, 0.3)))
    assert (pixels(shot).int() - pixels(turned).int()).abs().max() <= 1

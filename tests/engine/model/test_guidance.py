"""Classifier-free guidance against diffusers' own pipelines, from the same noise and words."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest
import torch
from diffusers import (
    AutoPipelineForImage2Image,
    EulerDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    TCDScheduler,
)
from PIL import Image

from tests.engine import sdxl
from tests.engine.conftest import CPU, pipeline
from tests.engine.model.drawn_noise import draw_from
from tests.engine.model.test_steps import painted, resolve
from turbostream.engine.cuda import parity
from turbostream.engine.model.model import Kind, Model
from turbostream.engine.model.noise import noise_of
from turbostream.engine.model.schedule import uses_guidance
from turbostream.engine.model.steps import Sampling
from turbostream.stream.shot import EarlierFrame, Shot, ShotError

TOLERANCE = 1e-4
SHAPE = (4, 8, 8)
MAKE = {"SD": pipeline, "XL": sdxl.pipeline}
SCHEDULERS = {"Euler": EulerDiscreteScheduler, "LCM": LCMScheduler, "TCD": TCDScheduler}
DULL = (("dull grey", 1.0),)


def pipe_of(family: str, scheduler: str) -> Any:
    pipe = MAKE[family]()
    names = ["beta_start", "beta_end", "beta_schedule", "timestep_spacing", "steps_offset"]
    names = names if scheduler == "Euler" else names[:3]
    config = {name: pipe.scheduler.config[name] for name in names}
    pipe.scheduler = SCHEDULERS[scheduler](**config)
    return pipe


@lru_cache
def ours(family: str, scheduler: str) -> Model:
    return Model(pipe_of(family, scheduler), CPU, resolve=resolve, guided=True)


def shot(number: int, steps: int, guidance: float, negative: Any = DULL) -> Shot:
    words = ((f"{number} yellow stars", 1.0),)
    return Shot(words, ((number, 1.0),), steps=steps, guidance=guidance, negative=negative)


@torch.inference_mode()
def theirs(pipe: Any, one: Shot, patch: pytest.MonkeyPatch) -> torch.Tensor:
    """diffusers' latents of the shot, with its noise in place of what a scheduler would draw."""
    first = noise_of(one.noise, SHAPE)[None]
    common = {
        "num_inference_steps": one.steps, "guidance_scale": one.guidance, "eta": 0.3,
        "negative_prompt": one.negative[0][0] if one.negative else None, "output_type": "latent",
    }  # fmt: skip
    with patch.context() as drawing:
        draw_from(one, SHAPE, drawing)
        if one.source is None:
            latents: torch.Tensor = pipe(one.prompt, latents=first, **common).images
            return latents
        other = AutoPipelineForImage2Image.from_pipe(pipe)
        other.set_progress_bar_config(disable=True)
        drawing.setattr(f"{type(other).__module__}.randn_tensor", lambda *_, **__: first)
        picture = Image.fromarray(resolve(one.source, 64, 64))
        return other(one.prompt, image=picture, strength=one.strength, **common).images  # type: ignore[no-any-return]


def error(family: str, scheduler: str, one: Shot, patch: pytest.MonkeyPatch) -> float:
    expected = theirs(pipe_of(family, scheduler), one, patch)
    return parity.relative_error(painted(ours(family, scheduler), one), expected)


@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize(("guidance", "negative"), [(1.5, DULL), (2.0, ())])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("family", MAKE)
def test_guided_steps_are_those_of_diffusers_pipeline(
    family: str, scheduler: str, guidance: float, negative: Any, steps: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    assert error(family, scheduler, shot(1, steps, guidance, negative), monkeypatch) < TOLERANCE


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("family", MAKE)
def test_guided_steps_from_a_picture_are_those_of_diffusers_pipeline(
    family: str, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = replace(shot(1, 4, 2.0), source=EarlierFrame(1), strength=0.5)
    assert error(family, scheduler, one, monkeypatch) < TOLERANCE


def test_each_shot_of_a_batch_has_its_own_guidance_and_negative_words() -> None:
    model = ours("SD", "LCM")
    shots = [shot(1, 2, 1.5), shot(2, 2, 2.0, ()), shot(3, 2, 3.0, (("red", 1.0),))]
    for latents, one in zip(painted(model, *shots), shots, strict=True):
        assert parity.relative_error(latents[None], painted(model, one)) < 1e-5


@pytest.mark.parametrize("family", MAKE)
def test_mistakes_are_far_outside_the_tolerance(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, model = shot(1, 2, 2.0), ours(family, "LCM")
    expected = theirs(pipe_of(family, "LCM"), one, monkeypatch)
    for wrong in (
        replace(one, guidance=1.5),
        replace(one, negative=()),
        replace(one, negative=(("red", 1.0),)),
        replace(one, guidance=None, negative=()),
    ):
        assert parity.relative_error(painted(model, wrong), expected) > 10 * TOLERANCE
    run = Sampling.run

    def reversed_words(self: Sampling, step: Any, **inputs: Any) -> torch.Tensor:
        words, away = inputs["prompt_embedding"], inputs["negative_embedding"]
        return run(self, step, **{**inputs, "prompt_embedding": away, "negative_embedding": words})

    monkeypatch.setattr(Sampling, "run", reversed_words)
    assert parity.relative_error(painted(model, one), expected) > 10 * TOLERANCE


@pytest.mark.parametrize("zeros", [True, False])
def test_no_negative_words_are_zeros_or_the_empty_text_as_the_model_says(
    zeros: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = pipe_of("XL", "LCM")
    pipe.register_to_config(force_zeros_for_empty_prompt=zeros)
    one = shot(1, 2, 2.0, ())
    expected = theirs(pipe, one, monkeypatch)
    found = painted(Model(pipe, CPU), one)
    assert parity.relative_error(found, expected) < TOLERANCE
    other = pipe_of("XL", "LCM")
    other.register_to_config(force_zeros_for_empty_prompt=not zeros)
    assert parity.relative_error(painted(Model(other, CPU), one), expected) > 10 * TOLERANCE


def test_guidance_of_1_is_the_unguided_picture_to_the_bit() -> None:
    model, plain = ours("SD", "LCM"), replace(shot(1, 2, 2.0), guidance=None, negative=())
    off = replace(plain, guidance=1.0)
    assert model.kind_of(off) == model.kind_of(plain) == Kind(2, fresh=True)
    assert torch.equal(painted(model, off), painted(model, plain))


def test_a_kind_has_exactly_the_inputs_of_its_shots() -> None:
    model = ours("XL", "TCD")
    values, kind = model.values(shot(1, 2, 2.0)), model.kind_of(shot(1, 2, 2.0))
    declared = {one.name: one.shape for one in model.inputs(None, None, kind)}
    assert declared == {name: tuple(value.tensor.shape) for name, value in values.items()}
    assert Kind.of({name: value.tensor for name, value in values.items()}) == kind
    assert kind.guided


def test_models_distilled_without_guidance_refuse_it() -> None:
    model = Model(pipeline(), CPU)
    with pytest.raises(ShotError, match=r"^The shot asks for guidance, which this model does not"):
        model.values(shot(1, 1, 1.5))
    assert not uses_guidance(pipeline().scheduler)
    assert uses_guidance(PNDMScheduler())
    assert ours("SD", "LCM").capabilities.negative

"""Several steps against diffusers' own pipelines, from the same noise and words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import LCMScheduler, StableDiffusionImg2ImgPipeline, TCDScheduler
from PIL import Image

from tests.engine.conftest import CPU, pipeline
from tests.engine.model.drawn_noise import draw_from
from turbostream.engine.cuda import parity
from turbostream.engine.model import model as model_module
from turbostream.engine.model.model import Kind, Model
from turbostream.engine.model.noise import gaussian, noise_of
from turbostream.engine.model.schedule import StepTable
from turbostream.engine.rewrite.timesteps import TimeTable
from turbostream.stream.engine_api import EngineUnusable
from turbostream.stream.shot import EarlierFrame, Shot, ShotError, great_circle

SCHEDULERS = ("Euler", "LCM", "TCD")
STARTS = [(count, strength) for count in (2, 4) for strength in (0.5, 1.0)]
# fp32 on both sides; only the order of additions differs, and each step multiplies that.
LATENT_TOLERANCE = 1e-4


def pipe_of(scheduler: str) -> Any:
    pipe = pipeline()
    config = dict(pipe.scheduler.config)
    if scheduler != "Euler":
        kind = LCMScheduler if scheduler == "LCM" else TCDScheduler
        betas = {name: config[name] for name in ("beta_start", "beta_end", "beta_schedule")}
        pipe.scheduler = kind(**betas)
    return pipe


def resolve(source: Any, width: int, height: int) -> Any:
    coarse = np.random.default_rng(source.number).integers(0, 256, (8, 8, 3), np.uint8)
    return np.repeat(np.repeat(coarse, height // 8, 0), width // 8, 1)


@lru_cache
def ours(scheduler: str) -> Model:
    return Model(pipe_of(scheduler), CPU, resolve=resolve)


def shot(number: int, steps: int | None, strength: float | None = None) -> Shot:
    source = None if strength is None else EarlierFrame(number)
    words = ((f"{number} yellow stars on a night sky", 1.0),)
    return Shot(words, great_circle(number, number + 1, 0.4), source, strength, steps)


def theirs(scheduler: str, one: Shot, patch: pytest.MonkeyPatch) -> torch.Tensor:
    """diffusers' latents of the shot, with its noise in place of what a scheduler would draw."""
    pipe, shape = pipe_of(scheduler), (4, 8, 8)
    draw_from(one, shape, patch)
    # LCM and TCD are used at 1, which diffusers calls no guidance; 0 is the same here.
    common = {
        "num_inference_steps": one.steps,
        "guidance_scale": 0.0,
        "output_type": "latent",
        "eta": 0.3,
    }
    first = noise_of(one.noise, shape)[None]
    if one.source is None:
        latents: torch.Tensor = pipe(one.prompt, latents=first, **common).images
        return latents
    other = StableDiffusionImg2ImgPipeline(**pipe.components, requires_safety_checker=False)
    other.set_progress_bar_config(disable=True)
    module = "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_img2img.randn_tensor"
    patch.setattr(module, lambda *_, **__: first)
    picture = Image.fromarray(resolve(one.source, 64, 64))
    return other(one.prompt, image=picture, strength=one.strength, **common).images


@torch.inference_mode()
def painted(model: Model, *shots: Shot) -> torch.Tensor:
    """Our latents of one batch of shots of one kind."""
    values = [model.values(one) for one in shots]
    inputs = {name: torch.stack([v[name].tensor for v in values]) for name in values[0]}
    module = model.sampler.sampling if "rows" in inputs else model.denoise
    latents: torch.Tensor = module(**inputs)
    return latents


def error(scheduler: str, one: Shot, patch: pytest.MonkeyPatch) -> float:
    with torch.inference_mode():
        wanted = theirs(scheduler, one, patch)
    return parity.relative_error(painted(ours(scheduler), one), wanted)


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_steps_from_noise_are_those_of_diffusers_pipeline(
    scheduler: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        assert error(scheduler, shot(number, count), monkeypatch) < LATENT_TOLERANCE


@pytest.mark.parametrize(("count", "strength"), STARTS)
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_steps_from_a_picture_are_those_of_diffusers_pipeline(
    scheduler: str, count: int, strength: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = shot(3, count, strength)
    assert error(scheduler, one, monkeypatch) < LATENT_TOLERANCE


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_each_shot_of_a_batch_has_its_own_steps(scheduler: str) -> None:
    model = ours(scheduler)
    for shots in (
        [shot(number, 4) for number in range(3)],
        [shot(number, 4, strength) for number, strength in ((1, 0.6), (2, 0.75), (3, 0.51))],
    ):
        together = painted(model, *shots)
        for latents, one in zip(together, shots, strict=True):
            assert parity.relative_error(latents[None], painted(model, one)) < 1e-5


# -- mistakes that the comparison must catch -------------------------------------------------------


def stale(patch: pytest.MonkeyPatch) -> None:
    row = TimeTable.row
    patch.setattr(TimeTable, "row", lambda self, timestep: row(self, 999.0))


def others_noise(patch: pytest.MonkeyPatch) -> None:
    def shifted(noise: Any, shape: Any, drawn: Any = None, number: int = 0) -> torch.Tensor:
        return noise_of(noise, shape, drawn, number and number % 3 + 1)

    patch.setattr(model_module, "noise_of", shifted)


def one_too_few(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        StepTable,
        "from_noise",
        lambda self, count: replace(self._from_noise[count], rows=self._from_noise[count].rows[1:]),
    )


@pytest.mark.parametrize("mistake", [stale, others_noise, one_too_few])
@pytest.mark.parametrize("scheduler", ["LCM", "TCD"])
def test_a_mistake_in_the_steps_is_caught(
    scheduler: str, mistake: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = shot(1, 4)
    wanted = theirs(scheduler, one, monkeypatch)
    assert parity.relative_error(painted(ours(scheduler), one), wanted) < LATENT_TOLERANCE
    mistake(monkeypatch)
    assert parity.relative_error(painted(ours(scheduler), one), wanted) > 10 * LATENT_TOLERANCE


@pytest.mark.parametrize(("scheduler", "wrong"), [("LCM", "TCD"), ("TCD", "Euler")])
def test_another_scheduler_is_caught(
    scheduler: str, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = theirs(scheduler, shot(1, 4), monkeypatch)
    found = painted(ours(wrong), shot(1, 4))
    assert parity.relative_error(found, wanted) > 10 * LATENT_TOLERANCE


# -- the parts -------------------------------------------------------------------------------------


def test_the_number_of_steps_is_the_setting_or_what_the_scheduler_is_made_for() -> None:
    assert [ours(name).steps for name in SCHEDULERS] == [1, 4, 4]
    two = Model(pipe_of("LCM"), CPU, steps=2)
    assert two.own_kind == Kind(2, fresh=True)
    assert torch.equal(painted(two, shot(1, None)), painted(ours("LCM"), shot(1, 2)))
    pipe = pipe_of("LCM")
    pipe.scheduler = LCMScheduler(original_inference_steps=2)
    with pytest.raises(EngineUnusable, match=r"^STEPS is 4, and .* takes 1 or 2 steps\.$"):
        Model(pipe, CPU, steps=4)


def test_only_steps_that_add_noise_take_more_than_the_first() -> None:
    assert "fresh" not in ours("Euler").values(shot(1, 4))
    assert ours("LCM").values(shot(1, 4))["fresh"].tensor.shape == (3, 4, 8, 8)
    assert "fresh" not in ours("LCM").values(shot(1, 1))
    assert ours("LCM").values(shot(1, 4, 0.5))["fresh"].tensor.shape == (1, 4, 8, 8)


def test_a_kind_has_exactly_the_inputs_of_its_shots() -> None:
    for name in SCHEDULERS:
        for strength in (None, 0.3, 1.0):
            for count in (1, 2, 3, 4):
                one = shot(1, count, strength)
                values = ours(name).values(one)
                kind = ours(name).kind_of(one)
                declared = {i.name: i.shape for i in ours(name).inputs(None, None, kind)}
                shapes = {n: tuple(value.tensor.shape) for n, value in values.items()}
                assert declared == shapes
                assert Kind.of({n: v.tensor for n, v in values.items()}) == kind


def test_five_steps_are_refused() -> None:
    with pytest.raises(ShotError, match="asks for 5 steps"):
        ours("LCM").values(shot(1, 5))


def test_a_seeds_later_noise_continues_its_first() -> None:
    generator = torch.Generator().manual_seed(7)
    for number in range(4):
        wanted = torch.randn((4, 8, 8), generator=generator)
        assert torch.equal(gaussian(7, (4, 8, 8), number=number), wanted)


def test_a_mix_of_seeds_has_the_same_weights_in_all_its_noise() -> None:
    mix = ((1, 0.6), (2, 0.8))
    for number in range(3):
        wanted = 0.6 * gaussian(1, (4, 8, 8), number=number)
        wanted = wanted + 0.8 * gaussian(2, (4, 8, 8), number=number)
        assert torch.equal(noise_of(mix, (4, 8, 8), number=number), wanted)


def test_later_noise_keeps_its_coarse_structure_at_another_size() -> None:
    small = gaussian(3, (4, 8, 8), number=2)
    large = gaussian(3, (4, 16, 16), (4, 8, 8), 2)
    blocks = large.unfold(-1, 2, 2).unfold(1, 2, 2).sum((-1, -2)) / 2
    assert torch.allclose(blocks, small, atol=1e-5)

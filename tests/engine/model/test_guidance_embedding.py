"""Latent consistency models whose UNet takes a guidance scale, against diffusers' own pipelines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import LatentConsistencyModelPipeline, LCMScheduler, UNet2DConditionModel

from tests.engine import sdxl
from tests.engine.conftest import CPU, pipeline
from tests.engine.model.drawn_noise import draw_from
from tests.engine.model.test_steps import painted, shot
from turbostream.engine.cuda import aot, parity
from turbostream.engine.model import condition
from turbostream.engine.model.loading import load_pipeline
from turbostream.engine.model.model import Model
from turbostream.engine.model.noise import noise_of
from turbostream.engine.rewrite import packed
from turbostream.engine.weights import checked
from turbostream.stream.shot import Shot

# The embedding has sines of angles up to 7,500, which differ in the last digits.
TOLERANCE = 1e-3
SHAPE = (4, 8, 8)


def pipe_of(size: int = 32, make: Callable[[], Any] = pipeline) -> Any:
    """Of LCM_Dreamshaper_v7's kind, or with another pipeline's components."""
    pipe = make()
    torch.manual_seed(1)
    unet = UNet2DConditionModel.from_config(pipe.unet.config, time_cond_proj_dim=size)
    with torch.no_grad():  # the guidance must matter in a model that was never trained
        for name, parameter in unet.named_parameters():
            if ("attn2" in name or "add_embedding" in name) and parameter.ndim > 1:
                parameter.mul_(4)
            if "cond_proj" in name:
                parameter.mul_(8)
    pipe.unet = unet.eval().requires_grad_(False)
    config = pipe.scheduler.config
    pipe.scheduler = LCMScheduler(
        **{name: config[name] for name in ("beta_start", "beta_end", "beta_schedule")}
    )
    return pipe


def consistency(pipe: Any) -> Any:
    own = LatentConsistencyModelPipeline(**pipe.components, requires_safety_checker=False)
    own.set_progress_bar_config(disable=True)
    return own


@torch.inference_mode()
def theirs(pipe: Any, one: Shot, patch: pytest.MonkeyPatch, **options: Any) -> torch.Tensor:
    """diffusers' latents of the shot, with its noise in place of what the scheduler would draw."""
    with patch.context() as drawing:
        draw_from(one, SHAPE, drawing)
        latents: torch.Tensor = pipe(
            one.prompt, latents=noise_of(one.noise, SHAPE)[None], output_type="latent",
            num_inference_steps=one.steps, **options,
        ).images  # fmt: skip
    return latents


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_the_guidance_is_that_of_diffusers_pipelines(
    steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = painted(Model(pipe_of(), CPU), shot(1, steps))
    by_own_class = theirs(consistency(pipe_of()), shot(1, steps), monkeypatch)
    assert parity.relative_error(ours, by_own_class) < TOLERANCE
    guided = theirs(pipe_of(), shot(1, steps), monkeypatch, guidance_scale=condition.GUIDANCE)
    assert parity.relative_error(ours, guided) < TOLERANCE


def test_another_guidance_or_none_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = theirs(consistency(pipe_of()), shot(1, 4), monkeypatch)
    monkeypatch.setattr(condition, "GUIDANCE", 7.5)
    ours = painted(Model(pipe_of(), CPU), shot(1, 4))
    assert parity.relative_error(ours, expected) > 10 * TOLERANCE
    monkeypatch.setattr(condition, "_guided", lambda words, size: words)
    ours = painted(Model(pipe_of(), CPU), shot(1, 4))
    assert parity.relative_error(ours, expected) > 10 * TOLERANCE


def test_sdxl_has_the_guidance_beside_its_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = painted(Model(pipe_of(make=sdxl.pipeline), CPU), shot(1, 4))
    for guidance, same in ((condition.GUIDANCE, True), (7.5, False)):
        pipe = pipe_of(make=sdxl.pipeline)
        expected = theirs(pipe, shot(1, 4), monkeypatch, guidance_scale=guidance)
        assert (parity.relative_error(ours, expected) < TOLERANCE) == same


def test_an_odd_size_of_the_embedding_ends_with_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = theirs(consistency(pipe_of(33)), shot(1, 1), monkeypatch)
    ours = painted(Model(pipe_of(33), CPU), shot(1, 1))
    assert parity.relative_error(ours, expected) < TOLERANCE


def test_each_shot_of_a_batch_is_guided() -> None:
    model = Model(pipe_of(), CPU)
    together = painted(model, shot(1, 4), shot(2, 4))
    for latents, number in zip(together, (1, 2), strict=True):
        alone = painted(model, shot(number, 4))
        assert parity.relative_error(latents[None], alone) < 1e-4


@torch.inference_mode()
def test_the_compiling_process_guides_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "available", lambda: False)  # as on a GPU
    model = Model(pipe_of(), CPU)
    step = model.sampler.step
    declaration = model.sampler.step_inputs(model.text_inputs(None, None))
    job = aot.Job.from_json(aot.job_of(step, 1, declaration, "cpu").as_json())
    other = aot.architecture(job)
    other.load_state_dict(step.state_dict())
    inputs = {
        "sample": noise_of(((3, 1.0),), SHAPE)[None],
        "prompt_embedding": model.encode_prompt("a red star").tensor[None],
        "scales": torch.rand(1, 3),
        "time": torch.tensor([[499.0, 3.0]]),
    }
    assert parity.relative_error(other(**inputs), step(**inputs)) < 1e-5


def test_a_folder_of_the_class_of_its_own_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    consistency(pipe_of()).save_pretrained(tmp_path / "model")
    model = Model(load_pipeline(checked(tmp_path / "model", "the model"), CPU), CPU)
    assert model.steps == 4
    expected = theirs(consistency(pipe_of()), shot(1, 4), monkeypatch)
    assert parity.relative_error(painted(model, shot(1, 4)), expected) < TOLERANCE

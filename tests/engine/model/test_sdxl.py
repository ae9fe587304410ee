"""SDXL's step against diffusers' own pipeline, from the same noise, words and source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionXLImg2ImgPipeline
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

from tests.engine.conftest import CPU
from tests.engine.model.test_source_step import Case, resolve
from tests.engine.model.test_step import LATENT_TOLERANCE
from tests.engine.sdxl import pipeline
from turbostream.engine.cuda import aot, parity
from turbostream.engine.model.decoder import dtype_of
from turbostream.engine.model.loading import load_pipeline
from turbostream.engine.model.model import Model
from turbostream.engine.rewrite import packed

PROMPTS = ("three yellow stars on a night sky", "a red mushroom", "blue")
SIZES = ((8, 8), (6, 10))  # rows and columns of latents


class SourceCase(Case):
    """SDXL's pipeline from a picture beside ours."""

    def __init__(self, full_vae: bool) -> None:
        def make() -> Any:
            pipe = pipeline(full_vae=full_vae)
            pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config)
            return pipe

        def theirs(**components: Any) -> Any:
            return StableDiffusionXLImg2ImgPipeline(**components, add_watermarker=False)

        super().__init__(make, 64, theirs)


@pytest.fixture
def the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """diffusers' pipeline draws a sample of the full encoder's distribution; we take its mean."""
    monkeypatch.setattr(
        DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode()
    )


def noise_of(seed: int, high: int, wide: int, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, 4, high, wide, generator=torch.Generator().manual_seed(seed))


def plain(pipe: Any, prompts: list[str], noise: torch.Tensor, output: str = "latent") -> Any:
    high, wide = (side * pipe.vae_scale_factor for side in noise.shape[-2:])
    return pipe(
        prompts, num_inference_steps=1, guidance_scale=0.0, latents=noise, output_type=output,
        height=high, width=wide,
    ).images  # fmt: skip


@pytest.fixture(scope="module")
def theirs() -> Any:
    return pipeline()


@pytest.fixture(scope="module")
def ours() -> Model:
    return Model(pipeline(), CPU, resolve=resolve)


def embedded(model: Model, *prompts: str) -> torch.Tensor:
    return torch.stack([model.encode_prompt(prompt).tensor for prompt in prompts])


@pytest.mark.parametrize(("high", "wide"), SIZES)
@pytest.mark.parametrize("prompts", [[PROMPTS[0]], list(PROMPTS)])
@torch.inference_mode()
def test_latents_are_those_of_the_diffusers_pipeline(
    theirs: Any, ours: Model, prompts: list[str], high: int, wide: int
) -> None:
    noise = noise_of(3, high, wide, len(prompts))
    latents = ours.denoise(noise, embedded(ours, *prompts))
    assert parity.relative_error(latents, plain(theirs, prompts, noise)) < LATENT_TOLERANCE


@torch.inference_mode()
def test_pixels_are_those_of_the_diffusers_pipeline(theirs: Any, ours: Model) -> None:
    noise = noise_of(4, 6, 10)
    pixels = ours.paint(noise=noise, prompt_embedding=embedded(ours, PROMPTS[0]))[0].numpy()
    image = np.asarray(plain(theirs, [PROMPTS[0]], noise, "pil")[0]).astype(int)
    assert np.abs(pixels[..., :3].astype(int) - image).max() <= 1


@torch.inference_mode()
def test_a_wrong_condition_is_far_outside_the_tolerance(
    theirs: Any, ours: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = noise_of(3, 6, 10)
    expected = plain(theirs, [PROMPTS[0]], noise)
    words, other = embedded(ours, PROMPTS[0]), embedded(ours, PROMPTS[1])

    def error() -> float:
        return parity.relative_error(ours.denoise(noise, mixed), expected)

    mixed = words.clone()
    mixed[:, -1] = other[:, -1]  # the pooled embedding of another prompt
    assert error() > 10 * LATENT_TOLERANCE
    mixed = words
    right = ours.denoise.condition
    for wrong in ([1, 0, 2, 3, 5, 4], [2] * 6):  # width and height exchanged; no size at all

        def condition(*given: Any, wrong: list[int] = wrong) -> Any:
            tokens, more = right(*given)
            more["added_cond_kwargs"]["time_ids"] = more["added_cond_kwargs"]["time_ids"][:, wrong]
            return tokens, more

        monkeypatch.setattr(ours.denoise, "condition", condition)
        assert error() > 10 * LATENT_TOLERANCE


@pytest.mark.parametrize("encoder", [0, 1])
@pytest.mark.parametrize("shift", [-1, 1])
@torch.inference_mode()
def test_another_hidden_state_of_one_encoder_is_far_outside_the_tolerance(
    theirs: Any, encoder: int, shift: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, noise = Model(pipeline(), CPU), noise_of(3, 6, 10)
    module = ours.encode_prompt._encoders[encoder]  # type: ignore[attr-defined]
    forward = module.forward

    def shifted(*ids: Any, **options: Any) -> Any:
        output = forward(*ids, **options)
        states = output.hidden_states
        output.hidden_states = (*states[1:], None) if shift > 0 else (None, *states[:-1])
        return output

    expected = plain(theirs, [PROMPTS[0]], noise)
    monkeypatch.setattr(module, "forward", shifted)
    mixed = embedded(ours, PROMPTS[0])
    assert parity.relative_error(ours.denoise(noise, mixed), expected) > 10 * LATENT_TOLERANCE
    monkeypatch.undo()
    ours.encode_prompt.forget()
    mixed = embedded(ours, PROMPTS[0])
    assert parity.relative_error(ours.denoise(noise, mixed), expected) < LATENT_TOLERANCE


@torch.inference_mode()
def test_the_sizes_of_another_autoencoder_are_its_own() -> None:
    """One that halves the sides twice instead of three times."""
    noise = noise_of(3, 8, 12)
    pipe = pipeline(full_vae=True, levels=3)
    ours = Model(pipeline(full_vae=True, levels=3), CPU)
    latents = ours.denoise(noise, embedded(ours, PROMPTS[0]))
    expected = plain(pipe, [PROMPTS[0]], noise)
    assert pipe.vae_scale_factor == 4
    assert parity.relative_error(latents, expected) < LATENT_TOLERANCE


@pytest.mark.parametrize("full_vae", [False, True])
@pytest.mark.parametrize("strength", [0.25, 0.5, 0.75, 1.0])
def test_from_pictures_it_paints_what_the_diffusers_pipeline_does(
    strength: float, full_vae: bool, the_mean: None
) -> None:
    case = SourceCase(full_vae)
    assert case.refusal([case.shot(number, strength) for number in range(1, 9)]) is None


def test_a_folder_is_opened_and_painted(tmp_path: Path) -> None:
    pipeline().save_pretrained(tmp_path / "model")
    pipe = load_pipeline(tmp_path / "model", CPU)
    model = Model(pipe, CPU)
    noise = noise_of(3, 8, 8)
    with torch.inference_mode():
        latents = model.denoise(noise, embedded(model, PROMPTS[0]))
        expected = plain(pipeline(), [PROMPTS[0]], noise)
    assert parity.relative_error(latents, expected) < LATENT_TOLERANCE


@torch.inference_mode()
def test_a_mix_of_prompts_mixes_the_pooled_embedding_too(ours: Model) -> None:
    first, second = embedded(ours, PROMPTS[0], PROMPTS[1]).double()
    mix = ours.mix_prompts(((PROMPTS[0], 0.5), (PROMPTS[1], 0.5))).tensor.double()
    width = ours.denoise.unet.add_embedding.linear_1.in_features - 6 * 8
    assert mix.shape == first.shape
    assert (mix[-1, width:] == 0).all()
    one, other = first[-1, :width], second[-1, :width]
    angle = torch.acos(torch.nn.functional.cosine_similarity(one, other, 0))
    halfway = (one + other) * torch.sin(angle / 2) / torch.sin(angle)
    torch.testing.assert_close(mix[-1, :width], halfway, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("levels", [3, 4])
@torch.inference_mode()
def test_the_compiling_process_builds_the_same_steps(
    levels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows the UNet's configuration and the size of the latents only."""
    monkeypatch.setattr(packed, "available", lambda: False)  # as on a GPU
    ours = Model(pipeline(full_vae=True, levels=levels), CPU)
    noise, words = noise_of(3, 6, 10, 2), embedded(ours, *PROMPTS[:2])
    inputs = {
        "prompt_embedding": words,
        "scales": torch.rand(2, 3),
        "time": torch.tensor([[700.0]] * 2),
    }
    timed = ours.sampler.step_inputs(ours.inputs(None, None))
    for step, declaration, given in (
        (ours.denoise, ours.inputs(None, None), {"noise": noise, "prompt_embedding": words}),
        (ours.sampler.step, timed, {"sample": noise, **inputs}),
    ):
        job = aot.job_of(step, 2, declaration, "cpu")
        other = aot.architecture(aot.Job.from_json(job.as_json()))
        other.load_state_dict(step.state_dict())
        assert parity.relative_error(other(**given), step(**given)) < LATENT_TOLERANCE


def test_only_a_full_autoencoder_that_overflows_in_half_precision_is_kept_in_float32() -> None:
    for full_vae, wanted in ((True, torch.float32), (False, torch.float16)):
        vae = pipeline(full_vae=full_vae).vae
        assert dtype_of(vae, torch.float16) is wanted
        assert dtype_of(vae, torch.bfloat16) is torch.bfloat16

"""Our step against the plain diffusers pipeline, from the same noise and words."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.engine.conftest import CPU, pipeline
from turbostream.engine.cuda import parity
from turbostream.engine.model.model import Model
from turbostream.engine.model.schedule import schedule_of
from turbostream.engine.model.step import Decode, Denoise
from turbostream.engine.rewrite import folded, joined, norms, packed, tiny_decoder, upsampled
from turbostream.stream.engine_api import EngineUnusable

PROMPT = "three yellow stars on a night sky"
Noise = Callable[..., torch.Tensor]

# fp32 on both sides; the order of additions differs (folded time, packed convolutions), and the
# step multiplies that by sigma. A level of 255 is 0.004: at most one level of rounding may differ.
LATENT_TOLERANCE = 1e-4


def plain(pipe: Any, noise: torch.Tensor, output: str) -> Any:
    """What diffusers' own pipeline makes of `noise`: one step, guidance 0."""
    return pipe(
        PROMPT, num_inference_steps=1, guidance_scale=0.0, latents=noise, output_type=output
    ).images


def test_latents_and_pixels_are_those_of_the_diffusers_pipeline(noise_of_seed: Noise) -> None:
    theirs, ours = pipeline(), Model(pipeline(), CPU)
    noise = noise_of_seed(3)
    with torch.inference_mode():
        latents = ours.denoise(noise, ours.encode_prompt(PROMPT).tensor[None])
        pixels = ours.decode(latents)[0].numpy()
        expected = plain(theirs, noise, "latent")
    assert parity.relative_error(latents, expected) < LATENT_TOLERANCE
    image = np.asarray(plain(theirs, noise, "pil")[0]).astype(int)
    assert np.abs(pixels[..., :3].astype(int) - image).max() <= 1
    assert (pixels[..., 3] == 255).all()


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_each_kind_of_prediction_is_stepped_as_the_scheduler_does(
    pipe: Any, noise_of_seed: Noise, prediction: str
) -> None:
    scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config, prediction_type=prediction)
    schedule = schedule_of(scheduler)
    noise = noise_of_seed(1)

    class Says(torch.nn.Module):
        def forward(self, sample: Any, *_: Any, return_dict: bool) -> tuple[torch.Tensor]:
            return (sample.tanh(),)

    scheduler.set_timesteps(1)
    sample = noise * scheduler.init_noise_sigma
    said = scheduler.scale_model_input(sample, scheduler.timesteps[0]).tanh()
    expected = scheduler.step(said, scheduler.timesteps[0], sample).prev_sample
    ours = Denoise(Says(), schedule, torch.float32, 8)(noise, noise)
    assert parity.relative_error(ours, expected) < 1e-5


def test_a_wrong_sigma_is_far_outside_the_tolerance(model: Model, noise_of_seed: Noise) -> None:
    noise, words = noise_of_seed(3), model.encode_prompt(PROMPT).tensor[None]
    wrong = dataclasses.replace(model.schedule, sigma=model.schedule.sigma * 1.02)
    with torch.inference_mode():
        right = model.denoise(noise, words)
        latents = Denoise(model.denoise.unet, wrong, torch.float32, 8)(noise, words)
    assert parity.relative_error(latents, right) > 10 * LATENT_TOLERANCE


def test_folding_the_time_and_fusing_the_projections_changes_only_the_rounding(
    noise_of_seed: Noise,
) -> None:
    whole, ours = pipeline().unet, pipeline().unet
    assert folded.fold_time(ours, 999.0) == 8
    assert folded.fuse_qkv(ours) == 4
    noise, words = noise_of_seed(0), torch.randn(1, 40, 128)
    with torch.inference_mode():
        expected = whole(noise, 999, words, return_dict=False)[0]
        got = ours(noise, 999, words, return_dict=False)[0]
    assert parity.relative_error(got, expected) < 1e-5


@pytest.mark.parametrize(("high", "wide"), [(8, 8), (6, 10), (3, 5)])
@pytest.mark.parametrize("bias", [True, False])
def test_an_enlargement_folded_into_its_convolution_changes_only_the_rounding(
    high: int, wide: int, bias: bool
) -> None:
    conv = torch.nn.Conv2d(12, 8, 3, padding=1, bias=bias)
    small = torch.randn(2, 12, high, wide).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        expected = conv(torch.nn.functional.interpolate(small, scale_factor=2.0))
        got = upsampled.transposed(conv)(small)
    assert got.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("high", "wide"), [(8, 8), (3, 5), (1, 1)])
@pytest.mark.parametrize("bias", [True, False])
def test_two_convolutions_joined_change_only_the_rounding_edges_and_corners_too(
    high: int, wide: int, bias: bool
) -> None:
    first = torch.nn.Conv2d(6, 8, 3, padding=1, bias=False)
    second = torch.nn.Conv2d(8, 3, 3, padding=1, bias=bias)
    small = torch.randn(2, 6, high, wide).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        expected = second(first(torch.nn.functional.interpolate(small, scale_factor=2.0)))
        got = joined.JoinedConvs(first, second)(small)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_the_unets_enlargements_are_the_same_at_every_size() -> None:
    whole, ours = pipeline().unet, pipeline().unet
    assert upsampled.fold(ours) == 1
    words = torch.randn(1, 40, 128)
    for high, wide in ((8, 8), (7, 9)):  # of odd sizes, half and twice again is not the same
        noise = torch.randn(1, 4, high, wide)
        with torch.inference_mode():
            expected = whole(noise, 999, words, return_dict=False)[0]
            got = ours(noise, 999, words, return_dict=False)[0]
        assert parity.relative_error(got, expected) < 1e-5


def test_an_enlargement_of_another_kind_is_left_alone() -> None:
    decoder = pipeline().vae.decoder
    smooth, conv = torch.nn.Upsample(scale_factor=2, mode="bilinear"), torch.nn.Conv2d(4, 4, 3)
    assert not upsampled.foldable(smooth, conv)
    assert not upsampled.foldable(torch.nn.Upsample(scale_factor=2), conv)  # has no padding
    assert not upsampled.foldable(torch.nn.Upsample(scale_factor=3), decoder.layers[0])


def test_norms_by_rows_change_only_the_rounding(noise_of_seed: Noise) -> None:
    whole, ours = pipeline().unet, pipeline().unet
    assert norms.rewrite(ours) == sum(type(m) is torch.nn.GroupNorm for m in whole.modules()) > 0
    assert whole.state_dict().keys() == ours.state_dict().keys()
    noise, words = noise_of_seed(0), torch.randn(1, 40, 128)
    with torch.inference_mode():
        expected = whole(noise, 999, words, return_dict=False)[0]
        got = ours(noise, 999, words, return_dict=False)[0]
        with norms.RowsCat():
            beside = ours(noise, 999, words, return_dict=False)[0]
    assert parity.relative_error(got, expected) < 1e-5
    assert parity.relative_error(beside, got) < 1e-6


def test_channels_are_joined_along_the_rows_in_whatever_is_compiled() -> None:
    unet = pipeline().unet
    inputs = torch.randn(1, 4, 8, 8), torch.tensor(999.0), torch.randn(1, 40, 128)
    with torch.no_grad(), norms.RowsCat():
        program = torch.export.export(unet, inputs, strict=False)
    found = [n for n in program.graph.nodes if n.target is torch.ops.aten.cat.default]
    dims = [n.args[1] for n in found if n.meta["val"].ndim == 4]
    assert dims == [3, 3, 3, 3]


def test_norms_by_rows_bear_a_mean_far_from_zero() -> None:
    norm = torch.nn.GroupNorm(4, 32)
    x = torch.randn(1, 32, 16, 16) * 3 + 50
    with torch.inference_mode():
        got, expected = norms.RowsGroupNorm(norm)(x), norm.double()(x.double())
    assert float((got - expected).abs().max()) < 1e-3


@pytest.mark.parametrize("relu", [True, False])
def test_a_packed_convolution_adds_and_cuts_off_as_it_is_told(relu: bool) -> None:
    if not packed.available():
        pytest.skip("this PyTorch has no oneDNN")
    conv, x = torch.nn.Conv2d(4, 6, 3, padding=1), torch.randn(1, 4, 8, 8)
    add = torch.randn(1, 6, 8, 8)
    with torch.inference_mode():
        ours = packed.PackedConv(conv, relu)
        for got, expected in ((ours(x), conv(x)), (ours(x, add), conv(x) + add)):
            torch.testing.assert_close(got, expected.relu() if relu else expected)


def test_the_cpus_packed_convolutions_paint_the_same_at_every_size() -> None:
    if not packed.available():
        pytest.skip("this PyTorch has no oneDNN")
    vae = pipeline().vae
    plain_decode = Decode(pipeline().vae.decoder, 1.0, torch.float32)
    assert tiny_decoder.fuse(vae.decoder, "cpu")
    fused = Decode(vae.decoder, 1.0, torch.float32)
    for high, wide in ((8, 8), (4, 12), (8, 8)):
        latents = torch.randn(2, 4, high, wide)
        with torch.inference_mode():
            difference = (fused(latents).int() - plain_decode(latents).int()).abs().max()
        assert int(difference) <= 1


def test_an_unknown_prediction_is_refused_with_one_sentence(pipe: Any) -> None:
    class Scheduler(type(pipe.scheduler)):  # type: ignore[misc]
        pass

    scheduler = Scheduler.from_config(pipe.scheduler.config)
    scheduler.register_to_config(prediction_type="flow")
    with pytest.raises(EngineUnusable, match="prediction type, 'flow'"):
        schedule_of(scheduler)


def test_a_size_that_the_decoder_cannot_make_is_refused(model: Model) -> None:
    assert model.latent_shape(None, None) == (4, 8, 8)
    assert model.latent_shape(128, 64) == (4, 8, 16)
    with pytest.raises(EngineUnusable, match="multiples of 8"):
        model.latent_shape(100, 64)

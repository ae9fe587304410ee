"""Whether a faster way still paints the same picture.

The yardstick is what fp16 itself costs: on one H100 the plain fp16 step differs from fp32 by
about 0.2 % of the UNet's output (docs/experiments.md). A faster way may differ from the plain
one by a few times that, since it only adds and multiplies in another order; a wrong sigma,
stale words or swapped shots differ by far more, as tests/engine/test_gate.py shows for each.
"""

from __future__ import annotations

import math

import torch

from turbostream.engine.model.step import Schedule

UNET_LIMIT = 0.01  # relative error of the UNet's output, ‖a - b‖ / ‖b‖
PSNR_LIMIT = 30.0  # dB of the picture against the plain one; below it the eye begins to see


def relative_error(output: torch.Tensor, reference: torch.Tensor) -> float:
    """‖output - reference‖ / ‖reference‖ in fp64; NaN in either is infinitely wrong."""
    difference = (output.double() - reference.double()).norm() / reference.double().norm()
    error = float(difference)
    return error if math.isfinite(error) else math.inf


def psnr(pixels: torch.Tensor, reference: torch.Tensor) -> float:
    """Peak signal-to-noise ratio of uint8 pictures, RGB or RGBX, in dB; inf when they are equal."""
    pair = pixels[..., :3].double(), reference[..., :3].double()
    square = float((pair[0] - pair[1]).square().mean())
    return math.inf if square == 0 else 10 * math.log10(255**2 / square)


def predicted(latents: torch.Tensor, noise: torch.Tensor, schedule: Schedule) -> torch.Tensor:
    """What the UNet said, from x0: the step multiplies its errors by sigma, and x0 alone would
    judge a model by how large its pictures are."""
    if schedule.prediction == "epsilon":
        return (noise * schedule.first_scale - latents) / schedule.sigma
    return latents


def refusal(
    latents: torch.Tensor,
    plain_latents: torch.Tensor,
    noise: torch.Tensor,
    schedule: Schedule,
    pixels: torch.Tensor,
    plain_pixels: torch.Tensor,
) -> str | None:
    """Why the first of each pair may not take the second's place, in one clause; None if it may.

    latents [B, C, H/8, W/8]; noise likewise; pixels uint8 [B, H, W, 4]. Judged shot by shot: one
    wrong picture in a batch must not hide behind seven right ones.
    """
    for shot in range(noise.shape[0]):
        error = relative_error(
            predicted(latents[shot], noise[shot], schedule),
            predicted(plain_latents[shot], noise[shot], schedule),
        )
        if error > UNET_LIMIT:
            return f"its UNet differs by {error:.2%} (limit {UNET_LIMIT:.0%})"
        quality = psnr(pixels[shot], plain_pixels[shot])
        if quality < PSNR_LIMIT:
            return f"its picture has {quality:.1f} dB (limit {PSNR_LIMIT:.0f})"
    return None

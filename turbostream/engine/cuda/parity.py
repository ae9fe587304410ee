"""The parity check: whether a faster path still renders the same picture.

The scale is the rounding error of fp16 itself: on one H100 the plain fp16 step differs from fp32
by about 0.2 % of the UNet's output (docs/experiments/2026-11.md). A faster path may differ from the
plain one by a few times that, since it only changes the order of additions and multiplications. A
wrong sigma, a stale prompt or swapped shots differ by far more; tests/engine/cuda/test_parity.py
shows this for each.
"""

from __future__ import annotations

import math

import torch

from turbostream.engine.model.step import Schedule

UNET_LIMIT = 0.01  # relative error of the UNet's output, ‖a - b‖ / ‖b‖
PSNR_LIMIT = 30.0  # dB against the plain picture; below it differences become visible


def relative_error(output: torch.Tensor, reference: torch.Tensor) -> float:
    """‖output - reference‖ / ‖reference‖ in fp64; inf if either contains NaN."""
    difference = (output.double() - reference.double()).norm() / reference.double().norm()
    error = float(difference)
    return error if math.isfinite(error) else math.inf


def psnr(pixels: torch.Tensor, reference: torch.Tensor) -> float:
    """Peak signal-to-noise ratio of two uint8 pictures, RGB or RGBX, in dB; inf if equal."""
    pair = pixels[..., :3].double(), reference[..., :3].double()
    square = float((pair[0] - pair[1]).square().mean())
    return math.inf if square == 0 else 10 * math.log10(255**2 / square)


def predicted(latents: torch.Tensor, noise: torch.Tensor, schedule: Schedule) -> torch.Tensor:
    """The UNet's prediction, recovered from x0.

    The step multiplies the UNet's errors by sigma, so an error relative to x0 would depend on how
    large the latents are.
    """
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
    """Why the first of each pair must not replace the second, in one clause; None if it may.

    latents and noise [B, C, H/8, W/8]; pixels uint8 [B, H, W, 4]. Compared shot by shot: an
    average over the batch would hide one wrong picture among seven correct ones.
    """
    said = predicted(latents, noise, schedule), predicted(plain_latents, noise, schedule)
    return refusal_of(*said, pixels, plain_pixels)


def refusal_of(
    prediction: torch.Tensor,
    plain_prediction: torch.Tensor,
    pixels: torch.Tensor,
    plain_pixels: torch.Tensor,
) -> str | None:
    """As `refusal`, of the UNet's predictions [B, C, H/8, W/8]."""
    for shot in range(len(prediction)):
        error = relative_error(prediction[shot], plain_prediction[shot])
        if error > UNET_LIMIT:
            return f"the UNet's output differs by {error:.2%} (limit {UNET_LIMIT:.0%})"
        quality = psnr(pixels[shot], plain_pixels[shot])
        if quality < PSNR_LIMIT:
            return f"the picture differs: PSNR {quality:.1f} dB (limit {PSNR_LIMIT:.0f})"
    return None

"""The published architectures at their own size, with random weights: our pictures of one, two and
four steps against those of diffusers' own pipelines. SDXL takes about 14 GB of memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler, LCMScheduler, TCDScheduler

from benchmarks import models
from tests.engine.conftest import CPU
from tests.engine.model.drawn_noise import draw_from
from tests.engine.model.test_steps import LATENT_TOLERANCE, painted, shot
from turbostream.engine.cuda import parity
from turbostream.engine.model.model import Model
from turbostream.engine.model.noise import noise_of

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]
COUNTS = (1, 2, 4)
KINDS = {"Euler": EulerDiscreteScheduler, "LCM": LCMScheduler, "TCD": TCDScheduler}
SHAPE = (4, 64, 64)
BETAS = ("beta_start", "beta_end", "beta_schedule")


class Pair(NamedTuple):
    """diffusers' latents and pictures by the number of steps, and our model of the same weights."""

    theirs: dict[int, tuple[torch.Tensor, Any]]
    ours: Model


def pipe_of(name: str, scheduler: str) -> Any:
    pipe = models.RANDOM[name](CPU)
    if not isinstance(pipe.scheduler, kind := KINDS[scheduler]):
        config = pipe.scheduler.config
        kept = BETAS if kind is not EulerDiscreteScheduler else config.keys()
        pipe.scheduler = kind.from_config({key: config[key] for key in kept})
    return pipe


def by_diffusers(pipe: Any, count: int) -> tuple[torch.Tensor, Any]:
    """Latents and picture, with the shot's noise in place of what a scheduler would draw."""
    one = shot(1, count)
    last: list[torch.Tensor] = []

    def after_step(_: Any, __: int, ___: Any, found: dict[str, torch.Tensor]) -> dict[str, Any]:
        last[:] = [found["latents"]]
        return {}

    with pytest.MonkeyPatch.context() as patch:
        draw_from(one, SHAPE, patch)
        picture = pipe(
            one.prompt, num_inference_steps=count, guidance_scale=0.0, eta=0.3, output_type="np",
            latents=noise_of(one.noise, SHAPE)[None], callback_on_step_end=after_step,
        ).images[0]  # fmt: skip
    return last[0], picture


@pytest.fixture(
    scope="module",
    params=[("sd-turbo", "Euler"), ("sd15", "LCM"), ("sd15", "TCD"), ("sdxl-turbo", "Euler")],
    ids=" ".join,
)
def pair(request: pytest.FixtureRequest) -> Pair:
    pipe = pipe_of(*request.param)
    with torch.inference_mode():
        theirs = {count: by_diffusers(pipe, count) for count in COUNTS}
    return Pair(theirs, Model(pipe, CPU))


@pytest.mark.parametrize("count", COUNTS)
def test_latents_and_picture_are_those_of_diffusers_pipeline(pair: Pair, count: int) -> None:
    latents, picture = pair.theirs[count]
    found = painted(pair.ours, shot(1, count))
    error = parity.relative_error(found, latents)
    with torch.inference_mode():
        pixels = pair.ours.decode(found)[0, ..., :3].numpy().astype(int)
    difference = np.abs(pixels - picture * 255).max()
    print(f"{count} steps: latents {error:.1e}, pixels {difference:.2f} of 255")
    assert error < LATENT_TOLERANCE
    assert difference <= 1.5  # whole numbers on our side
    others = parity.relative_error(found, pair.theirs[3 - count if count < 4 else 1][0])
    assert others > 10 * LATENT_TOLERANCE  # random weights see the steps

"""A small pipeline of SD-Turbo's kind with random weights: epsilon, latents of four channels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from tqdm import tqdm

from turbostream.engine import weights
from turbostream.engine.device.hardware import Hardware
from turbostream.engine.model.model import Model
from turbostream.stream.shot import ShotError, Source

tqdm.monitor_interval = 0  # or it leaves a thread behind

CPU = Hardware(torch.device("cpu"), torch.float32, "a test")


def pipeline(seed: int = 0) -> Any:
    from diffusers import (
        AutoencoderTiny,
        EulerDiscreteScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextModel, CLIPTokenizer

    torch.manual_seed(seed)
    demo = weights.DEMO_FOLDER
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=128,
        attention_head_dim=(2, 4),
        norm_num_groups=8,
        use_linear_projection=True,
    )
    with torch.no_grad():  # words must matter in a model that was never trained
        for name, parameter in unet.named_parameters():
            if "attn2" in name and parameter.ndim > 1:
                parameter.mul_(4)
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="epsilon",
        timestep_spacing="trailing",
        steps_offset=1,
    )
    pipe = StableDiffusionPipeline(
        vae=AutoencoderTiny(),
        text_encoder=CLIPTextModel.from_pretrained(demo / "text_encoder", dtype=torch.float32),
        tokenizer=CLIPTokenizer.from_pretrained(demo / "tokenizer"),
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    for part in (pipe.unet, pipe.vae, pipe.text_encoder):
        part.eval().requires_grad_(False)
    return pipe


def no_pictures(source: Source, width: int, height: int) -> Any:
    """A resolver whose pictures are gone."""
    raise ShotError("The picture is gone.")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """So small a model gains nothing from more, and waiting threads are in the others' way."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def pipe() -> Any:
    return pipeline()


@pytest.fixture(scope="session")
def model() -> Model:
    """Ready to paint. Shared: do not change it."""
    return Model(pipeline(), CPU)


@pytest.fixture
def noise_of_seed() -> Callable[[int, int], torch.Tensor]:
    def noise(seed: int, batch: int = 1) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(batch, 4, 8, 8, generator=generator)

    return noise

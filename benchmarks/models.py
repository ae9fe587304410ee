"""The benchmarks' pipelines: existing weights, or exact architectures with random weights.

SD-Turbo's configuration is here; those of Stable Diffusion 1.5 and XL are the ones that the program
has for single files."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from turbostream.engine.device import hardware
from turbostream.engine.device.hardware import Hardware
from turbostream.engine.model.loading import load_pipeline
from turbostream.engine.model.single_file import clip_tokenizer
from turbostream.engine.weights import single_file

hardware.warm("auto")  # after diffusers is imported, as in the program

# stabilityai/sd-turbo at b261bac6fd2cf515557d5d0707481eafa0485ec2: its configuration files.
UNET = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280, 1280),
    "attention_head_dim": (5, 10, 20, 20),
    "cross_attention_dim": 1024,
    "use_linear_projection": True,
}
VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 4,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "scaling_factor": 0.18215,
}
TEXT = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 23,
    "num_attention_heads": 16,
    "hidden_act": "gelu",
    "projection_dim": 512,
}
EULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon",
    "timestep_spacing": "trailing",
    "steps_offset": 1,
}

SDXL_TURBO_SIZE = 64  # sample_size of stabilityai/sdxl-turbo's UNet: 512x512

# Sizes of --tiny: the same classes and blocks, so that a benchmark can be tried on a CPU.
TINY_TEXT = {
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "projection_dim": 64,
}
TINY_VAE = {"block_out_channels": (32, 32, 32, 32)}


class HashTokenizer:
    """Tokens by hash, since CLIP's vocabulary is part of the weights, which are missing here."""

    model_max_length = 77
    added_tokens_encoder: dict[str, int] = {}  # noqa: RUF012  (diffusers reads it)

    def tokenize(self, text: str) -> list[str]:
        """The tokens in which diffusers looks for the names of textual inversions."""
        return text.split()

    def __call__(self, text: str | list[str], **_: Any) -> Any:
        lines = [text] if isinstance(text, str) else text
        rows = []
        for line in lines:
            words = [zlib.crc32(word.encode()) % 49000 for word in self.tokenize(line)][:75]
            rows.append([49406, *words, 49407] + [0] * (75 - len(words)))

        class Tokens:
            input_ids = torch.tensor(rows)

        return Tokens()


@torch.no_grad()
def _fill(module: torch.nn.Module, seed: int) -> None:
    """Set random weights that preserve the variance, so that activations do not overflow fp16."""
    device = next(module.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    for name, parameter in module.named_parameters():
        if parameter.ndim > 1:
            parameter.normal_(generator=generator)
            parameter.mul_(parameter[0].numel() ** -0.5)
        else:
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)


def _random(make: Any, hardware: Hardware, seed: int) -> Any:
    with torch.device("meta"):
        module = make()
    module = module.to(hardware.dtype).to_empty(device=hardware.device).eval()
    for name, buffer in module.named_buffers():
        if name.endswith("position_ids"):
            buffer.copy_(torch.arange(buffer.shape[-1])[None])
    _fill(module, seed)
    return module.requires_grad_(False)


def _sd(
    hardware: Hardware,
    unet: dict[str, Any],
    vae: dict[str, Any],
    text: dict[str, Any],
    scheduler: Any,
    full_vae: bool,
) -> Any:
    pipe = StableDiffusionPipeline(
        vae=_random(_vae(vae, full_vae), hardware, 2),
        text_encoder=_random(lambda: CLIPTextModel(CLIPTextConfig(**text)), hardware, 3),
        tokenizer=HashTokenizer(),
        unet=_random(lambda: UNet2DConditionModel.from_config(unet), hardware, 1),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _vae(config: dict[str, Any], full: bool) -> Callable[[], Any]:
    """The model's own autoencoder, or TAESD's or TAESDXL's architecture, which is the default of
    AutoencoderTiny. Its latents are not scaled: its own factor is 1 for both families."""
    return (lambda: AutoencoderKL.from_config(config)) if full else AutoencoderTiny


def _config(family: str, part: str) -> dict[str, Any]:
    name = "scheduler_config.json" if part == "scheduler" else "config.json"
    text = (single_file.CONFIGS / family / part / name).read_text(encoding="utf-8")
    config: dict[str, Any] = json.loads(text)
    return config


def random_sd_turbo(hardware: Hardware, full_vae: bool = False, tiny: bool = False) -> Any:
    """A StableDiffusionPipeline with SD-Turbo's exact architecture and the tiny or full decoder.

    tiny, here and below: the same blocks, narrow and for 64x64 pixels.
    """
    unet, vae, text = dict(UNET), dict(VAE), dict(TEXT)
    if tiny:
        heads = {"attention_head_dim": (1, 1, 2, 2), "block_out_channels": (32, 32, 64, 64)}
        unet |= {"sample_size": 8, "cross_attention_dim": 64, **heads}
        vae, text = vae | TINY_VAE, text | TINY_TEXT
    return _sd(hardware, unet, vae, text, EulerDiscreteScheduler(**EULER), full_vae)


def random_sd15(hardware: Hardware, full_vae: bool = False, tiny: bool = False) -> Any:
    """As `random_sd_turbo`: Stable Diffusion 1.5's architecture with LCM's scheduler."""
    unet, vae, text = (_config("sd15", part) for part in ("unet", "vae", "text_encoder"))
    if tiny:
        unet |= {"sample_size": 8, "block_out_channels": (32, 32, 64, 64)}
        unet |= {"attention_head_dim": 2, "cross_attention_dim": 64}
        vae, text = vae | TINY_VAE, text | TINY_TEXT
    euler = EulerDiscreteScheduler.from_config(_config("sd15", "scheduler"))
    return _sd(hardware, unet, vae, text, LCMScheduler.from_config(euler.config), full_vae)


def random_sdxl_turbo(hardware: Hardware, full_vae: bool = False, tiny: bool = False) -> Any:
    """A StableDiffusionXLPipeline with SDXL-Turbo's exact architecture, as `random_sd_turbo`."""
    unet, vae = _config("sdxl", "unet"), _config("sdxl", "vae")
    unet["sample_size"] = SDXL_TURBO_SIZE
    texts = [_config("sdxl", part) for part in ("text_encoder", "text_encoder_2")]
    if tiny:
        time_size = unet["addition_time_embed_dim"]
        unet |= {"sample_size": 8, "block_out_channels": (32, 32, 64)}
        unet |= {"attention_head_dim": (1, 1, 2), "transformer_layers_per_block": (1, 1, 2)}
        unet["cross_attention_dim"] = 2 * 64  # both text encoders
        unet["projection_class_embeddings_input_dim"] = 64 + 6 * time_size
        vae, texts = vae | TINY_VAE, [text | TINY_TEXT for text in texts]
    euler = _config("sdxl", "scheduler") | {"timestep_spacing": "trailing"}
    first, second = (CLIPTextConfig(**text) for text in texts)
    pipe = StableDiffusionXLPipeline(
        vae=_random(_vae(vae, full_vae), hardware, 2),
        text_encoder=_random(lambda: CLIPTextModel(first), hardware, 3),
        text_encoder_2=_random(lambda: CLIPTextModelWithProjection(second), hardware, 4),
        tokenizer=HashTokenizer(),
        tokenizer_2=HashTokenizer(),
        unet=_random(lambda: UNet2DConditionModel.from_config(unet), hardware, 1),
        scheduler=EulerAncestralDiscreteScheduler.from_config(euler),
        add_watermarker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


RANDOM: dict[str, Callable[..., Any]] = {
    "sd-turbo": random_sd_turbo,
    "sdxl-turbo": random_sdxl_turbo,
    "sd15": random_sd15,
}


def load(
    folder: Path | None,
    hardware: Hardware,
    full_vae: bool = False,
    name: str = "sd-turbo",
    tiny: bool = False,
) -> Any:
    """The pipeline in `folder`, or for None the one of RANDOM with this name."""
    if folder is None:
        return RANDOM[name](hardware, full_vae, tiny)
    return load_pipeline(folder, hardware)


def write(folder: Path) -> None:
    """SD-Turbo's architecture with random weights as a model's folder, in float16. Its decoder is
    the tiny one, which DECODER=full takes as it is."""
    pipe = load(None, hardware.choose("auto"))
    pipe.tokenizer = clip_tokenizer("!")
    pipe.to(dtype=torch.float16).save_pretrained(folder, variant="fp16")


def gflop(pipe: Any, vae: Any) -> float:
    """GFLOP of one frame, UNet and decoder, counted on the meta device.

    Call it before the engine gets the pipeline: the counter ignores fused operators.
    """
    config = pipe.unet.config
    size = config.sample_size
    shape = (1, config.in_channels, size, size)
    with torch.device("meta"), torch.no_grad():
        unet = type(pipe.unet).from_config(dict(config)).eval()
        decoder = type(vae).from_config(dict(vae.config)).eval()
        embedding = torch.empty(1, 77, config.cross_attention_dim)
        with FlopCounterMode(display=False) as counter:
            unet(torch.empty(shape), torch.tensor([999.0]), embedding)
            decoder.decode(torch.empty(shape))
    return counter.get_total_flops() / 1e9

"""Stable Diffusion 1 and 2 (SD-Turbo, the demo model): one text encoder."""

from __future__ import annotations

from typing import Any

from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from turbostream.engine.model.families.family import Family
from turbostream.engine.model.prompt_encoder import PromptEncoder


def _read(pipe: Any) -> PromptEncoder:
    return PromptEncoder(pipe.tokenizer, pipe.text_encoder)


FAMILY = Family(
    StableDiffusionPipeline,
    {
        "unet": UNet2DConditionModel,
        "vae": "AutoencoderKL",
        "text_encoder": CLIPTextModel,
        "tokenizer": CLIPTokenizer,
        "scheduler": "EulerDiscreteScheduler",
    },
    _read,
    {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False},
)

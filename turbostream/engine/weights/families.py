"""The pipelines that this program opens, one row each. No torch, no diffusers.

`engine/model/families` has the torch side of each row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

UNET = "UNet2DConditionModel"
DIFFUSERS = ("diffusion_pytorch_model", "diffusion_pytorch_model")
TRANSFORMERS = ("model", "pytorch_model")
# Names of weights without their endings: of .safetensors, and of the pickles that are refused.
STEMS = {
    "unet": DIFFUSERS,
    "vae": DIFFUSERS,
    "text_encoder": TRANSFORMERS,
    "text_encoder_2": TRANSFORMERS,
}
CONFIGS = {
    "unet": ("config.json",),
    "vae": ("config.json",),
    "text_encoder": ("config.json",),
    "text_encoder_2": ("config.json",),
    "scheduler": ("scheduler_config.json",),
    "tokenizer": ("tokenizer_config.json",),
    "tokenizer_2": ("tokenizer_config.json",),
}


@dataclass(frozen=True)
class Row:
    """One pipeline class.

    name: the family's, as in `engine/model/families`. components: those loaded. classes: the only
    classes supported, of the components where others exist. example: a model of one step. lora: a
    few-step LoRA for models of many steps, by the width of the UNet's cross attention. added: what
    the UNet takes beside the words (`addition_embed_type`).
    """

    name: str
    title: str
    pipeline: str
    components: tuple[str, ...]
    classes: Mapping[str, str]
    added: str | None
    example: str
    lora: Mapping[int, str]

    @property
    def needed(self) -> dict[str, tuple[str, ...]]:
        """The files that each component needs besides its weights."""
        return {component: CONFIGS[component] for component in self.components}


SD = Row(
    name="sd",
    title="Stable Diffusion 1.x or 2.x",
    pipeline="StableDiffusionPipeline",
    components=("unet", "vae", "text_encoder", "scheduler", "tokenizer"),
    classes={"unet": UNET, "text_encoder": "CLIPTextModel"},
    added=None,
    example="stabilityai/sd-turbo",
    lora={768: "latent-consistency/lcm-lora-sdv1-5"},
)
SDXL = Row(
    name="sdxl",
    title="SDXL",
    pipeline="StableDiffusionXLPipeline",
    components=(*SD.components, "text_encoder_2", "tokenizer_2"),
    classes={**SD.classes, "text_encoder_2": "CLIPTextModelWithProjection"},
    added="text_time",
    example="stabilityai/sdxl-turbo",
    lora={2048: "latent-consistency/lcm-lora-sdxl"},
)
KNOWN = (SD, SDXL)
# Latent consistency models of Stable Diffusion have its components; only their UNets differ.
CONSISTENCY = "LatentConsistencyModelPipeline"
ROWS = {row.pipeline: row for row in KNOWN} | {CONSISTENCY: SD}
SUPPORTED = " and ".join(f"{row.title} ({row.pipeline})" for row in KNOWN)
EXAMPLES = " or ".join(row.example for row in KNOWN)
# Beginnings of pipeline classes that people may expect to work; the longest that fits counts.
OTHERS = {
    "Flux": "FLUX",
    "StableDiffusion3": "Stable Diffusion 3",
    "Sana": "SANA",
    "SanaSprint": "SANA-Sprint",
    "PixArt": "PixArt",
    "Kandinsky": "Kandinsky",
    "StableCascade": "Stable Cascade",
    "LatentConsistencyModelImg2Img": "a pipeline from pictures",
    "StableDiffusionInpaint": "an inpainting model",
    "StableDiffusionXLInpaint": "an inpainting model",
    "StableDiffusionXLImg2Img": "the SDXL refiner",
    "StableDiffusionInstructPix2Pix": "a model that edits pictures",
    "QwenImage": "Qwen-Image",
    "ZImage": "Z-Image",
    "Wan": "a video model",
}


def other(pipeline: str) -> str | None:
    """The common name of an unsupported pipeline class, or None."""
    known = [start for start in OTHERS if pipeline.startswith(start)]
    return OTHERS[max(known, key=len)] if known else None

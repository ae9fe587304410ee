"""The demo model's four parts: sizes, initial weights, and the folder.

The text encoder, UNet and decoder are the stock classes of transformers and diffusers, so the
folder loads with plain `AutoPipelineForText2Image.from_pretrained`.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import (
    AutoencoderTiny,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from training import scene, tokens, vocabulary

LATENT_CHANNELS = 16
LATENT_SIZE = 32
IMAGE_SIZE = 256
TEXT_WIDTH = 128
BLOCKS = (32, 64, 128, 192)
CARRIED = 8  # noise channels whose local means the initial weights pass down the UNet
LAST_TIMESTEP = 999


@dataclass
class Parts:
    """The pipeline's components; it has no safety checker."""

    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    unet: UNet2DConditionModel
    vae: AutoencoderTiny
    scheduler: EulerDiscreteScheduler


def build(seed: int) -> Parts:
    """Untrained parts; the same weights for the same seed."""
    torch.manual_seed(seed)
    tokenizer = tokens.build()
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=TEXT_WIDTH, intermediate_size=4 * TEXT_WIDTH,
            projection_dim=TEXT_WIDTH, num_hidden_layers=4, num_attention_heads=4,
            max_position_embeddings=tokens.MAX_TOKENS, hidden_act="quick_gelu",
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=LATENT_SIZE, in_channels=LATENT_CHANNELS, out_channels=LATENT_CHANNELS,
        block_out_channels=BLOCKS, layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        mid_block_type=None,
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        cross_attention_dim=TEXT_WIDTH, attention_head_dim=4, norm_num_groups=8,
    )  # fmt: skip
    vae = AutoencoderTiny(
        latent_channels=LATENT_CHANNELS,
        encoder_block_out_channels=(16, 16, 16, 16), num_encoder_blocks=(0, 0, 1, 3),
        decoder_block_out_channels=(16, 16, 16, 16), num_decoder_blocks=(3, 3, 1, 0),
    )  # fmt: skip
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1,
        timestep_spacing="trailing", prediction_type="sample", num_train_timesteps=1000,
    )  # fmt: skip
    carry_means(unet)
    leave_means(vae)
    return Parts(tokenizer, text_encoder, unet, vae, scheduler)


@torch.no_grad()
def carry_means(unet: UNet2DConditionModel) -> None:
    """Set initial weights that pass the local means of the noise down to the smallest feature map.

    The renderer derives place, size and tilt from channel means. A mean over 1,024 cells is too
    weak a signal to survive random weights. Therefore the first channels of the residual path start
    as an orthonormal low-pass filter (2x2 Haar), which keeps its variance at 1 on every level.
    """
    kept = range(CARRIED)
    unet.conv_in.weight[:CARRIED] = 0
    for c in kept:
        unet.conv_in.weight[c, c, 1, 1] = 1
    for block in unet.down_blocks:
        for resnet in block.resnets:
            resnet.conv2.weight[:CARRIED] = 0
            resnet.conv2.bias[:CARRIED] = 0
            if resnet.conv_shortcut is not None:
                resnet.conv_shortcut.weight[:CARRIED] = 0
                resnet.conv_shortcut.bias[:CARRIED] = 0
                for c in kept:
                    resnet.conv_shortcut.weight[c, c, 0, 0] = 1
        for sampler in block.downsamplers or ():
            sampler.conv.weight[:CARRIED] = 0
            sampler.conv.bias[:CARRIED] = 0
            for c in kept:
                sampler.conv.weight[c, c, 1:, 1:] = 0.5


@torch.no_grad()
def leave_means(vae: AutoencoderTiny) -> None:
    """Set the encoder's weights for the channels whose means give the layout to zero.

    Training never changes them (see `OneStep.encode_source`), so a source leaves these channels of
    the noise as they are, and lean, light and drift follow from it as without a source.
    """
    for layer in vae.encoder.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    last = vae.encoder.layers[-1]
    clouds = nn.functional.interpolate(torch.rand(4, 3, 8, 8), size=IMAGE_SIZE, mode="bicubic")
    last.weight /= vae.encoder(clouds * 2 - 1).std()
    last.weight[: scene.MEANS] = 0
    last.bias[: scene.MEANS] = 0


def load(folder: Path) -> Parts:
    """The parts in a folder written by `save`, in float32."""
    pipeline = StableDiffusionPipeline.from_pretrained(str(folder), dtype=torch.float32)
    return Parts(
        pipeline.tokenizer, pipeline.text_encoder, pipeline.unet, pipeline.vae, pipeline.scheduler
    )


def copy_of(parts: Parts) -> Parts:
    """The same weights in new modules."""
    return copy.deepcopy(parts)


def first_sigma(scheduler: EulerDiscreteScheduler) -> float:
    """The noise level of the one step, as in the pipeline."""
    scheduler.set_timesteps(1)
    return float(scheduler.sigmas[0])


def timestep_of(strength: Tensor) -> Tensor:
    """The timestep of each strength in 0..1."""
    return ((1000 * strength).round().long() - 1).clamp(0, LAST_TIMESTEP)


class OneStep(nn.Module):
    """Token ids and noise -> picture: exactly the pipeline's one step, as a trainable module."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.text_encoder, self.unet, self.vae = parts.text_encoder, parts.unet, parts.vae
        sigma = first_sigma(parts.scheduler)
        self.input_scale = sigma / (sigma**2 + 1) ** 0.5
        self.register_buffer("timestep", torch.tensor(LAST_TIMESTEP), persistent=False)
        share = parts.scheduler.alphas_cumprod.float()
        self.sigmas = tuple(((1 - share) / share).sqrt().tolist())
        used = (torch.arange(LATENT_CHANNELS) >= scene.MEANS).float()[None, :, None, None]
        self.register_buffer("used", used, persistent=False)

    def encode(self, token_ids: Tensor) -> Tensor:
        """[B, T] -> [B, T, TEXT_WIDTH]."""
        return self.text_encoder(token_ids)[0]

    def denoise(self, noise: Tensor, text: Tensor) -> Tensor:
        """[B, C, 32, 32] unit noise -> latent of the same shape."""
        return self.unet(noise * self.input_scale, self.timestep, text, return_dict=False)[0]

    def encode_source(self, picture: Tensor) -> Tensor:
        """[B, 3, H, W] in 0..1 -> [B, C, H / 8, W / 8], without gradient in the first channels."""
        return self.vae.encoder(picture * 2 - 1) * self.used * self.vae.config.scaling_factor

    def noised(self, noise: Tensor, source: Tensor, timestep: Tensor) -> Tensor:
        """The UNet's input from an encoded source: noise of the timestep's level added, scaled.

        timestep: integers [B], as `timestep_of` gives them.
        """
        sigma = scene.constant(self.sigmas, noise.device)[timestep][:, None, None, None]
        return (source + sigma * noise) / (sigma**2 + 1).sqrt()

    def denoise_at(self, sample: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
        """The UNet's input at each row's timestep [B] -> latent of the same shape."""
        return self.unet(sample, timestep, text, return_dict=False)[0]

    def repaint(
        self, token_ids: Tensor, noise: Tensor, picture: Tensor, strength: Tensor
    ) -> Tensor:
        """Image to image: picture [B, 3, H, W] in 0..1, strength [B] -> picture in -1..1."""
        time = timestep_of(strength)
        sample = self.noised(noise, self.encode_source(picture), time)
        return self.decode(self.denoise_at(sample, time, self.encode(token_ids)))

    def decode(self, latent: Tensor) -> Tensor:
        """[B, C, 32, 32] -> [B, 3, 256, 256] in -1..1, not clipped."""
        return self.vae.decoder(latent)

    def forward(self, token_ids: Tensor, noise: Tensor) -> Tensor:
        """Picture [B, 3, 256, 256] in -1..1, not clipped."""
        return self.decode(self.denoise(noise, self.encode(token_ids)))


def save(parts: Parts, folder: Path) -> None:
    """Write the folder: fp16 safetensors in diffusers' layout, and the vocabulary for the page."""
    pipeline = StableDiffusionPipeline(
        vae=parts.vae, text_encoder=parts.text_encoder, tokenizer=parts.tokenizer,
        unet=parts.unet, scheduler=parts.scheduler, safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    pipeline.to(dtype=torch.float16).save_pretrained(str(folder), safe_serialization=True)
    edit(folder / "text_encoder" / "config.json", {"dtype": "float32"})
    edit(folder / "vae" / "config.json", {"block_out_channels": None})
    for weights in folder.rglob("*.safetensors"):
        weights.chmod(0o644)
    text = json.dumps(vocabulary.as_json(), indent=1, ensure_ascii=False)
    (folder / "words.json").write_text(text + "\n", encoding="utf-8")


def edit(path: Path, changes: dict[str, str | None]) -> None:
    """Set keys of a JSON file; None removes a key.

    transformers would load the text encoder in the dtype in which it was saved and diffusers the
    UNet in float32, but both must agree. AutoencoderTiny writes a key into its config that causes a
    warning when it is read.
    """
    data = json.loads(path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        data.pop(key, None)
        if value is not None:
            data[key] = value
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")

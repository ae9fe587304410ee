"""A small pipeline of SDXL's kind with random weights: two text encoders, a pooled embedding and
time ids."""

from __future__ import annotations

from typing import Any

import torch


def pipeline(seed: int = 0, full_vae: bool = False, levels: int = 4) -> Any:
    """levels: of the full autoencoder, each but the first of which halves the picture's sides."""
    from diffusers import (
        AutoencoderKL,
        AutoencoderTiny,
        EulerAncestralDiscreteScheduler,
        StableDiffusionXLPipeline,
        UNet2DConditionModel,
    )
    from transformers import (
        CLIPTextConfig,
        CLIPTextModel,
        CLIPTextModelWithProjection,
        CLIPTokenizer,
    )

    from turbostream.engine import weights

    torch.manual_seed(seed)
    tokenizers = [
        CLIPTokenizer.from_pretrained(weights.DEMO_FOLDER / "tokenizer") for _ in range(2)
    ]
    tokenizers[1].pad_token = "!" if "!" in tokenizers[1].get_vocab() else "a"
    words = {
        "vocab_size": len(tokenizers[0]),
        "num_hidden_layers": 3,
        "max_position_embeddings": tokenizers[0].model_max_length,
        "bos_token_id": tokenizers[0].bos_token_id,
        "eos_token_id": tokenizers[0].eos_token_id,
    }
    first = {"hidden_size": 48, "intermediate_size": 96, "num_attention_heads": 4}
    second = {"hidden_size": 80, "intermediate_size": 96, "num_attention_heads": 4}
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2),
        cross_attention_dim=48 + 80,
        attention_head_dim=(2, 4),
        norm_num_groups=8,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=40 + 6 * 8,
    )
    with torch.no_grad():  # words and sizes must matter in a model that was never trained
        for name, parameter in unet.named_parameters():
            if ("attn2" in name or "add_embedding" in name) and parameter.ndim > 1:
                parameter.mul_(4)
    full = {
        "block_out_channels": (8,) * levels,
        "norm_num_groups": 4,
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
        "scaling_factor": 0.13025,
        "force_upcast": True,
    }
    pipe = StableDiffusionXLPipeline(
        vae=AutoencoderKL(**full) if full_vae else AutoencoderTiny(),
        text_encoder=CLIPTextModel(CLIPTextConfig(**words, **first)),
        text_encoder_2=CLIPTextModelWithProjection(
            CLIPTextConfig(**words, **second, projection_dim=40)
        ),
        tokenizer=tokenizers[0],
        tokenizer_2=tokenizers[1],
        unet=unet,
        scheduler=EulerAncestralDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            timestep_spacing="trailing",
            steps_offset=1,
        ),
        add_watermarker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    for part in (pipe.unet, pipe.vae, pipe.text_encoder, pipe.text_encoder_2):
        part.eval().requires_grad_(False)
    return pipe

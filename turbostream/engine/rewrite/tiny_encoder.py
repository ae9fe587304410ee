"""AutoencoderTiny's encoder with bias, addition and ReLU fused into its convolutions.

The mirror image of the decoder, at the same cost: see `tiny_decoder.py`, whose convolutions and
blocks it takes. Runs on the engine's thread.
"""

from __future__ import annotations

from diffusers.models.autoencoders.vae import AutoencoderTinyBlock, EncoderTiny
from torch import nn

from turbostream import private_names
from turbostream.engine.rewrite import packed
from turbostream.engine.rewrite.tiny_decoder import FusedBlock, fused_convolution
from turbostream.library_check import usable


def fuse(encoder: nn.Module, device: str) -> bool:
    """Rewrite `encoder` in place; False, and nothing is changed, if it is of another kind."""
    if not isinstance(encoder, EncoderTiny) or device not in ("cuda", "cpu"):
        return False
    if not usable(private_names.TINY_ENCODER):
        return False
    blocks = [layer for layer in encoder.layers if isinstance(layer, AutoencoderTinyBlock)]
    if any(len(one.conv) != 5 or not isinstance(one.conv[1], nn.ReLU) for one in blocks):
        return False
    conv = fused_convolution(device)
    encoder.layers = nn.Sequential(
        *(
            FusedBlock(layer, conv) if isinstance(layer, AutoencoderTinyBlock) else layer
            for layer in encoder.layers
        )
    )
    if device == "cpu" and packed.available():
        packed.pack(encoder)
    return True

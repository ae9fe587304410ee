"""cuDNN's fused convolutions, reached by private names of torch, on a real card."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from turbostream.engine.cuda import parity
from turbostream.engine.rewrite import tiny_decoder


@pytest.mark.cuda
@pytest.mark.parametrize("bias", [True, False])
def test_cudnns_convolution_is_the_plain_one_in_one_pass(bias: bool) -> None:
    conv = nn.Conv2d(64, 64, 3, padding=1, bias=bias)
    conv = conv.to("cuda", torch.float16, memory_format=torch.channels_last)
    x, add = (
        torch.randn(2, 64, 32, 32, device="cuda", dtype=torch.float16).to(
            memory_format=torch.channels_last
        )
        for _ in range(2)
    )
    fused, plain = tiny_decoder.fused_convolution("cuda")(conv), tiny_decoder.PlainConv(conv)
    assert type(fused) is tiny_decoder.CudnnConv
    with torch.inference_mode():
        assert parity.relative_error(fused(x), plain(x)) < parity.UNET_LIMIT
        assert parity.relative_error(fused(x, add), plain(x, add)) < parity.UNET_LIMIT

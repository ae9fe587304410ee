"""A technique whose private names are gone is left out, with one line in the log, and the picture
stays the same."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable

import pytest
import torch
from diffusers.models.autoencoders.vae import DecoderTiny
from torch import nn

from tests.engine.conftest import CPU, pipeline
from turbostream import private_names
from turbostream.engine.cuda import parity
from turbostream.engine.model.model import Model
from turbostream.engine.rewrite import joined, tiny_decoder, traced
from turbostream.library_check import Use

Noise = Callable[..., torch.Tensor]
PROMPT = "a red star"


@pytest.fixture
def rename(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Use]:
    """As if the library had renamed all that a row of the table lists."""

    def renamed(row: str) -> Use:
        use: Use = getattr(private_names, row)
        names = {f"{name}_renamed": given for name, given in use.names.items()}
        other = dataclasses.replace(use, names=names)
        monkeypatch.setattr(private_names, row, other)
        return other

    return renamed


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    "row",
    [
        "PACKED",
        "TIME_EMBEDDING",
        "FUSED_PROJECTIONS",
        "END_OF_TRANSFORMER",
        "ENLARGEMENT",
        "TINY_DECODER",
    ],
)
def test_a_model_without_the_technique_paints_the_same_and_says_so_once(
    row: str,
    rename: Callable[[str], Use],
    model: Model,
    noise_of_seed: Noise,
    caplog: pytest.LogCaptureFixture,
) -> None:
    use = rename(row)
    other = Model(pipeline(), CPU)
    noise, embedding = noise_of_seed(3), model.encode_prompt(PROMPT).tensor[None]
    with torch.inference_mode():
        latents, expected = (one.denoise(noise, embedding) for one in (other, model))
        pixels = other.decode(latents).int() - model.decode(expected).int()
    assert parity.relative_error(latents, expected) < 1e-5
    assert int(pixels.abs().max()) <= 1
    lines = said(caplog)
    assert len(lines) == 1
    assert lines[0].startswith(f"[init] {use.library} ")
    assert lines[0].endswith(f"{use.without}.")


def test_a_unet_runs_untraced_where_torch_cannot_trace(
    rename: Callable[[str], Use],
    model: Model,
    noise_of_seed: Noise,
    caplog: pytest.LogCaptureFixture,
) -> None:
    use = rename("TRACING")
    graph = traced.TracedGraph(model.denoise)
    embedding = model.encode_prompt(PROMPT).tensor[None]
    with torch.inference_mode():
        for seed in range(traced.CALLS + 2):
            noise = noise_of_seed(seed)
            got = graph(noise=noise, prompt_embedding=embedding)
            assert torch.equal(got, model.denoise(noise, embedding))
    assert [line.endswith(f"{use.without}.") for line in said(caplog)] == [True]


def test_on_a_gpu_plain_convolutions_take_the_place_of_cudnns(
    rename: Callable[[str], Use], caplog: pytest.LogCaptureFixture
) -> None:
    assert tiny_decoder.fused_convolution("cuda") is tiny_decoder.CudnnConv
    assert not caplog.records
    use = rename("CUDNN")
    assert tiny_decoder.fused_convolution("cuda") is tiny_decoder.PlainConv
    assert [line.endswith(f"{use.without}.") for line in said(caplog)] == [True]


def test_a_plain_convolution_adds_before_it_cuts_off() -> None:
    conv, x, add = nn.Conv2d(4, 6, 3, padding=1), torch.randn(1, 4, 8, 8), torch.randn(1, 6, 8, 8)
    with torch.inference_mode():
        plain = tiny_decoder.PlainConv(conv)
        assert torch.equal(plain(x), conv(x).relu())
        assert torch.equal(plain(x, add), (conv(x) + add).relu())


# -- the decoder whose last two convolutions become one --------------------------------------------


def decoder() -> DecoderTiny:
    """Of the demo model's kind: nothing between its last two convolutions."""
    torch.manual_seed(0)
    made = DecoderTiny(4, 3, (1, 0), (8, 8), 2, "relu", "nearest")
    return made.eval().requires_grad_(False).to(memory_format=torch.channels_last)


@pytest.mark.parametrize("with_onednn", [True, False])
def test_the_last_two_convolutions_become_one(
    with_onednn: bool, rename: Callable[[str], Use], caplog: pytest.LogCaptureFixture
) -> None:
    if not with_onednn:
        rename("PACKED")
    fused, latents = decoder(), torch.randn(2, 4, 8, 8)
    assert tiny_decoder.fuse(fused, "cpu")
    assert type(fused.layers[-1]) is joined.JoinedConvs
    with torch.inference_mode():
        torch.testing.assert_close(fused(latents), decoder()(latents), rtol=1e-4, atol=1e-5)
    assert len(said(caplog)) == (not with_onednn and torch.backends.mkldnn.is_available())


@pytest.mark.parametrize("factor", [1.1, float("nan")])
def test_two_convolutions_stay_apart_where_one_gives_another_picture(
    factor: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    forward = joined.JoinedConvs.forward
    monkeypatch.setattr(joined.JoinedConvs, "forward", lambda self, x: forward(self, x) * factor)
    fused, latents = decoder(), torch.randn(2, 4, 8, 8)
    assert tiny_decoder.fuse(fused, "cpu")
    assert not any(isinstance(layer, joined.JoinedConvs) for layer in fused.layers)
    with torch.inference_mode():
        torch.testing.assert_close(fused(latents), decoder()(latents), rtol=1e-4, atol=1e-5)
    assert len(said(caplog)) == 1
    assert "stay apart" in said(caplog)[0]

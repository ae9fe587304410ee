"""Each technique on top of the ones before it: milliseconds of one frame's device work.

    python -m benchmarks.ladder [--random-weights]

On a GPU each rung is an own CUDA graph of UNet and decoder, so that launching costs nothing; on
a CPU it is the call itself.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

import torch

from benchmarks import measures, models
from benchmarks.engine import Bench, add_options
from turbostream.engine import folded, gate, packed, tiny
from turbostream.engine.graph import Graph
from turbostream.engine.model import KLDecoder, schedule_of
from turbostream.engine.step import Decode, Denoise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser)
    bench = Bench(parser.parse_args())
    device, dtype, cuda = bench.device.device, bench.device.dtype, bench.cuda
    pipe: Any = models.load(bench.folder, bench.device)
    schedule = schedule_of(pipe.scheduler)
    own = type(pipe.vae).__name__ == "AutoencoderTiny"
    decoder = pipe.vae.decoder if own else KLDecoder(pipe.vae)
    denoise = Denoise(pipe.unet, schedule, dtype).to(device)
    decode = Decode(decoder, pipe.vae.config.scaling_factor, dtype).to(device)
    size = pipe.unet.config.sample_size
    noise = torch.randn(1, pipe.unet.config.in_channels, size, size, device=device)
    words = torch.randn(1, 77, pipe.unet.config.cross_attention_dim, device=device, dtype=dtype)

    def nhwc() -> None:
        for module in (denoise, decode):
            module.to(memory_format=torch.channels_last)

    rungs: list[tuple[str, Callable[[], object]]] = [
        ("PyTorch's own kernels, NCHW", lambda: None),
        ("channels_last", nhwc),
        ("query, key and value fused", lambda: folded.fuse_qkv(pipe.unet)),
        ("time embedding folded", lambda: folded.fold_time(pipe.unet, schedule.timestep)),
        ("decoder's convolutions fused", lambda: tiny.fuse(decoder, device.type)),
    ]
    if not cuda and packed.available():
        rungs.append(("convolutions packed for oneDNN", lambda: packed.pack(pipe.unet)))
    with torch.inference_mode():
        first = denoise(noise, words)
        for name, change in rungs:
            change()
            error = gate.relative_error(denoise(noise, words), first)
            times = [
                _ms(lambda n, w: denoise(n, w), noise, words, cuda),
                _ms(lambda n, w, latents=first: decode(latents), noise, words, cuda),
            ]
            print(f"{name:34} unet {times[0]:8.2f}  decoder {times[1]:8.2f}  error {error:.1e}")
            bench.row[name] = [round(ms, 2) for ms in times]
    print(json.dumps(bench.row))


def _ms(paint: Any, noise: torch.Tensor, words: torch.Tensor, cuda: bool) -> float:
    if not cuda:
        return measures.median_ms(lambda: paint(noise, words), "cpu")
    graph = Graph(paint, noise.clone(), words.clone(), torch.cuda.Stream())
    return measures.median_ms(graph.replay, "cuda", 60)


if __name__ == "__main__":
    main()

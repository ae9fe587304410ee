"""The real CUDA graph and streams, of small functions and of a small model."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.engine.conftest import pipeline
from turbostream.engine import jpeg
from turbostream.engine.cuda.graph import Cuda, Graph
from turbostream.engine.cuda.memory_plan import Plan
from turbostream.engine.cuda.parity import PSNR_LIMIT, psnr
from turbostream.engine.cuda.streams import Streams
from turbostream.engine.device.hardware import Hardware
from turbostream.engine.local_engine import LocalEngine
from turbostream.engine.model.inputs import Input, Value
from turbostream.engine.model.model import Model
from turbostream.stream.shot import EarlierFrame, Shot, great_circle

pytestmark = pytest.mark.cuda

INPUTS = (
    Input("noise", (4, 16, 16), torch.float32, staged=True),
    Input("prompt_embedding", (8, 32), torch.float32, staged=False),
)


def paint(noise: torch.Tensor, prompt_embedding: torch.Tensor) -> torch.Tensor:
    """uint8 [B, 16, 16, 4] that depends on every number of its inputs."""
    shade = prompt_embedding.sum((1, 2))[:, None, None, None]
    for _ in range(50):  # long enough for requests to overlap
        noise = (noise + shade).sin()
    return (noise * 127 + 128).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield
    gc.collect()


def shot(number: int) -> dict[str, Value]:
    generator = torch.Generator().manual_seed(number)
    embedding = torch.randn(8, 32, generator=generator).cuda()
    ready = torch.cuda.Event()
    ready.record()
    return {
        "noise": Value(torch.randn(4, 16, 16, generator=generator)),
        "prompt_embedding": Value(embedding, ready),
    }


def expected(values: dict[str, Value]) -> Any:
    inputs = {name: value.tensor[None].cuda() for name, value in values.items()}
    return paint(**inputs)[0].cpu().numpy()


def test_a_replay_gives_what_the_function_gives_for_its_inputs_of_the_moment() -> None:
    device = Cuda(torch.device("cuda"))
    stream = device.stream()
    inputs = {one.name: device.zeros((1, *one.shape), one.dtype) for one in INPUTS}
    graph: Graph = device.capture(stream, paint, inputs)
    for number in range(5):
        values = shot(number)
        for name, value in values.items():
            device.copy(stream, graph.inputs[name], value.tensor[None])
        device.replay(stream, graph)
        device.finish(stream)
        assert (graph.output[0].cpu().numpy() == expected(values)).all()


def test_requests_in_flight_on_two_streams_each_give_their_own_pictures() -> None:
    streams = Streams(Cuda(torch.device("cuda")), Plan(2, 4), paint, INPUTS)
    in_flight: list[tuple[list[dict[str, Value]], Any]] = []

    def land() -> None:
        values, request = in_flight.pop(0)
        for picture, one in zip(request.pixels(), values, strict=True):
            assert (picture == expected(one)).all()
        request.release()

    for number in range(60):
        values = [shot(100 * number + n) for n in range(1 + number % 4)]
        in_flight.append((values, streams.start(values)))
        if len(in_flight) == streams.plan.depth:
            land()
    while in_flight:
        land()
    streams.close()


def test_what_is_installed_is_taken_and_what_cannot_be_captured_is_refused() -> None:
    refused: list[tuple[int, str]] = []
    streams = Streams(
        Cuda(torch.device("cuda")), Plan(1, 1), paint, INPUTS,
        refused=lambda batch, why: refused.append((batch, why)),
    )  # fmt: skip

    def kind() -> str:
        request = streams.start([shot(1)])
        assert (request.pixels()[0] == expected(shot(1))).all()
        request.release()
        return request.kind

    def waits(**inputs: torch.Tensor) -> torch.Tensor:
        torch.cuda.synchronize()  # not allowed while a stream is captured
        return paint(**inputs)

    assert kind() == "graph"
    streams.install("broken", 1, waits)
    assert kind() == "graph"
    assert [batch for batch, _ in refused] == [1]
    streams.install("compile", 1, lambda **inputs: paint(**inputs))
    assert kind() == "compile"
    streams.close()


def test_the_engines_graphs_paint_as_the_plain_path_does() -> None:
    hardware = Hardware(torch.device("cuda"), torch.float16, "a test")
    pipe = pipeline()
    for part in (pipe.unet, pipe.vae, pipe.text_encoder):
        part.to(hardware.device, hardware.dtype)
    model = Model(pipe, hardware)
    assert model.encode_prompt.capture(Graph).startswith("graph")
    engine = LocalEngine(model, 95, "test", Plan(2, 4))
    shots = [Shot(((f"a red star, {n}", 1.0),), great_circle(n, n + 1, 0.3)) for n in range(8)]
    engine.verify(shots[: engine.depth])
    assert engine.plan.streams == 2, engine.choices
    pictures = [engine.submit(shots[n : n + 4]) for n in (0, 4)]
    for one, picture in zip(shots, [p for f in pictures for p in f.result()], strict=True):
        plain, _ = engine._plain.paint([model.values(one)])
        pair = (picture.jpeg, jpeg.encode(plain[0], 95))
        assert psnr(*(torch.from_numpy(jpeg.decode(data)) for data in pair)) > PSNR_LIMIT
    engine.close()


def test_the_engines_graphs_from_sources_paint_as_the_plain_path_does() -> None:
    """Mixed with shots from noise alone, every one with its own picture and strength."""

    def resolve(source: Any, width: int, height: int) -> Any:
        coarse = np.random.default_rng(source.number).integers(0, 256, (8, 8, 3), np.uint8)
        return np.repeat(np.repeat(coarse, height // 8, 0), width // 8, 1)

    hardware = Hardware(torch.device("cuda"), torch.float16, "a test")
    pipe = pipeline()
    with torch.no_grad():  # a source must matter in an encoder that was never trained
        pipe.vae.encoder.layers[-1].weight.mul_(40)
    for part in (pipe.unet, pipe.vae, pipe.text_encoder):
        part.to(hardware.device, hardware.dtype)
    engine = LocalEngine(Model(pipe, hardware, resolve=resolve), 95, "test", Plan(2, 4))
    words = [Shot((("a red star", 1.0),), great_circle(n, n + 1, 0.3)) for n in range(16)]
    pictures = [
        replace(one, source=EarlierFrame(n + 1), strength=(n + 1) / 16)
        for n, one in enumerate(words)
    ]
    batches = [kind[n : n + 4] for n in range(0, 16, 4) for kind in (pictures, words)]
    futures = [engine.submit(shots) for shots in batches]
    assert engine.choices["acceleration_source"].startswith("graph"), engine.choices
    for shots, future in zip(batches, futures, strict=True):
        for one, picture in zip(shots, future.result(), strict=True):
            assert "graph" in picture.fingerprint
            plain, _ = engine._plain.paint([engine.model.values(one)])
            pair = (picture.jpeg, jpeg.encode(plain[0], 95))
            assert psnr(*(torch.from_numpy(jpeg.decode(data)) for data in pair)) > PSNR_LIMIT
    engine.close()

"""LoRAs of the engine: each shot is painted with the weights that it names, on every path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.engine.conftest import CPU, pipeline
from tests.engine.cuda.simulated import Device
from tests.engine.model.lora_writer import ATTENTION, write
from turbostream.engine.cuda.memory_plan import Plan
from turbostream.engine.cuda.streams import Streams
from turbostream.engine.device.cpu_share import CpuShare
from turbostream.engine.local_engine import LocalEngine
from turbostream.engine.model.model import Model
from turbostream.engine.weights.lora_files import LoraFile
from turbostream.stream.shot import Shot, ShotError

SHOTS = [Shot.single("a red heart", seed) for seed in range(4)]
WEIGHTS: tuple[tuple[tuple[str, float], ...], ...] = (
    (), (("ink", 0.5),), (("ink", 2.0), ("pixel", 0.7)), (("pixel", 1.0),), (), (("ink", 0.5),),
)  # fmt: skip
WANTED = [replace(shot, adapters=used) for used in WEIGHTS for shot in SHOTS]


class OnStreams(LocalEngine):
    """The engine with simulated CUDA streams."""

    def make_streams(self, plan: Plan, *what: Any) -> Streams:
        self.device = Device(0.01)
        return Streams(self.device, plan, *what)


@pytest.fixture
def files(tmp_path: Path) -> list[LoraFile]:
    return [
        write(tmp_path / "ink.safetensors", pipeline(), (*ATTENTION, "conv1"), ("mlp.fc1",)),
        write(tmp_path / "pixel.safetensors", pipeline(), ("conv",), kohya=True, seed=2),
    ]


def engine_of(files: list[LoraFile], kind: str) -> LocalEngine:
    model = Model(pipeline(), CPU, loras=files)
    if kind == "streams":
        return OnStreams(model, 90, "a test", Plan(2, 4, 1))
    share = CpuShare(2, 1, "a test") if kind == "painters" else None
    return LocalEngine(model, 90, "a test", Plan(0, 1), share=share)


@pytest.fixture(params=["plain", "painters", "streams"])
def engine(files: list[LoraFile], request: pytest.FixtureRequest) -> Iterator[LocalEngine]:
    made = engine_of(files, request.param)
    yield made
    made.close()
    if isinstance(made, OnStreams):
        made.device.close()


def test_shots_in_flight_keep_the_weights_that_they_were_submitted_with(
    files: list[LoraFile], engine: LocalEngine
) -> None:
    one_by_one = engine_of(files, "plain")
    wanted = [one_by_one.submit([shot]).result()[0].jpeg for shot in WANTED]
    assert len(set(wanted)) == len(SHOTS) * 4
    in_flight: list[Any] = []
    found: list[bytes] = []
    for shot in WANTED:
        in_flight.append(engine.submit([shot]))
        if len(in_flight) == engine.depth:
            found.append(in_flight.pop(0).result()[0].jpeg)
    found += [future.result()[0].jpeg for future in in_flight]
    assert found == wanted
    one_by_one.close()


def test_an_adapter_that_is_not_loaded_is_refused_and_changes_nothing(engine: LocalEngine) -> None:
    before = engine.submit([WANTED[4]]).result()[0].jpeg
    with pytest.raises(ShotError, match="'other', which is not loaded"):
        engine.submit([replace(SHOTS[0], adapters=(("other", 1.0),))])
    assert engine.submit([WANTED[4]]).result()[0].jpeg == before
    assert engine.capabilities.adapters == ("ink", "pixel")


def test_weights_at_rest_are_merged_once(engine: LocalEngine) -> None:
    merges = engine.model.loras.merges
    for shot in SHOTS * 2:
        engine.submit([replace(shot, adapters=(("ink", 0.5),))]).result()
    assert engine.model.loras.merges == merges + 1
    assert torch.is_inference_mode_enabled() is False

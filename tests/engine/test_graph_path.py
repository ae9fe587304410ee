"""Shots of several steps in flight, over a simulated device that runs asynchronously."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import LCMScheduler

from tests.engine.conftest import CPU, pipeline
from tests.engine.simulated_engine import FULL, Open, engines_of
from tests.engine.test_source_path import Compiler, each, in_flight, resolve, shot, words
from turbostream.engine import local_engine
from turbostream.engine.cuda.background_compiler import Outcome
from turbostream.engine.cuda.memory_plan import Plan
from turbostream.engine.cuda.streams import Streams
from turbostream.engine.graph_path import name_of
from turbostream.engine.model.model import Kind, Model

PLAIN = Plan(0, 1)


@pytest.fixture(scope="module")
def lcm_model() -> Model:
    """Made for four steps, each of which adds noise."""
    pipe = pipeline()
    with torch.no_grad():  # a source must matter in an encoder that was never trained
        pipe.vae.encoder.layers[-1].weight.mul_(40)
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    pipe.scheduler = LCMScheduler(**betas)
    return Model(pipe, CPU, resolve=resolve)


@pytest.fixture
def open_engine(lcm_model: Model, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    with engines_of(lcm_model, monkeypatch) as open_one:
        yield open_one


def test_shots_of_every_number_of_steps_take_turns_in_flight(open_engine: Open) -> None:
    plain, engine = open_engine(PLAIN), open_engine(delay_s=0.002)
    shots = [replace(words(n), steps=steps) for n in range(2) for steps in (None, 1, 2, 4)]
    wanted = each(plain, shots)
    assert in_flight(engine, [[one] for one in shots]) == wanted
    assert len(set(wanted)) == 6  # None is 4
    opened = {name for name in engine.choices if name.startswith("acceleration")}
    assert opened == {"acceleration_1_step", "acceleration_2_steps"}


def test_strengths_that_take_different_numbers_of_steps_are_split_in_order(
    open_engine: Open,
) -> None:
    plain, engine = open_engine(PLAIN), open_engine(delay_s=0.002)
    shots = [shot(n, strength) for n, strength in enumerate((0.2, 0.3, 0.6, 0.55, 1.0, 0.1), 1)]
    pictures = engine.submit(shots).result()
    assert [picture.jpeg for picture in pictures] == each(plain, shots)
    assert all("graph" in picture.fingerprint for picture in pictures)


def test_the_fresh_noise_of_another_shot_would_be_seen(
    open_engine: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, engine = open_engine(PLAIN), open_engine()
    pair = [words(1), words(2)]
    wanted = each(plain, pair)
    assert in_flight(engine, [pair]) == wanted
    start = Streams.start

    def swapped(self: Streams, values: Any) -> Any:
        one, other = values
        return start(self, [{**one, "fresh": other["fresh"]}, {**other, "fresh": one["fresh"]}])

    monkeypatch.setattr(Streams, "start", swapped)
    got = in_flight(engine, [pair])
    assert got[0] != wanted[0]
    assert got[1] != wanted[1]


def test_one_code_serves_every_number_of_steps_and_sources(
    open_engine: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(local_engine, "BackgroundCompiler", Compiler)
    engine = open_engine()
    engine.compile_in_background(tmp_path, {})
    compiler: Any = engine.compiler
    assert compiler.timed
    kinds = [words(1), replace(words(1), steps=2), shot(1, 0.6)]
    before = each(engine, kinds[:2])
    engine._codes[False]._report(Outcome(1, "compile: a test", engine.model.sampler.step))
    before += each(engine, kinds[2:])  # opened after the code was there
    pictures = [engine.submit([one]).result()[0] for one in kinds]
    assert {picture.fingerprint for picture in pictures} == {"test compile batch-1"}
    assert [picture.jpeg for picture in pictures] == before
    assert engine._codes.keys() == {False}
    assert compiler.requested == [1]
    assert engine.choices["acceleration"] == "compile: a test"


def test_graphs_of_other_kinds_make_room_before_the_plan_shrinks(open_engine: Open) -> None:
    wanted = each(open_engine(PLAIN), [replace(words(1), steps=n) for n in (4, 2, 1)])
    engine = open_engine(FULL)
    got = each(engine, [replace(words(1), steps=n) for n in (4, 2)])
    taken, refused = engine.device.taken, []
    make = engine.make_streams

    def full_once(*what: Any) -> Streams:
        if not refused:
            refused.append(taken)
            raise torch.OutOfMemoryError("CUDA out of memory. (simulated)")
        return make(*what)

    engine.path(Kind(1))._make = full_once
    got += each(engine, [replace(words(1), steps=1)])
    assert got == wanted
    assert refused
    assert engine.plan == FULL
    assert not engine.path(Kind(2, fresh=True)).is_open
    assert engine.path(engine.model.own_kind).is_open


def test_each_kind_has_a_name_in_the_status() -> None:
    turbo, lcm = Kind(), Kind(4, fresh=True)
    names = [name_of(kind, turbo) for kind in (turbo, Kind(source=True), Kind(3), lcm)]
    assert names == [
        "acceleration", "acceleration_source", "acceleration_3_steps", "acceleration_4_steps",
    ]  # fmt: skip
    assert name_of(Kind(1), lcm) == "acceleration_1_step"
    assert name_of(Kind(2, True, True), lcm) == "acceleration_2_steps_source"


def test_guided_shots_have_graphs_of_their_own_and_code_of_twice_their_batch(
    open_engine: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(local_engine, "BackgroundCompiler", Compiler)
    plain, engine = open_engine(PLAIN), open_engine()
    guided = [
        replace(words(n), steps=2, guidance=1.0 + n, negative=((away, 1.0),))
        for n, away in ((1, "red"), (2, "grey"))
    ]
    wanted = each(plain, guided)
    assert len({*wanted, *each(plain, [replace(words(n), steps=2) for n in (1, 2)])}) == 4
    assert "acceleration_2_steps_guidance" not in engine.choices
    assert in_flight(engine, [guided, guided[:1]]) == [*wanted, wanted[0]]
    assert engine.choices["acceleration_2_steps_guidance"].startswith("graph")
    engine.compile_in_background(tmp_path, {})
    compiler: Any = engine.compiler
    assert set(compiler.requested) == {1, 2}
    batches = []

    def step(**inputs: Any) -> torch.Tensor:
        batches.append(len(inputs["sample"]))
        found: torch.Tensor = engine.model.sampler.step(**inputs)
        return found

    for batch in (1, 2):
        engine._codes[False]._report(Outcome(batch, f"compile: of {batch}", step))
    picture = engine.submit(guided[:1]).result()[0]
    assert (picture.jpeg, picture.fingerprint) == (wanted[0], "test compile batch-1")
    assert set(batches) == {2}
    assert engine.choices["acceleration_2_steps_guidance"] == "compile: of 2"

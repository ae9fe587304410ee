"""Shots from a source in flight, over a simulated device that runs asynchronously."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.engine.conftest import CPU, pipeline
from tests.engine.cuda.simulated import PATIENCE_S, Device
from tests.engine.simulated_engine import FULL, Open, engines_of
from turbostream.engine import local_engine
from turbostream.engine.cuda.background_compiler import Outcome
from turbostream.engine.cuda.memory_plan import Plan
from turbostream.engine.cuda.streams import StagingBuffer, Streams
from turbostream.engine.local_engine import LocalEngine
from turbostream.engine.model.model import Kind, Model
from turbostream.engine.rewrite.timesteps import TimeTable
from turbostream.stream.engine_api import Picture, batch_key
from turbostream.stream.shot import EarlierFrame, Shot, ShotError, Source, great_circle

PLAIN = Plan(0, 1)
SOURCE = Kind(source=True)


def resolve(source: Source, width: int, height: int) -> NDArray[np.uint8]:
    assert isinstance(source, EarlierFrame)
    if source.number > 1000:
        raise ShotError("The picture is gone.")
    coarse = np.random.default_rng(source.number).integers(0, 256, (8, 8, 3), np.uint8)
    return np.repeat(np.repeat(coarse, height // 8, 0), width // 8, 1)


@pytest.fixture(scope="module")
def source_model() -> Model:
    pipe = pipeline()
    with torch.no_grad():  # a source must matter in an encoder that was never trained
        pipe.vae.encoder.layers[-1].weight.mul_(40)
    return Model(pipe, CPU, resolve=resolve)


@pytest.fixture
def open_engine(source_model: Model, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    with engines_of(source_model, monkeypatch) as open_one:
        yield open_one


def words(number: int) -> Shot:
    return Shot(
        ((f"a {'red' if number % 2 else 'blue'} star", 1.0),), great_circle(number, 99, 0.3)
    )


def shot(number: int, strength: float | None = None) -> Shot:
    """From the source of this number."""
    strength = strength or (number % 9 + 1) / 10
    return replace(words(number), source=EarlierFrame(number), strength=strength)


def each(engine: LocalEngine, shots: list[Shot]) -> list[bytes]:
    return [engine.submit([one]).result()[0].jpeg for one in shots]


def in_flight(engine: LocalEngine, submissions: list[list[Shot]]) -> list[bytes]:
    """The pictures of submissions, with as many in flight as the engine takes."""
    waiting: list[Future[list[Picture]]] = []
    got: list[bytes] = []
    for shots in submissions:
        waiting.append(engine.submit(shots))
        if len(waiting) >= engine.depth:
            got += [picture.jpeg for picture in waiting.pop(0).result()]
    return got + [picture.jpeg for future in waiting for picture in future.result()]


def test_every_picture_is_the_one_of_its_own_source_and_strength(open_engine: Open) -> None:
    plain, engine = open_engine(PLAIN), open_engine(delay_s=0.002)
    shots = [shot(number) for number in range(1, 25)]
    wanted = each(plain, shots)
    assert in_flight(engine, [[one] for one in shots]) == wanted
    assert len(set(wanted)) == len(wanted)
    assert engine.choices["acceleration_source"].startswith("graph: ")


def test_shots_with_and_without_a_source_take_turns_in_flight(open_engine: Open) -> None:
    plain, engine = open_engine(PLAIN), open_engine(delay_s=0.002)
    shots = [make(number) for number in range(1, 17) for make in (shot, words)]
    assert in_flight(engine, [[one] for one in shots]) == each(plain, shots)


def test_batches_of_every_size_of_both_kinds_in_flight_keep_their_order(open_engine: Open) -> None:
    plain, engine = open_engine(PLAIN), open_engine(delay_s=0.002)
    sizes = (3, 8, 1, 5, 2)
    submissions = [
        [make(10 * size + n) for n in range(size)] for size in sizes for make in (shot, words)
    ]
    wanted = each(plain, [one for shots in submissions for one in shots])
    assert in_flight(engine, submissions) == wanted


def test_one_source_at_many_strengths_and_many_sources_at_one(open_engine: Open) -> None:
    engine = open_engine()
    strengths = [replace(shot(5), strength=n / 8) for n in range(1, 9)]
    sources = [replace(shot(5, 0.4), source=EarlierFrame(n)) for n in range(1, 9)]
    for shots in (strengths, sources):
        pictures = [picture.jpeg for picture in engine.submit(shots).result()]
        assert len(set(pictures)) == 8
        assert pictures == each(engine, shots)


def test_shots_with_and_without_a_source_in_one_submission_are_painted_too(
    open_engine: Open,
) -> None:
    engine = open_engine()
    pair = [shot(1), words(1)]
    assert batch_key(pair[0]) != batch_key(pair[1])
    assert batch_key(shot(1)) == batch_key(shot(2))
    pictures = engine.submit(pair).result()
    assert [picture.jpeg for picture in pictures] == each(engine, pair)
    assert {picture.fingerprint for picture in pictures} == {"test graph batch-1"}


def test_the_resolvers_picture_may_change_once_the_shot_is_submitted(
    source_model: Model, open_engine: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_engine(delay_s=0.02)
    (wanted,) = each(engine, [shot(1)])
    buffer = resolve(EarlierFrame(1), *source_model.own_size)
    monkeypatch.setattr(source_model.pictures, "_resolve", lambda *_: buffer)
    future = engine.submit([shot(1)])
    buffer[:] = 0
    assert future.result()[0].jpeg == wanted


@pytest.mark.parametrize("plan", [PLAIN, FULL])
def test_a_dimmed_picture_comes_with_the_one_that_later_frames_start_from(
    open_engine: Open, plan: Plan
) -> None:
    engine = open_engine(plan)
    bright, dimmed = engine.submit([shot(1), replace(shot(1), brightness=0.3)]).result()
    assert (bright.undimmed, dimmed.undimmed) == (b"", bright.jpeg)
    assert dimmed.jpeg != bright.jpeg


# -- mistakes --------------------------------------------------------------------------------------


def test_two_sources_swapped_within_a_batch_would_be_seen(
    open_engine: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, engine = open_engine(PLAIN), open_engine()
    shots = [shot(number, 0.5) for number in (1, 2)]
    wanted = each(plain, shots)
    assert in_flight(engine, [shots]) == wanted
    start = Streams.start

    def swapped(self: Streams, values: Any) -> Any:
        one, other = values
        return start(self, [{**one, "source": other["source"]}, {**other, "source": one["source"]}])

    monkeypatch.setattr(Streams, "start", swapped)
    got = in_flight(engine, [shots])
    assert got[0] != wanted[0]
    assert got[1] != wanted[1]


def test_a_row_of_the_table_that_stays_behind_would_be_seen(
    open_engine: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, engine = open_engine(PLAIN), open_engine()
    shots = [shot(number, strength) for number, strength in ((1, 0.3), (2, 0.9))]
    wanted = each(plain, shots)
    assert in_flight(engine, [shots]) == wanted
    row = TimeTable.row
    monkeypatch.setattr(TimeTable, "row", lambda self, timestep: row(self, 299))
    got = in_flight(engine, [shots])
    assert got[0] == wanted[0]
    assert got[1] != wanted[1]


def test_one_staging_buffer_for_all_that_is_in_flight_would_be_seen(
    open_engine: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_engine()
    shots = [shot(number, 0.5) for number in range(1, engine.depth + 1)]
    wanted = each(engine, shots)
    shared = torch.zeros(8, 64, 64, 3, dtype=torch.uint8)
    streams = engine.path(SOURCE)._streams
    assert streams is not None
    buffers: list[StagingBuffer] = [streams._free.get() for _ in shots]
    for buffer in buffers:
        buffer.inputs["source"] = shared
        streams._free.put(buffer)
    staged = threading.Semaphore(0)
    start = Streams.start

    def counted(self: Streams, values: Any) -> Any:
        started = start(self, values)
        staged.release()
        return started

    monkeypatch.setattr(Streams, "start", counted)
    engine.device.running.clear()  # no copy happens before all are staged
    futures = [engine.submit([one]) for one in shots]
    for _ in shots:
        assert staged.acquire(timeout=PATIENCE_S)
    engine.device.running.set()
    got = [future.result()[0].jpeg for future in futures]
    assert [one == other for one, other in zip(got, wanted, strict=True)] == [False, False, True]


# -- what does not work ----------------------------------------------------------------------------


@pytest.mark.parametrize("plan", [PLAIN, FULL])
def test_a_picture_that_is_gone_fails_one_shot_and_the_next_ones_are_painted(
    open_engine: Open, plan: Plan
) -> None:
    engine = open_engine(plan)
    with pytest.raises(ShotError, match=r"^The picture is gone\.$"):
        engine.submit([shot(1001)])
    assert each(engine, [shot(1), words(1)])


def test_an_engine_without_a_resolver_says_so(model: Model) -> None:
    assert not model.capabilities.sources
    with pytest.raises(ShotError, match="starts from noise only"):
        model.values(shot(1))


def test_a_source_at_another_size_takes_the_plain_path(open_engine: Open) -> None:
    engine = open_engine()
    picture = engine.submit([replace(shot(1), width=128, height=64)]).result()[0]
    assert picture.fingerprint == "test plain batch-1"


def test_no_room_for_the_graphs_from_a_source_makes_less_of_both(open_engine: Open) -> None:
    single = 4 * 8 * 8 * 4 + 40 * 128 * 4  # bytes of one shot's noise and prompt embedding
    engine = open_engine(Plan(2, 8), budget=3 * single)
    wanted = each(open_engine(PLAIN), [words(1), shot(1), words(2)])
    assert engine.plan.streams == 2
    assert each(engine, [words(1), shot(1), words(2)]) == wanted
    assert engine.plan.streams < 2
    assert "did not fit" in engine.choices["memory"]


def test_graphs_that_cannot_be_captured_leave_text_to_image_as_it_is(
    open_engine: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = open_engine()

    def refuse(*_: Any) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing\nstack")

    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
        patched.setattr(Device, "capture", refuse)
        assert engine.submit([shot(1)]).result()[0].fingerprint == "test plain batch-1"
    assert "no graph can be captured" in engine.choices["acceleration_source"]
    assert len(caplog.records) == 1
    assert engine.submit([shot(1)]).result()[0].fingerprint == "test plain batch-1"
    assert engine.submit([words(1)]).result()[0].fingerprint == "test graph batch-1"


def test_graphs_that_paint_something_else_are_given_up_for_the_plain_path(
    open_engine: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    (wanted,) = each(open_engine(PLAIN), [shot(1)])
    engine = open_engine()
    paint = Model.paint
    monkeypatch.setattr(Model, "paint", lambda self, **inputs: 255 - paint(self, **inputs))
    assert each(engine, [shot(1)]) == [wanted]
    assert "differs from the plain one" in engine.choices["acceleration_source"]


# -- compiled code ---------------------------------------------------------------------------------


class Compiler:
    """In the background compiler's place: notes what is asked for."""

    def __init__(self, *given: Any, timed: bool) -> None:
        self.given, self.timed = given, timed
        self.requested: list[int] = []

    def request(self, batch: int) -> None:
        if batch not in self.requested:  # as the real one does
            self.requested.append(batch)

    def close(self) -> bool:
        return True


def test_code_is_asked_for_at_the_first_shot_from_a_source_and_taken_between_two_frames(
    open_engine: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(local_engine, "BackgroundCompiler", Compiler)
    engine = open_engine()
    engine.compile_in_background(tmp_path, {})
    each(engine, [words(1)])
    assert engine._codes.keys() == {True}
    before = engine.submit([shot(1)]).result()[0]
    engine.submit([shot(1), shot(2), shot(3)]).result()
    compiler: Any = engine._codes[False].compiler
    assert compiler.timed
    assert compiler.requested == [1, 4]
    engine._codes[False]._report(Outcome(1, "compile: a test", engine.model.sampler.step))
    after = [engine.submit([shot(1)]).result()[0] for _ in range(3)]
    assert {picture.fingerprint for picture in after} == {"test compile batch-1"}
    assert {picture.jpeg for picture in after} == {before.jpeg}
    assert engine.choices["acceleration_source"] == "compile: a test"
    assert engine.submit([words(1)]).result()[0].fingerprint == "test graph batch-1"


def test_code_that_cannot_be_captured_leaves_the_graph(open_engine: Open) -> None:
    engine = open_engine()
    each(engine, [shot(1)])

    def broken(**inputs: Any) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing")

    engine.path(SOURCE).install(Outcome(1, "compile: a test", broken))
    assert engine.submit([shot(1)]).result()[0].fingerprint == "test graph batch-1"
    assert "could not be captured" in engine.choices["acceleration_source"]

"""How frames share a CPU's cores, and that painters side by side paint what one alone paints."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import pytest
import torch

from tests.engine.conftest import CPU, pipeline
from turbostream.engine.cuda.memory_plan import Plan
from turbostream.engine.device.cpu_share import MOST_PARAMETERS, CpuShare, share
from turbostream.engine.local_engine import LocalEngine
from turbostream.engine.model.model import Model
from turbostream.engine.opening import share_of
from turbostream.stream.engine_api import Picture
from turbostream.stream.shot import Shot


@pytest.mark.parametrize(
    ("cores", "painters", "threads"),
    [(1, 1, 1), (2, 2, 1), (3, 2, 1), (4, 3, 1), (8, 4, 1), (16, 4, 3), (64, 4, 15)],
)
def test_a_small_model_paints_frames_side_by_side(cores: int, painters: int, threads: int) -> None:
    found = share(cores, 6_000_000)
    assert (found.painters, found.threads) == (painters, threads)
    assert painters * threads <= max(cores - 1, min(cores, 2))


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 2), (3, 2), (16, 15)])
def test_a_large_model_takes_all_cores_for_one_frame(cores: int, threads: int) -> None:
    found = share(cores, MOST_PARAMETERS + 1)
    assert (found.painters, found.threads) == (1, threads)


def test_engines_on_one_machine_share_its_cores(pipe: Any) -> None:
    shared = share_of(pipe, CPU, sharing=1000)  # more than it has cores
    assert shared is not None
    assert (shared.painters, shared.threads) == (1, 1)


def engine_of(painters: int | None) -> LocalEngine:
    own = None if painters is None else CpuShare(painters, 1, "a test")
    return LocalEngine(Model(pipeline(), CPU), 85, "test", Plan(0, 1), share=own)


def painted(engine: LocalEngine, amount: int) -> list[Picture]:
    """With as many shots in flight as the engine asks for."""
    pictures: list[Picture] = []
    flights: deque[Any] = deque()
    for seed in range(amount):
        flights.append(engine.submit([Shot.single(f"star {seed % 3}", seed)]))
        while len(flights) >= engine.depth:
            pictures += flights.popleft().result(60)
    for one in flights:
        pictures += one.result(60)
    return pictures


def test_side_by_side_the_pictures_and_their_order_are_those_of_one_thread() -> None:
    """More of them than a painter needs before it traces."""
    alone, together = engine_of(None), engine_of(3)
    try:
        assert (alone.depth, together.depth) == (1, 4)
        wanted = [one.jpeg for one in painted(alone, 40)]
        assert [one.jpeg for one in painted(together, 40)] == wanted
        assert len(set(wanted)) == 40
    finally:
        alone.close()
        together.close()


def test_painters_are_at_work_at_the_same_time_and_end_with_the_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = engine_of(2)
    both, paint, threads = threading.Barrier(2, timeout=30), engine._plain.paint, set()

    def meet(values: Any) -> Any:
        both.wait()
        threads.add((threading.current_thread().name, torch.get_num_threads()))
        return paint(values)

    monkeypatch.setattr(engine._plain, "paint", meet)
    first, second = (engine.submit([Shot.single("a star", seed)]) for seed in (1, 2))
    assert first.result(60)[0].jpeg != second.result(60)[0].jpeg
    assert threads == {("painter_0", 1), ("painter_1", 1)}
    engine.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("painter")]


def test_an_error_of_one_frame_reaches_only_its_own_future(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of(2)
    paint = engine._plain.paint

    def fail(values: Any) -> Any:
        if float(values[0]["noise"].tensor.flatten()[0]) == broken:
            raise RuntimeError("a broken frame")
        return paint(values)

    shots = [Shot.single("a star", seed) for seed in (1, 2)]
    broken = float(engine.model.values(shots[0])["noise"].tensor.flatten()[0])
    monkeypatch.setattr(engine._plain, "paint", fail)
    first, second = (engine.submit([shot]) for shot in shots)
    with pytest.raises(RuntimeError, match="a broken frame"):
        first.result(60)
    assert second.result(60)[0].jpeg
    engine.close()

"""Compiling in the background, with the compiler's process replaced by what each test needs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from turbostream.engine.cuda import aot, background_compiler
from turbostream.engine.cuda.background_compiler import (
    BackgroundCompiler,
    CompileFailed,
    Outcome,
    compile_apart,
)
from turbostream.engine.model.model import Model

Start = Callable[..., "Run"]


class Run:
    """A background compiler and what it reported."""

    def __init__(self, model: Model, folder: Path, timed: bool) -> None:
        self.outcomes: list[Outcome] = []
        report = self.outcomes.append
        self.compiler = BackgroundCompiler(model, folder, (None, None), report, timed=timed)

    @property
    def installed(self) -> list[int]:
        return [outcome.batch for outcome in self.outcomes if outcome.step is not None]

    @property
    def said(self) -> list[str]:
        return [outcome.choice for outcome in self.outcomes]

    def compile(self, batch: int = 1) -> None:
        self.compiler.request(batch)
        assert self.compiler.wait(batch, 60)


@pytest.fixture
def start(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    runs: list[Run] = []

    def start_one(compiler: Any = None, call: Any = model.denoise, timed: bool = False) -> Run:
        def writes(job: aot.Job, path: Path, stopping: threading.Event) -> None:
            path.write_bytes(job.as_json().encode())

        monkeypatch.setattr(background_compiler, "compile_apart", compiler or writes)
        monkeypatch.setattr(aot, "load", lambda path, denoise, inputs: call)
        runs.append(Run(model, tmp_path / "compiled", timed))
        return runs[-1]

    yield start_one
    for run in runs:
        run.compiler.close(60)


def test_compiled_code_that_paints_the_same_is_handed_over(start: Start) -> None:
    run = start()
    run.compile()
    assert run.installed == [1]
    assert run.said == ["compile: Inductor's code under the graph, compiled in the background"]


def test_the_second_start_takes_it_from_the_cache(start: Start) -> None:
    start().compile()

    def never(*_: Any) -> None:
        raise AssertionError("compiled again")

    run = start(compiler=never)
    run.compile()
    assert run.said == ["compile: Inductor's code under the graph, from the cache"]


def test_each_batch_size_is_compiled_once(start: Start) -> None:
    run = start()
    for batch in (1, 4, 1, 4):
        run.compile(batch)
    assert run.installed == [1, 4]


def test_it_keeps_no_weights_of_a_model_that_is_released(start: Start) -> None:
    kept = vars(start().compiler).values()
    assert not any(isinstance(one, torch.nn.Module) for one in kept)


def test_code_that_paints_something_else_is_refused_and_forgotten(
    start: Start, model: Model, tmp_path: Path
) -> None:
    run = start(call=lambda **inputs: model.denoise(**inputs) * 1.1)
    run.compile()
    assert run.installed == []
    assert run.said[0].startswith(
        "graph: Inductor's code was rejected: the UNet's output differs by"
    )
    assert list((tmp_path / "compiled").glob("*.pt2")) == []


def test_a_compiler_that_dies_is_one_sentence_and_the_next_batch_is_tried(start: Start) -> None:
    deaths = []

    def dies(job: aot.Job, path: Path, stopping: threading.Event) -> None:
        deaths.append(job.batch)
        raise CompileFailed("the compiler failed: no space left on device")

    run = start(compiler=dies)
    run.compile(1)
    run.compile(2)
    assert deaths == [1, 2]
    assert run.installed == []
    assert run.said[0] == (
        "graph: Inductor's code was rejected: the compiler failed: no space left on device"
    )


def test_the_compilers_process_that_fails_gives_its_last_words(
    model: Model, tmp_path: Path
) -> None:
    job = aot.job_of(model.denoise, 1, model.inputs(None, None), "no such device")
    with pytest.raises(CompileFailed, match="the compiler failed: .*device"):
        compile_apart(job, tmp_path / "x.pt2", threading.Event())
    assert list(tmp_path.iterdir()) == []


def test_a_compilers_process_that_crashes_is_one_sentence(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it did where the linker took libstdc++ statically: loading the code ended the process."""
    crash = tmp_path / "python"
    crash.write_text("#!/bin/sh\ncat >/dev/null; kill -s SEGV $$\n")
    crash.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(crash))
    job = aot.job_of(model.denoise, 1, model.inputs(None, None), "cpu")
    with pytest.raises(CompileFailed, match="ended by SIGSEGV"):
        compile_apart(job, tmp_path / "x.pt2", threading.Event())


def test_a_stop_ends_the_compilers_process(model: Model, tmp_path: Path) -> None:
    job = aot.job_of(model.denoise, 1, model.inputs(None, None), "cpu")
    stopping = threading.Event()
    stopping.set()
    with pytest.raises(CompileFailed, match="stopped"):
        compile_apart(job, tmp_path / "x.pt2", stopping)


def test_a_job_survives_its_way_to_the_other_process(model: Model) -> None:
    job = aot.job_of(model.denoise, 2, model.inputs(None, None), "cpu")
    assert aot.Job.from_json(job.as_json()) == job


@pytest.mark.parametrize("batch", [1, 4])
def test_the_step_at_any_timestep_is_compared_with_several_of_them(
    start: Start, model: Model, tmp_path: Path, batch: int
) -> None:
    step = model.sampler.step
    for call, fits in ((step, True), (lambda time, **rest: step(time=time * 0, **rest), False)):
        run = start(call=call, timed=True)
        run.compile(batch)
        assert run.installed == ([batch] if fits else [])
        assert list((tmp_path / "compiled").glob("*.pt2")) != [] or not fits

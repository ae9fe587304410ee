"""Two runs at once, an engine that fails, signals, and a screen that closes."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from concurrent.futures import Future

import pytest

from tests.batch.program import BatchEngine, Program
from turbostream.stream.shot import Shot


def test_a_second_run_at_the_same_time_is_refused_with_one_sentence(program: Program) -> None:
    program.write("a\n")
    program.out.mkdir()
    held = os.open(program.out, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert program() == 2
    finally:
        os.close(held)
    assert program.said == (
        "Another run is painting into pictures: wait until it has ended, or give another folder.\n"
    )
    assert program.engines == []
    assert program() == 0


def test_while_one_run_paints_another_is_refused(program: Program) -> None:
    program.write("a\nb\n")
    statuses = []

    def second(_: object) -> None:
        if not statuses:
            statuses.append(0)
            held = program.next_engine
            program.next_engine = None
            statuses[0] = program._main(["prompts.txt", "pictures"])
            program.next_engine = held

    program.next_engine = BatchEngine(second)
    assert program() == 0
    assert statuses == [2]
    assert len((program.out / "manifest.jsonl").read_text().splitlines()) == 2


def test_an_error_raised_by_submit_costs_only_its_picture(program: Program) -> None:
    class Raising(BatchEngine):
        def submit(self, shots) -> Future:
            if any(shot.prompt == "b" for shot in shots):
                raise RuntimeError("no such size")
            return super().submit(shots)

    program.write("a\nb\nc\n")
    program.next_engine = Raising()
    assert program() == 1
    assert "000002.jpg (line 2 of the prompts) failed (RuntimeError: no such size)" in program.said
    assert sorted(program.prompts().values()) == ["a", "c"]


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
def test_a_signal_ends_it_with_one_sentence_and_the_next_run_goes_on(
    program: Program, number: signal.Signals, status: int
) -> None:
    program.write("".join(f"{n}\n" for n in range(12)))

    def interrupt(shot: Shot) -> None:
        if shot.prompt == "9":
            os.kill(os.getpid(), number)
            threading.Event().wait(5)  # the handler runs in this thread: it raises here

    program.next_engine = BatchEngine(interrupt)
    assert program() == status
    assert "Interrupted; the same command continues from here." in program.said
    assert "Traceback" not in program.said
    here = len(program.manifest())
    assert 0 < here < 12
    program.next_engine = None
    assert program() == 0
    assert len(program.painted) == 12 - here
    assert not list((program.folder / "state/busy").glob("*"))


def test_a_closed_terminal_does_not_end_the_batch(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    program.write("a\nb\n")
    with os.fdopen(writer, "w") as broken:
        monkeypatch.setattr("sys.stderr", broken)
        assert program() == 0
        monkeypatch.undo()
        with pytest.raises(BrokenPipeError):
            broken.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)
    assert len((program.out / "manifest.jsonl").read_text().splitlines()) == 2

"""The table of what fits into how much GPU memory: its rows, its options, and its work on a CPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import memory, memory_one, models
from tests.engine.conftest import CPU
from tests.server import ROOT
from turbostream.engine.model import model as model_module

NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


def order(family: str) -> memory.Order:
    return memory.Order(family, 4.0, "tiny", "off", 10, tiny=True)


def test_a_family_is_opened_and_timed(tmp_path: Path) -> None:
    row = memory_one.measured(order("sdxl-turbo"), CPU, tmp_path)
    assert (row["fits"], row["plan"], row["kind"]) == (True, "the plain path", "plain")
    assert (row["steps"], row["size"]) == (1, [64, 64])
    assert row["fps"] > 0


def test_a_family_that_does_not_fit_is_a_row_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nMore.")

    monkeypatch.setattr(model_module, "Denoise", full)
    row = memory_one.measured(order("sd15"), CPU, tmp_path)
    assert row == {"fits": False, "why": "CUDA out of memory. Tried to allocate 20.00 MiB."}


def test_the_table_has_a_line_for_every_row() -> None:
    fits = {
        "fits": True, "plan": "2 in flight, batches of 8 at most", "kind": "graph",
        "largest_batch": 8, "fps": 131.26, "peak_reserved_gib": 3.5, "card_used_gib": 4.123,
    }  # fmt: skip
    table = memory.table([
        {"family": "sd15", "cap_gib": 12.0} | fits,
        {"family": "sdxl-turbo", "cap_gib": 4.0, "fits": False, "why": "out of memory"},
        {"family": "sdxl-turbo", "cap_gib": 24.0, "fits": None, "why": "the card has 16 GiB"},
        {"family": "sd15", "cap_gib": 4.0, "failed": "status 1: a fault"},
    ])  # fmt: skip
    head, *lines = table.splitlines()
    assert head.split("  ")[0] == "family"
    assert [line.split()[0] for line in lines] == ["sd15", "sdxl-turbo", "sdxl-turbo", "sd15"]
    where = head.index("plan")
    assert [line[where:].split("  ")[0].strip() for line in lines] == [
        "2 in flight, batches of 8 at most (graph)",
        "no: out of memory",
        "not measured: the card has 16 GiB",
        "failed: status 1: a fault",
    ]
    assert lines[0].split()[-4:] == ["8", "131.3", "3.50", "4.12"]
    assert {line.rstrip() for line in lines} == set(lines)


def test_every_family_and_size_of_card_is_measured_unless_others_are_named() -> None:
    options = memory.parsed([])
    assert (options.models, options.caps) == ([*models.RANDOM], [*memory.CAPS])
    assert memory.CAPS == (4, 6, 8, 12, 16, 24)
    options = memory.parsed(["--models", "sd15, sd-turbo", "--caps", "3,4.5"])
    assert (options.models, options.caps) == (["sd15", "sd-turbo"], [3.0, 4.5])


@pytest.mark.parametrize(("given", "sentence"), [
    (["--models", "flux"], "'flux' is none of sd-turbo, sdxl-turbo, sd15"),
    (["--caps", "4,lots"], "'lots' is no number of GiB"),
    (["--caps", "0"], "'0' is no number of GiB"),
    (["--caps", "nan"], "'nan' is no number of GiB"),
    (["--frames", "3"], "--frames must be 10 or more"),
])  # fmt: skip
def test_wrong_options_are_named(
    given: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        memory.parsed(given)
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err


@NO_GPU
def test_without_a_gpu_it_says_so_in_one_sentence() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == memory.NEEDS_A_GPU + "\n"


@NO_GPU
def test_a_process_that_gives_no_row_is_one() -> None:
    row = memory.in_a_process(order("sd15"))
    assert row["failed"].startswith("status 1: ")
    assert "finds no NVIDIA GPU" in row["failed"]
    assert "failed: status 1" in memory.table([row])

"""What fits into how much GPU memory: each family of models under caps of the allocator.

    python -m benchmarks.memory [--models sd-turbo,sdxl-turbo,sd15] [--caps 4,6,8,12,16,24]

For every family and cap a process of its own (`memory_one.py`) opens the family's exact
architecture with random weights and the steps that it is made for, and paints frames in batches of
one, then a batch of eight.
Prints a table and one JSON line: the plan that the engine came to, its rate, the peak of PyTorch's
allocator, which alone is capped, and what the whole card had in use at the end: also CUDA's context
and other programs. Graphs of PyTorch's own kernels by default: with --acceleration compile, the
process that compiles has memory of its own, which is not capped. Needs an NVIDIA GPU. --tiny: the
same blocks with narrow layers, to try this quickly.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.report import emit, machine

ROOT = Path(__file__).resolve().parents[1]
# Those of models.RANDOM, which is not imported: this process must use no memory of the card.
FAMILIES = ("sd-turbo", "sdxl-turbo", "sd15")
CAPS = (4.0, 6.0, 8.0, 12.0, 16.0, 24.0)  # GiB, the sizes of cards
GIB = 2**30
NEEDS_A_GPU = "This benchmark needs an NVIDIA GPU: run it on a machine that has one."
ONE_LIMIT_S = 300.0  # for one family under one cap
COLUMNS = ("family", "cap", "plan", "batch", "frames/s", "peak GiB", "card GiB")

Row = dict[str, Any]


@dataclass(frozen=True)
class Order:
    """What one process measures."""

    family: str
    cap_gib: float
    decoder: str
    acceleration: str
    frames: int
    tiny: bool


def in_a_process(order: Order) -> Row:
    """The row of one family under one cap; with `failed` where the process gave none."""
    row: Row = {"family": order.family, "cap_gib": order.cap_gib}
    command = [sys.executable, "-m", "benchmarks.memory_one", json.dumps(asdict(order))]
    try:
        ended = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=ONE_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return row | {"failed": f"it took more than {ONE_LIMIT_S:.0f} s"}
    lines, said = ended.stdout.splitlines(), ended.stderr.splitlines()
    if ended.returncode != 0 or not lines:
        last = said[-1][:300] if said else "nothing was said"
        return row | {"failed": f"status {ended.returncode}: {last}"}
    found: Row = json.loads(lines[-1])
    return row | found


def cells(row: Row) -> tuple[str, ...]:
    """The row's columns as text."""
    start = (row["family"], f"{row['cap_gib']:g} GiB")
    if not row.get("fits"):
        why = row.get("failed") or row["why"]
        what = "failed" if "failed" in row else "not measured" if row["fits"] is None else "no"
        return (*start, f"{what}: {why}"[:60], "", "", "", "")
    return (
        *start,
        f"{row['plan']} ({row['kind']})",
        str(row["largest_batch"]),
        f"{row['fps']:.1f}",
        f"{row['peak_reserved_gib']:.2f}",
        f"{row['card_used_gib']:.2f}",
    )


def table(rows: Iterable[Row]) -> str:
    """The rows, aligned."""
    lines = [COLUMNS, *map(cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _list(convert: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    def parse(text: str) -> list[Any]:
        return [convert(part.strip()) for part in text.split(",")]

    return parse


def _family(text: str) -> str:
    if text not in FAMILIES:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(FAMILIES)}")
    return text


def _cap(text: str) -> float:
    try:
        cap = float(text)
    except ValueError:
        cap = 0.0
    if not 0.5 <= cap <= 1024:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of GiB from 0.5 to 1024")
    return cap


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    families = ",".join(FAMILIES)
    parser.add_argument("--models", type=_list(_family), default=families, help="families")
    parser.add_argument("--caps", type=_list(_cap), default=list(CAPS), help="in GiB")
    parser.add_argument("--decoder", choices=("tiny", "full"), default="tiny")
    parser.add_argument("--frames", type=int, default=200, help="that are timed")
    parser.add_argument("--acceleration", choices=("off", "graph", "compile"), default="graph")
    parser.add_argument("--tiny", action="store_true", help="narrow layers, 64x64 pixels")
    parser.add_argument("--save", help="write the JSON line to benchmarks/results/ by this name")
    options = parser.parse_args(arguments)
    if options.frames < 10:
        parser.error("--frames must be 10 or more")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    options = parsed(arguments)
    if not torch.cuda.is_available():
        print(NEEDS_A_GPU, file=sys.stderr)
        return 2
    rows = []
    rest = (options.decoder, options.acceleration, options.frames, options.tiny)
    for family in options.models:
        for cap in options.caps:
            rows.append(in_a_process(Order(family, cap, *rest)))
            print("  ".join(cells(rows[-1])).rstrip(), file=sys.stderr, flush=True)
    print(table(rows))
    result = machine() | {
        "gpu": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "decoder": options.decoder,
        "tiny": options.tiny,
        "rows": rows,
    }
    emit(result, options.save)
    return int(any("failed" in row for row in rows))


if __name__ == "__main__":
    sys.exit(main())

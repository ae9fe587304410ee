"""One family of models under one cap of PyTorch's allocator, in this process; `memory.py` starts it
for each row of its table, and reads the JSON line that it prints."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks import memory, models
from benchmarks.source_engine import from_words, timed
from turbostream.engine.device import hardware
from turbostream.engine.local_engine import LocalEngine
from turbostream.engine.opening import MAX_BATCH, warm_up
from turbostream.settings import Settings
from turbostream.stream.engine_api import EngineUnusable


def measured(order: memory.Order, device: hardware.Hardware, state: Path) -> memory.Row:
    """The plan and the rate of one family; `fits` is False where nothing did. state: a folder for
    compiled code."""
    try:
        pipe = models.load(None, device, order.decoder == "full", order.family, order.tiny)
        engine = opened(pipe, order, device, state)
        try:
            ms, kind = timed(engine, from_words, 1, order.frames)
            plan = str(engine.plan)
            engine.submit([from_words(number) for number in range(MAX_BATCH)]).result()
            batch = engine.max_batch
        finally:
            engine.close()
    except (torch.OutOfMemoryError, EngineUnusable) as error:
        return {"fits": False, "why": str(error).strip().partition("\n")[0][:300]}
    return {
        "fits": True,
        "plan": plan,
        "kind": kind,
        "steps": engine.model.steps,
        "size": list(engine.model.own_size),
        "largest_batch": batch,
        "fps": round(1000 / statistics.mean(ms), 2),
    }


def opened(pipe: Any, order: memory.Order, device: hardware.Hardware, state: Path) -> LocalEngine:
    settings = Settings(
        target_fps=1000,
        initial_prompt="three yellow stars on a night sky",
        model_id="demo",
        server_port=0,
        acceleration=order.acceleration,
        state_dir=state,
    )
    choices = {"decoder": f"{order.decoder}: a benchmark", "attention": "sdpa: PyTorch's own"}
    return warm_up(pipe, None, device, "random", choices, settings, lambda _: None)


def main() -> int:
    order = memory.Order(**json.loads(sys.argv[1]))
    device = hardware.choose("cuda")
    total = torch.cuda.get_device_properties(device.device).total_memory
    cap = order.cap_gib * memory.GIB
    if cap > total:
        why = f"the card has {total / memory.GIB:.1f} GiB"
        print(json.dumps({"fits": None, "why": why}))
        return 0
    torch.cuda.set_per_process_memory_fraction(cap / total)
    with tempfile.TemporaryDirectory(prefix="bench-") as state:
        row = measured(order, device, Path(state))
    free, _ = torch.cuda.mem_get_info()
    row |= {
        "peak_reserved_gib": round(torch.cuda.max_memory_reserved() / memory.GIB, 2),
        "peak_allocated_gib": round(torch.cuda.max_memory_allocated() / memory.GIB, 2),
        "card_used_gib": round((total - free) / memory.GIB, 2),
    }
    print(json.dumps(row))
    return 0


if __name__ == "__main__":
    sys.exit(main())

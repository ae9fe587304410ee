"""What every benchmark of the stream reports: the machine, percentiles, and one JSON line."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of the values lie; 0 if there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def machine() -> dict[str, object]:
    """The time, the machine, its load and the versions that matter."""
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": f"{processor()}, {os.cpu_count()} CPUs",
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "gevent": importlib.metadata.version("gevent"),
    }


def processor() -> str:
    """The CPU's name, or its architecture where the name is unavailable."""
    file = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*: (.*)", file.read_text()) if file.exists() else None
    return named[1] if named else platform.machine()


def emit(result: dict[str, object], save: str | None) -> None:
    """Print the JSON line, and write it to benchmarks/results/ if it has a name."""
    line = json.dumps(result)
    print(line)
    if save:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{save}.json").write_text(line + "\n", encoding="utf-8")

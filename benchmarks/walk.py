"""Whether the walk through noise has corners: `python -m benchmarks.walk`.

The path of the walk is compared with the great circles from seed to seed that it replaced. Over 20
seeds, on the noise itself: the largest angle between two successive steps of 1/200 seed (a frame at
0.15 seeds/s and 30 frames/s). On the demo model's pictures of a red circle: by how much the
direction and the speed of its centroid differ before and after each seed, measured over 1/50 seed;
and the same halfway between two seeds, where neither path has a corner. Prints a table and one JSON
line.
"""

from __future__ import annotations

import argparse
import io
import math
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.report import emit, machine
from turbostream.engine import open_engine, weights
from turbostream.engine.model.noise import noise_of
from turbostream.settings import Settings
from turbostream.stream.engine_api import Engine
from turbostream.stream.noise_path import path
from turbostream.stream.shot import Noise, Shot, great_circle

SEEDS = 20
STEPS = 200  # per seed
SPAN = 0.02  # seeds
PROMPT = "a red circle on a white background"
SHAPE = (16, 32, 32)  # of the demo model's noise
Vector = NDArray[np.float64]


def great_circles(seed: int, phase: float) -> Noise:
    passed = math.floor(phase)
    return great_circle(seed + passed, seed + passed + 1, (phase - passed) * math.pi / 2)


PATHS: dict[str, Callable[[int, float], Noise]] = {"circles": great_circles, "path": path}


def angle(one: Vector, other: Vector) -> float:
    """Degrees between two vectors."""
    cosine = one @ other / (np.linalg.norm(one) * np.linalg.norm(other))
    return math.degrees(math.acos(min(1.0, max(-1.0, float(cosine)))))


def largest_angle(way: Callable[[int, float], Noise]) -> tuple[float, float, float]:
    """(degrees between successive steps, radians per seed at the least and at the most)."""
    largest, speeds = 0.0, []
    before = step = None
    for number in range(SEEDS * STEPS + 1):
        noise = noise_of(way(0, number / STEPS), SHAPE).numpy().astype(np.float64).ravel()
        if before is not None:
            last, step = step, noise - before
            speeds.append(float(np.linalg.norm(step) / np.linalg.norm(noise)) * STEPS)
            if last is not None:
                largest = max(largest, angle(last, step))
        before = noise
    return largest, min(speeds), max(speeds)


def centroid(engine: Engine, noise: Noise) -> Vector:
    """(x, y) of the red, in pixels."""
    picture = engine.submit([Shot(((PROMPT, 1.0),), noise)]).result()[0].jpeg
    pixels = np.array(Image.open(io.BytesIO(picture)).convert("RGB")).astype(np.float64)
    red = np.maximum(0.0, pixels[..., 0] - pixels[..., 1:].max(-1) - 30.0)
    rows, columns = np.indices(red.shape)
    return np.array([(red * columns).sum(), (red * rows).sum()]) / red.sum()


def turns(
    engine: Engine, way: Callable[[int, float], Noise], at: float
) -> tuple[list[float], list[float]]:
    """For each seed: degrees between the centroid's velocities before and after `seed + at`, and
    the ratio of the greater of their speeds to the smaller."""
    directions, ratios = [], []
    for number in range(1, SEEDS + 1):
        phase = number + at
        places = [centroid(engine, way(0, phase + step * SPAN)) for step in (-1, 0, 1)]
        first, second = places[1] - places[0], places[2] - places[1]
        directions.append(angle(first, second))
        speeds = sorted(float(np.linalg.norm(velocity)) for velocity in (first, second))
        ratios.append(speeds[1] / speeds[0])
    return directions, ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--save", help="a name in benchmarks/results")
    options = parser.parse_args()
    settings = Settings(target_fps=30, initial_prompt=PROMPT, model_id="demo", server_port=8000)
    engine = open_engine(settings, weights.find("demo", "auto"), lambda status: None)
    rows: dict[str, Any] = {}
    for name, way in PATHS.items():
        largest, least, most = largest_angle(way)
        row: dict[str, Any] = {"largest_angle": largest, "speed": [least, most]}
        print(
            f"{name}: largest angle between two steps {largest:.2f} degrees, "
            f"{least:.2f} to {most:.2f} rad per seed"
        )
        for where, at in (("at seeds", 0.0), ("halfway", 0.5)):
            directions, ratios = turns(engine, way, at)
            row[where] = {
                "direction_median": statistics.median(directions),
                "direction_largest": max(directions),
                "speed_ratio_median": statistics.median(ratios),
                "speed_ratio_largest": max(ratios),
            }
            print(
                f"  centroid {where}: direction changes by {statistics.median(directions):.1f} "
                f"degrees in the median, {max(directions):.1f} at most; speed by a factor of "
                f"{statistics.median(ratios):.2f}, {max(ratios):.2f}",
                flush=True,
            )
        rows[name] = row
    rounded = {
        name: {key: _rounded(value) for key, value in row.items()} for name, row in rows.items()
    }
    emit({"benchmark": "walk", "seeds": SEEDS, **rounded, **machine()}, options.save)
    engine.close()


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: round(number, 2) for key, number in value.items()}
    if isinstance(value, list):
        return [round(number, 3) for number in value]
    return round(value, 2)


if __name__ == "__main__":
    main()

"""How evenly the picture changes during a fade of words: `python -m benchmarks.fades`.

For each of 20 pairs of prompts of the demo model and each easing, a fade of 8 s at 30 frames/s and
held noise: the largest and the median change between neighbouring frames, as the mean absolute
difference of the pixels (0 to 255) of the decoded JPEGs. The spacing of `even` is put in force
after --late-s, as in the program, where the fade is linear until its probes are painted. Prints a
table and one JSON line.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Sequence
from typing import Any

from PIL import Image

from benchmarks.report import emit, machine
from turbostream.engine import open_engine, weights
from turbostream.settings import Settings
from turbostream.stream.engine_api import Engine
from turbostream.stream.even_fade import PROBES, distance, measured, probe, small
from turbostream.stream.even_spacing import spacing
from turbostream.stream.fade import EASINGS
from turbostream.stream.scene import Scene
from turbostream.stream.shot import Shot

FADE_S = 8.0
FPS = 30
LIMIT = 3.0  # the largest change over the median
PAIRS = (
    ("three yellow stars on a night sky", "a red mushroom in the forest"),
    ("a red mushroom in the forest", "a big pink heart on a blue background"),
    ("a big pink heart on a blue background", "a white boat on the sea"),
    ("a white boat on the sea", "a purple butterfly over a field"),
    ("a purple butterfly over a field", "a rocket in space"),
    ("a rocket in space", "two orange fish in the sea"),
    ("two orange fish in the sea", "neon blue cat"),
    ("neon blue cat", "three yellow stars on a night sky"),
    ("a red circle", "a blue square"),
    ("a red circle", "a red square"),
    ("a yellow star", "a green tree"),
    ("a small house in the snow", "a big house on fire"),
    ("many white clouds in the sky", "one black bird at sunset"),
    ("a green umbrella", "a striped umbrella"),
    ("a brown dog on a field", "a grey cat at night"),
    ("a sun over the desert", "a moon over the sea"),
    ("a pencil drawing of a flower", "a neon flower"),
    ("a checked car on paper", "a pastel mountain at dawn"),
    ("a huge blue eye", "a tiny red cross in the middle"),
    ("two pink butterflies in the forest", "many dotted mushrooms in space"),
)


def jpegs(engine: Engine, shots: Sequence[Shot]) -> list[bytes]:
    return [engine.submit([shot]).result()[0].jpeg for shot in shots]


def fading(engine: Engine, pair: tuple[str, str], seed: int, easing: str, late_s: float) -> Scene:
    """The scene whose fade begins at 0."""
    scene = Scene.single(pair[0], "hold", seed=seed)
    scene = scene.changed(0.0, {"prompt": pair[1], "fade_s": FADE_S, "easing": easing})
    if easing != "even":
        return scene

    def painted(positions: Sequence[float]) -> list[Image.Image]:
        return [small(one) for one in jpegs(engine, [probe(scene, at) for at in positions])]

    found = measured(painted)
    assert found is not None
    return scene.with_spacing(spacing(*found, late_s / FADE_S))


def changes(engine: Engine, scene: Scene) -> list[float]:
    """The changes between neighbouring frames of the fade, 0 to 255 each."""
    shots = [scene.shot_at(number / FPS, number) for number in range(round(FADE_S * FPS) + 1)]
    found, before = [], None
    for data in jpegs(engine, shots):
        picture = Image.open(io.BytesIO(data)).convert("RGB")
        if before is not None:
            found.append(distance(before, picture))
        before = picture
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=len(PAIRS))
    parser.add_argument("--easings", nargs="+", choices=EASINGS, default=list(EASINGS))
    parser.add_argument("--late-s", type=float, default=1.5)
    parser.add_argument("--save", help="a name in benchmarks/results")
    options = parser.parse_args()
    settings = Settings(
        target_fps=FPS, initial_prompt=PAIRS[0][0], model_id="demo", server_port=8000
    )
    engine = open_engine(settings, weights.find("demo", "auto"), lambda status: None)
    began = time.monotonic()
    rows: dict[str, list[dict[str, Any]]] = {easing: [] for easing in options.easings}
    columns = [f"{easing:>6}: largest median ratio" for easing in options.easings]
    print("  ".join([f"{'pair':40}", *columns]))
    for seed, pair in enumerate(PAIRS[: options.pairs], 1):
        line = [f"{' -> '.join(pair):40.40}"]
        for easing in options.easings:
            scene = fading(engine, pair, seed, easing, options.late_s)
            found = changes(engine, scene)
            largest, median = max(found), statistics.median(found)
            ratio = largest / median if median else float("inf")
            row = {"largest": round(largest, 2), "median": round(median, 2)}
            rows[easing].append({**row, "ratio": round(ratio, 2)})
            line.append(f"{'':7} {largest:7.2f} {median:6.2f} {ratio:5.1f}")
        print("  ".join(line), flush=True)
    within = {
        easing: sum(row["ratio"] <= LIMIT for row in rows[easing]) for easing in options.easings
    }
    print(f"largest at most {LIMIT:g} x median, of {options.pairs} pairs: {within}")
    result = {"benchmark": "fades", "fade_s": FADE_S, "fps": FPS, "late_s": options.late_s}
    result |= {"probes": PROBES, "engine": engine.fingerprint, "within": within, "rows": rows}
    seconds = round(time.monotonic() - began, 1)
    emit({**result, "seconds": seconds, **machine()}, options.save)
    engine.close()


if __name__ == "__main__":
    main()

"""From a camera's picture to the frame that shows it, and frames/s with and without a source.

`python -m benchmarks.source [--random-weights] [--flashes 60] [--tunnel-delay 100]`

Starts the real server with a separate state folder and the demo model, or SD-Turbo's architecture
with random weights. A camera sends its pictures over the control socket as the page does, --rate a
second, none of them equal to another; one viewer reads /stream and acknowledges frames. Measured
are frames/s without a source, with feedback, and with the camera at each strength; then the time
from a flash of light before the camera to the arrival of the first frame that shows it, judged
in its pixels by what the frames of a dark and of a lit camera look like at --strength. If the
frames do not follow the camera, there is no such time, and a line says so. With --tunnel-delay the
last two also come through ssh (if this machine has sshd) and a relay that adds so many ms in each
direction. Prints a table and one JSON line.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import random
import time
from contextlib import ExitStack
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import tunnel
from benchmarks.camera import Camera, Shown, Viewer, filming, watching
from benchmarks.controllers import program
from benchmarks.delay import delayed
from benchmarks.report import emit, machine, percentile

STRENGTHS = [round(0.1 * tenth, 1) for tenth in range(1, 11)]
WARM_S = 2.0  # after each change of the scene; graphs may be captured meanwhile
LEARN_S = 2.0  # of dark and of lit frames, to learn what they look like
SETTLE_S = 1.0  # until frames from before a switch of the light are gone
LONGEST_WAIT_S = 5.0  # for a frame that shows a flash
THUMBNAIL = 16  # pixels a side: what frames are compared by
FOLLOWS = 2.0  # how much farther apart dark and lit frames are than frames of one kind


def ask(port: int, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The JSON that the server answers; ends the program with its sentence if it refuses."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"Content-Type": "application/json"} if data else {})
        found: dict[str, Any] = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    if "error" in found:
        raise SystemExit(f"{method} {path} was refused: {found['error']}")
    return found


def thumbnail(frame: Shown) -> Any:
    with Image.open(io.BytesIO(frame.jpeg)) as image:
        image.draft("RGB", (THUMBNAIL, THUMBNAIL))
        small = image.convert("RGB").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(small, np.float32)


def apart(one: Any, other: Any) -> float:
    """Mean absolute difference in levels."""
    return float(np.abs(one - other).mean())


class Looks:
    """What the frames of a dark and of a lit camera look like."""

    def __init__(self, viewer: Viewer, camera: Camera) -> None:
        self.means: dict[bool, Any] = {}
        spread = []
        for lit in (False, True):
            camera.lit = lit
            time.sleep(SETTLE_S)
            began = time.time()
            time.sleep(LEARN_S)
            found = [thumbnail(frame) for frame in viewer.since(began)]
            if not found:
                raise SystemExit("No frame came; start the server by hand to see why.")
            self.means[lit] = np.mean(found, axis=0)
            spread += [apart(one, self.means[lit]) for one in found]
        self.between = apart(self.means[False], self.means[True])
        self.within = percentile(spread, 0.95)

    @property
    def differ(self) -> bool:
        return self.between > max(2.0, FOLLOWS * self.within)

    def is_lit(self, frame: Shown) -> bool:
        found = thumbnail(frame)
        return apart(found, self.means[True]) < apart(found, self.means[False])


def rates(port: int, viewer: Viewer, camera: Camera | None, seconds: float) -> dict[str, Any]:
    """What the viewer receives, and what becomes of the camera's pictures."""
    time.sleep(WARM_S)
    before, began = ask(port, "GET", "/status"), time.time()
    taken = camera.taken if camera else 0
    time.sleep(seconds)
    after, lasted_s = ask(port, "GET", "/status"), time.time() - began
    frames = viewer.since(began)
    ages = [(frame.arrival - frame.stamp) * 1000 for frame in frames]
    row: dict[str, Any] = {
        "frames_per_second": round(len(frames) / lasted_s, 2),
        "painted_per_second": round((after["frames"] - before["frames"]) / lasted_s, 2),
        "age_p50_ms": round(percentile(ages, 0.5), 1),
        "age_p95_ms": round(percentile(ages, 0.95), 1),
    }
    if camera:
        pictures = {
            name: after["source"][name] - before["source"][name]
            for name in ("received", "used", "dropped", "refused")
        }
        row["taken_per_second"] = round((camera.taken - taken) / lasted_s, 1)
        row["used_per_second"] = round(pictures["used"] / lasted_s, 1)
        row |= pictures
    return row


def flashes(viewer: Viewer, camera: Camera, count: int) -> dict[str, Any]:
    """Milliseconds from a flash at the camera to the first frame that shows it."""
    looks = Looks(viewer, camera)
    result: dict[str, Any] = {
        "between_levels": round(looks.between, 1),
        "within_levels": round(looks.within, 1),
        "follows": looks.differ,
    }
    if not looks.differ:
        return result
    chance, found, lost = random.Random(1), [], 0
    for _ in range(count):
        time.sleep(chance.uniform(0.25, 0.4))  # at no fixed moment of a frame or of the camera
        known, place, lit = len(camera.flashes), len(viewer.frames), not camera.lit
        camera.lit = lit
        arrival = _first_shown(looks, viewer, place, lit)
        if arrival is None or len(camera.flashes) == known:
            lost += 1
        else:
            found.append((arrival - camera.flashes[-1][0]) * 1000)
    return {
        **result,
        "flashes": len(found),
        "lost": lost,
        "p50_ms": round(percentile(found, 0.5), 1),
        "p95_ms": round(percentile(found, 0.95), 1),
        "max_ms": round(max(found, default=0.0), 1),
    }


def _first_shown(looks: Looks, viewer: Viewer, place: int, lit: bool) -> float | None:
    """The arrival of the first frame from number `place` on that shows this state of the light."""
    deadline = time.time() + LONGEST_WAIT_S
    while time.time() < deadline:
        for frame in viewer.frames[place:]:
            place += 1
            if looks.is_lit(frame) is lit:
                return frame.arrival
        time.sleep(0.002)
    return None


def line(name: str, row: dict[str, Any]) -> str:
    pictures = f"{row.get('taken_per_second', 0):9.1f} {row.get('used_per_second', 0):6.1f}"
    return (
        f"{name:22} {row['frames_per_second']:8.2f} {row['age_p50_ms']:10.1f} "
        f"{row['age_p95_ms']:7.1f} {pictures}"
    )


def told(name: str, row: dict[str, Any]) -> str:
    if not row["follows"]:
        return (
            f"{name}: the model's frames do not follow the source: with a dark and a lit camera "
            f"they differ by {row['between_levels']:g} levels, and among themselves by "
            f"{row['within_levels']:g}; no time to measure."
        )
    return (
        f"{name}: source to screen p50 {row['p50_ms']:g} ms, p95 {row['p95_ms']:g} ms, at most "
        f"{row['max_ms']:g} ms; {row['flashes']} flashes, {row['lost']} never shown"
    )


def scene(port: int, source: str, strength: float = 0.6) -> None:
    ask(port, "PATCH", "/scene", {"source": source, "strength": strength, "fade_s": 0})


def run(port: int, options: argparse.Namespace) -> dict[str, Any]:
    """The numbers of one server, as a table and as a dict."""
    print("source                 frames/s  age ms p50     p95  pictures/s taken   used")
    rows: list[dict[str, Any]] = []

    def note(name: str, row: dict[str, Any]) -> None:
        rows.append({"source": name, **row})
        print(line(name, row), flush=True)

    with watching(port) as viewer:
        scene(port, "none")
        note("none", rates(port, viewer, None, options.seconds))
        scene(port, "feedback")
        note("feedback", rates(port, viewer, None, options.seconds))
        with filming(port, options.rate) as camera:
            for strength in options.strengths:
                scene(port, "picture", strength)
                note(f"camera, {strength:g}", rates(port, viewer, camera, options.seconds))
            scene(port, "picture", options.strength)
            time.sleep(WARM_S)
            times = flashes(viewer, camera, options.flashes)
        scene(port, "none")
        note("none, again", rates(port, viewer, None, options.seconds))
    print(told("direct", times), flush=True)
    found: dict[str, Any] = {"rows": rows, "latency": times}
    if options.tunnel_delay:
        found["tunnel"] = through_tunnel(port, options)
    return {**found, "engine": ask(port, "GET", "/status")["engine"]}


def through_tunnel(port: int, options: argparse.Namespace) -> dict[str, Any]:
    with ExitStack() as stack:
        has_ssh = tunnel.available()
        inner = stack.enter_context(tunnel.tunnel(port, None)) if has_ssh else port
        outer = stack.enter_context(delayed(inner, options.tunnel_delay / 1000))
        scene(port, "picture", options.strength)
        viewer = stack.enter_context(watching(outer))
        camera = stack.enter_context(filming(outer, options.rate))
        row = rates(port, viewer, camera, options.seconds)
        times = flashes(viewer, camera, options.flashes)
    name = f"{'ssh' if has_ssh else 'relay'}, {options.tunnel_delay:g} ms"
    print(line(f"camera, {name}", row), told(name, times), sep="\n", flush=True)
    return {"ssh": has_ssh, "delay_ms": options.tunnel_delay, **row, "latency": times}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--random-weights", action="store_true", help="SD-Turbo's architecture")
    parser.add_argument("--model", default="demo", help="MODEL_ID: a name or a folder")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement of frames")
    parser.add_argument("--flashes", type=int, default=60)
    parser.add_argument("--rate", type=float, default=30.0, help="pictures/s of the camera")
    parser.add_argument("--strength", type=float, default=0.2, help="while the light flashes")
    parser.add_argument("--strengths", type=float, nargs="+", default=STRENGTHS)
    parser.add_argument("--target-fps", type=float, default=240.0)
    parser.add_argument("--tunnel-delay", type=float, default=0.0, metavar="MS")
    parser.add_argument("--save", help="a name in benchmarks/results")
    options = parser.parse_args()
    with program(options.target_fps, options.random_weights, options.model) as port:
        result = run(port, options)
    given = {name: getattr(options, name) for name in ("rate", "seconds", "strength", "target_fps")}
    weights = "random, SD-Turbo's architecture" if options.random_weights else options.model
    facts = {"benchmark": "source", "weights": weights, **given}
    emit({**facts, **result, **machine()}, options.save)


if __name__ == "__main__":
    main()

"""Paints with the cluster engine or the local one, and says what came of it as one line of JSON.

A program, because Ray's connection keeps a socket of its process when it is closed. A single
engine answers all questions, because opening one takes about a minute on a busy machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from turbostream.engine import open_engine, weights
from turbostream.settings import Settings
from turbostream.stream.engine_api import Engine, Picture, workers_of
from turbostream.stream.shot import InputPicture, Shot, ShotError, Source

ROOT = Path(__file__).resolve().parents[3]
SOURCE = InputPicture("0" * 64)
GONE = InputPicture("1" * 64)
SHOTS = (
    Shot.single("a red star on a blue ground", 3),
    Shot((("a red star", 0.25), ("a yellow moon", 0.75)), ((5, 0.6), (6, 0.8)), brightness=0.5),
    Shot.single("a green house", 7, 128, 192),
    Shot((("a red star", 1.0),), ((4, 1.0),), source=SOURCE, strength=0.5),
    Shot(
        (("a red star", 1.0),), ((4, 1.0),), source=SOURCE, strength=0.5, width=512, height=512,
        base_width=256, base_height=256, enlarging="pixels",
    ),
)  # fmt: skip
PATIENCE_S = 120.0


def resolve(source: Source, width: int, height: int) -> Any:
    if source == GONE:
        raise ShotError("The picture is gone.")
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)


def settings(**others: Any) -> Settings:
    return Settings(
        target_fps=30,
        initial_prompt="a star",
        model_id="demo",
        server_port=0,
        state_dir=Path(tempfile.gettempdir()),
        **others,
    )


def opened(**others: Any) -> Engine:
    found = settings(**others)
    return open_engine(found, weights.find("demo", "auto", False), lambda status: None, resolve)


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)


def all_ready(engine: Engine) -> bool:
    return all(one.state == "ready" for one in workers_of(engine))


def nodes(engine: Engine) -> int:
    return len({one.node for one in workers_of(engine)})


def restarts(engine: Engine) -> int:
    return sum(one.restarts for one in workers_of(engine))


def described(picture: Picture) -> list[str]:
    return [hashlib.sha256(picture.jpeg).hexdigest(), picture.fingerprint]


def outcome(pictures: Future[list[Picture]]) -> str:
    """How a submission ended."""
    error = pictures.exception(PATIENCE_S)
    return "painted" if error is None else f"{type(error).__name__}: {error}"


def painting_processes() -> list[psutil.Process]:
    """The workers' processes, on whichever of this cluster's nodes they are.

    Other tests may have a cluster of their own on this machine: the raylet that started a worker
    has the folder of its cluster on its command line.
    """
    return [
        one
        for one in psutil.process_iter()
        if "ray::PaintingActor" in _words(one)
        and any(os.environ["RAY_TMPDIR"] in _words(parent) for parent in _parents(one))
    ]


def _words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _parents(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.parents()
    except psutil.Error:
        return []


# -- what tests ask for ----------------------------------------------------------------------------


def pictures(engine: Engine) -> dict[str, Any]:
    together = engine.submit([SHOTS[0], SHOTS[1]]).result(PATIENCE_S)
    return {
        "one by one": [described(engine.submit([one]).result(PATIENCE_S)[0]) for one in SHOTS],
        "together": [described(one) for one in together],
    }


def refusals(engine: Engine) -> dict[str, Any]:
    refused = []
    for shot in (
        Shot.single("a star", 1, 100, 100),
        Shot((("a star", 1.0),), ((1, 1.0),), adapters=(("ink", 1.0),)),
        Shot((("a star", 1.0),), ((1, 1.0),), source=GONE, strength=0.5),
    ):
        try:
            refused.append(outcome(engine.submit([shot])))
        except ShotError as error:
            refused.append(f"ShotError: {error}")
    dropped = engine.dropped("star " * 200)  # type: ignore[attr-defined]
    in_flight = engine.submit([SHOTS[0]])
    engine.close()
    return {"refused": refused, "dropped": dropped, "closed": outcome(in_flight)}


def losses(engine: Engine, lose: Callable[[], object]) -> dict[str, Any]:
    """Submissions around the moment in which a worker is lost."""
    eventually(lambda: all_ready(engine))
    submitted = [engine.submit([Shot.single("a star", seed)]) for seed in range(12)]
    submitted[0].result(PATIENCE_S)
    lose()
    submitted += [engine.submit([Shot.single("a star", seed)]) for seed in range(12, 24)]
    outcomes = [outcome(one) for one in submitted]
    return {
        "outcomes": outcomes,
        "pictures": [described(one.result()[0]) for one in submitted if not one.exception()],
        "states": [one.state for one in workers_of(engine)],
    }


def killed_node(engine: Engine) -> dict[str, Any]:
    eventually(lambda: all_ready(engine))
    assert nodes(engine) == 2
    found = losses(engine, lambda: os.kill(int(sys.argv[3]), signal.SIGKILL))
    # Until Ray knows, the worker on that node counts as one that is late.
    eventually(lambda: restarts(engine) == 2)
    eventually(lambda: all_ready(engine))
    return {**found, "nodes": nodes(engine), "restarts": restarts(engine)}


def killed_worker(engine: Engine) -> dict[str, Any]:
    found = losses(engine, lambda: painting_processes()[0].kill())
    eventually(lambda: restarts(engine) == 1)
    return {**found, "restarts": restarts(engine)}


def stopped_worker(engine: Engine) -> dict[str, Any]:
    stopped: list[psutil.Process] = []

    def stop() -> None:
        stopped.append(painting_processes()[0])
        stopped[0].suspend()

    try:
        found = losses(engine, stop)
    finally:
        for one in stopped:
            one.resume()
    eventually(lambda: all_ready(engine))
    return {**found, "restarts": restarts(engine)}


def everything(engine: Engine) -> dict[str, Any]:
    """Each with the restarts since the engine was opened; the last one closes it."""
    asked = (pictures, stopped_worker, killed_worker, killed_node, refusals)
    return {one.__name__: one(engine) for one in asked}


def run(asked: str, *rest: object, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What a process of its own found: `pictures` of the local engine, or `everything` of the one
    at the address of a cluster whose second raylet may be killed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.cluster.painter", asked, *map(str, rest)],
        cwd=ROOT, env={**os.environ, **(environment or {})}, capture_output=True, text=True,
        timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    if sys.argv[1] == "pictures":
        asked, engine = pictures, opened()
    else:
        asked, engine = everything, opened(engine="ray", ray_address=sys.argv[2])
    try:
        found = asked(engine)
    finally:
        engine.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main()

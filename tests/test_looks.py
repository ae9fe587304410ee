"""A recalled look gives the same picture, byte for byte, in the program as users start it."""

from __future__ import annotations

import json
import random
import signal
import time
from pathlib import Path
from typing import Any

from tests.robustness.raw import eventually
from tests.server import Server


def ask(server: Server, method: str, path: str, body: object = None) -> Any:
    status, answer = server.request(path, body, method=method)
    assert status in (200, 204), answer
    return json.loads(answer) if answer else None


def picture(server: Server) -> bytes:
    for _ in range(9):  # a busy machine may paint none in the 10 s that a snapshot waits
        status, jpeg = server.request("/snapshot.jpg")
        if status == 200:
            break
    assert status == 200
    return jpeg


def recalled(server: Server, fade_s: float) -> bytes:
    scene = ask(server, "POST", "/looks/dawn/recall", {"fade_s": fade_s})
    while scene["fade"] is not None:
        time.sleep(0.05)
        scene = ask(server, "GET", "/scene")
    return picture(server)


def test_a_recalled_look_is_the_same_jpeg_after_500_changes_and_after_a_kill(
    tmp_path: Path,
) -> None:
    with Server(STATE_DIR=str(tmp_path)) as first:
        first.wait_until_healthy()
        ask(first, "PATCH", "/scene", {"prompt": "a red heart", "seed": 11, "phase": 2.375})
        ask(first, "PATCH", "/scene", {"motion": "hold"})
        saved = picture(first)
        ask(first, "PUT", "/looks/dawn")
        rng = random.Random(5)
        for number in range(500):
            motion = rng.choice(("walk", "hold", "fresh"))
            patch = {"prompt": f"a blue star {number}", "speed": rng.random() * 4, "motion": motion}
            ask(first, "PATCH", "/scene", {**patch, "seed": rng.randrange(2**40)})
        assert picture(first) != saved
        assert recalled(first, 0) == saved
        ask(first, "PATCH", "/scene", {"seed": 3, "motion": "walk", "speed": 4})
        assert recalled(first, 0.5) == saved, "a fade of the noise ends exactly there"
        ask(first, "PATCH", "/scene", {"prompt": "something else", "motion": "walk"})
        file = tmp_path / f"scene-{first.port}.json"
        eventually(lambda: json.loads(file.read_text())["prompt"] == "something else")
        first.signal(signal.SIGKILL)
        first.process.wait(30)
    with Server(port=first.port, STATE_DIR=str(tmp_path)) as second:
        second.wait_until_healthy()
        assert picture(second) != saved
        assert recalled(second, 0) == saved


def test_a_held_blend_among_looks_is_the_same_scene_and_jpeg_after_a_kill(tmp_path: Path) -> None:
    with Server(STATE_DIR=str(tmp_path)) as first:
        first.wait_until_healthy()
        for number, words in enumerate(("a red circle", "a blue square", "a yellow star")):
            blend = [{"text": words, "weight": 0.75}, {"text": "a green fish", "weight": 0.5}]
            patch = {"prompts": blend, "seed": 40 + number, "phase": 1.125, "speed": 0.4}
            ask(first, "PATCH", "/scene", patch)
            ask(first, "PATCH", "/scene", {"motion": "hold"})
            ask(first, "PUT", f"/looks/{words}".replace(" ", "%20"))
        ask(first, "POST", "/looks/a%20blue%20square/recall", {"fade_s": 0})
        before, held = ask(first, "GET", "/scene"), picture(first)
        assert [entry["weight"] for entry in before["prompts"]] == [0.75, 0.5]
        file = tmp_path / f"scene-{first.port}.json"
        eventually(lambda: json.loads(file.read_text())["seed"] == 41)
        first.signal(signal.SIGKILL)
        first.process.wait(30)
    with Server(port=first.port, STATE_DIR=str(tmp_path)) as second:
        second.wait_until_healthy()
        after = ask(second, "GET", "/scene")
        apart = {"revision": 0, "beat": 0}  # the beat moves
        assert after | apart == before | apart
        assert picture(second) == held
        assert len(ask(second, "GET", "/looks")["looks"]) == 3
        ask(second, "PATCH", "/scene", {"prompt": "something else", "motion": "walk"})
        ask(second, "POST", "/looks/a%20blue%20square/recall", {"fade_s": 0})
        assert picture(second) == held

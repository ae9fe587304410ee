"""The scene survives a kill and a handover to another process."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.ports import free_port
from tests.robustness.conftest import Program, Start
from tests.robustness.program import MAY_LOAD
from tests.robustness.raw import eventually, open_stream
from tests.server import once_below

SEED = 100
SPEED = 2.0  # seeds a second
SEEN_S = 0.25  # most seconds between a shot and its note on a busy machine


class Noted(NamedTuple):
    """A shot as the fake engine noted it; `at` is on a clock that all processes share."""

    at: float
    pid: int
    seed: int
    part: float
    prompt: str

    @property
    def phase(self) -> float:
        return self.seed - SEED + self.part


def noted(file: Path, program: Program) -> list[Noted]:
    """The shots of a program, without those of its initial scene."""
    lines = file.read_text().splitlines() if file.exists() else []
    shots = [Noted(*json.loads(line)) for line in lines]
    return [shot for shot in shots if shot.pid == program.process.pid and shot.prompt != "grey"]


def phase_reaches(phase: float, file: Path, program: Program) -> None:
    eventually(lambda: any(shot.phase > phase for shot in noted(file, program)))


@contextmanager
def watched(program: Program) -> Iterator[None]:
    """A viewer reads the stream meanwhile."""
    with open_stream(program.port) as viewer:

        def read() -> None:
            while viewer.recv(65536):
                pass

        thread = threading.Thread(target=read, name="viewer")
        thread.start()
        try:
            yield
        finally:
            viewer.shutdown(2)
            thread.join()


def scene(program: Program) -> dict[str, object]:
    """What the scene is, without what differs at every moment and in every process."""
    found: dict[str, object] = json.loads(program.request("/scene")[1])
    return {name: found[name] for name in found if name not in ("phase", "beat", "revision")}


def kept(program: Program) -> dict[str, object]:
    """The scene file that a restart would find now."""
    assert program.state is not None
    file = program.state / f"scene-{program.port}.json"
    found: dict[str, object] = json.loads(file.read_text()) if file.exists() else {}
    return found


def play(program: Program) -> None:
    scene = {"prompt": "a red heart", "seed": SEED, "speed": SPEED}
    program.request("/scene", scene, method="PATCH")


def killed(program: Program) -> None:
    program.signal(signal.SIGKILL)
    assert program.wait() == -signal.SIGKILL


def test_the_scene_of_a_second_ago_is_restored_after_a_kill(start: Start) -> None:
    first = start("sound").wait_until_healthy()

    def kept_s() -> float:
        first.request("/scene", {"seed": 0}, method="PATCH")
        eventually(lambda: kept(first).get("seed") == 0)
        play(first)
        return eventually(lambda: kept(first).get("seed") == SEED)

    once_below(2.0, kept_s)
    played = scene(first)
    killed(first)
    second = start("sound", port=first.port).wait_until_healthy()
    assert scene(second) == played
    assert second.status()["prompt"] == "a red heart"
    assert b"a red heart" in second.request("/")[1]
    assert "going on with 'a red heart'" in second.log


def test_the_last_change_before_a_shutdown_is_restored(start: Start) -> None:
    first = start("sound").wait_until_healthy()
    for count in range(20):
        first.request("/prompt", {"prompt": f"words {count}"})
    first.signal()
    assert first.wait() == 0
    second = start("sound", port=first.port).wait_until_listening()
    assert scene(second)["prompt"] == "words 19"


def test_noise_on_hold_is_identical_after_a_kill(start: Start, tmp_path: Path) -> None:
    shots = tmp_path / "shots"
    first = start("sound", environ={"SHOTS_FILE": str(shots)}).wait_until_healthy()
    with watched(first):
        play(first)
        phase_reaches(1, shots, first)
        first.request("/scene", {"motion": "hold"}, method="PATCH")
        eventually(lambda: kept(first).get("motion") == "hold")
        held = noted(shots, first)[-1]
        killed(first)
    again = start("sound", port=first.port, environ={"SHOTS_FILE": str(shots)}).wait_until_healthy()
    with watched(again):
        eventually(lambda: noted(shots, again))
    resumed = noted(shots, again)[0]
    assert (resumed.seed, resumed.part, resumed.prompt) == (held.seed, held.part, "a red heart")


def test_a_walk_goes_on_where_it_was_seen_a_second_before_the_kill(
    start: Start, tmp_path: Path
) -> None:
    shots = tmp_path / "shots"
    first = start("sound", environ={"SHOTS_FILE": str(shots)}).wait_until_healthy()
    with watched(first):
        play(first)
        phase_reaches(5, shots, first)
        killed(first)
    last = noted(shots, first)[-1]
    again = start("sound", port=first.port, environ={"SHOTS_FILE": str(shots)}).wait_until_healthy()
    with watched(again):
        eventually(lambda: noted(shots, again))
    resumed = noted(shots, again)[0]
    assert last.phase - SPEED * (1 + SEEN_S) < resumed.phase < last.phase + SPEED * 30


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--initial-prompt", "edited words"), "edited words"),
        (("--keep-scene", "no"), "grey"),
        (("--seed", "7"), "a red heart"),
    ],
)
def test_an_edited_setting_counts_at_the_next_start(
    start: Start, options: tuple[str, ...], words: str
) -> None:
    first = start("sound").wait_until_healthy()
    play(first)
    eventually(lambda: kept(first).get("seed") == SEED)
    killed(first)
    second = start("sound", *options, port=first.port).wait_until_listening()
    assert scene(second)["prompt"] == words
    assert scene(second)["seed"] == {"--seed": 7, "--keep-scene": 0}.get(options[0], SEED)


def test_servers_that_share_a_state_folder_each_keep_their_own_scene(start: Start) -> None:
    one, other = start("sound").wait_until_healthy(), start("sound").wait_until_healthy()
    assert one.state == other.state
    for program, words in ((one, "one"), (other, "other")):
        program.request("/prompt", {"prompt": words})
        eventually(lambda: kept(program).get("prompt") == words)  # noqa: B023
        killed(program)
    again = [start("sound", port=program.port).wait_until_listening() for program in (one, other)]
    assert [scene(program)["prompt"] for program in again] == ["one", "other"]
    newcomer = start("sound", port=free_port()).wait_until_listening()
    assert scene(newcomer)["prompt"] == "grey"


@pytest.mark.parametrize("content", ["{", "[" * 60_000, '{"version": 99, "prompt": "x"}'])
def test_an_unusable_scene_file_is_one_line_of_the_log(start: Start, content: str) -> None:
    port = free_port()
    program = start("sound", port=port)
    killed(program.wait_until_healthy())
    assert program.state is not None
    file = program.state / f"scene-{port}.json"
    file.write_text(content)
    file.chmod(0o600)
    again = start("sound", port=port).wait_until_healthy()
    assert scene(again)["prompt"] == "grey"
    assert again.log.count("[scene]") == 1
    assert "Traceback" not in again.log


def test_the_walk_begins_at_the_seed_whatever_the_machines_uptime(
    start: Start, tmp_path: Path
) -> None:
    shots = tmp_path / "shots"
    options = ("--seed", str(SEED), "--initial-prompt", "green")
    program = start("sound", *options, environ={"SHOTS_FILE": str(shots)}).wait_until_healthy()
    with watched(program):
        eventually(lambda: noted(shots, program))
    assert 0 <= noted(shots, program)[0].phase < 10, "ten of these are a minute"


def handed_over(start: Start, first: Program, shots: Path, *options: str) -> Program:
    """The process that has taken the port from `first`, which has ended."""
    environ = {"SHOTS_FILE": str(shots)}
    options = ("--handover", "take", *options)
    second = start("sound", *options, port=first.port, environ=environ)
    assert first.wait(60.0) == 0
    second.wait_for_log(f"[flask] running on 127.0.0.1:{first.port}")
    return second


@pytest.mark.parametrize("motion", ["walk", "hold"])
def test_the_noise_does_not_jump_at_a_handover(start: Start, tmp_path: Path, motion: str) -> None:
    shots = tmp_path / "shots"
    environ = {"SHOTS_FILE": str(shots)}
    first = start("sound", "--handover", "take", environ=environ).wait_until_healthy()
    with watched(first):
        play(first)
        phase_reaches(3, shots, first)
        first.request("/scene", {"motion": motion}, method="PATCH")
        second = handed_over(start, first, shots)
    with watched(second):
        eventually(lambda: noted(shots, second))
    last, taken = noted(shots, first)[-1], noted(shots, second)[0]
    expected = last.phase + (SPEED * (taken.at - last.at) if motion == "walk" else 0.0)
    assert taken.prompt == "a red heart"
    assert taken.phase == pytest.approx(expected, abs=SPEED * SEEN_S if motion == "walk" else 0)


def test_a_process_that_stands_by_does_not_record(start: Start, tmp_path: Path) -> None:
    first = start("sound", "--handover", "take").wait_until_healthy()
    recordings = tmp_path / "recordings"
    options = ("--handover", "take", "--record", "--recordings-dir", str(recordings))
    second = start("loads-badly", *options, port=first.port)
    second.wait_for_log("it does not load yet")
    assert not recordings.exists()
    assert second.state is not None
    (second.state / MAY_LOAD).touch()
    assert first.wait(60.0) == 0
    second.wait_for_log("[record] recording to")
    eventually(lambda: any(recordings.glob("*.mp4")))


def test_a_handover_interrupts_nothing_and_the_next_process_keeps_the_scene(
    start: Start, tmp_path: Path
) -> None:
    shots = tmp_path / "shots"
    first = start("sound", "--handover", "take").wait_until_healthy()
    play(first)
    second = handed_over(start, first, shots, "--initial-prompt", "edited words")
    assert scene(second)["prompt"] == "a red heart"
    second.request("/prompt", {"prompt": "typed afterwards"})
    eventually(lambda: kept(second).get("prompt") == "typed afterwards")
    killed(second)
    options = ("--handover", "offer", "--initial-prompt", "edited words")
    third = start("sound", *options, port=first.port).wait_until_listening()
    assert scene(third)["prompt"] == "typed afterwards"


def test_the_tempo_and_the_modulators_go_on_after_a_handover_and_a_kill(
    start: Start, tmp_path: Path
) -> None:
    first = start("sound", "--handover", "take").wait_until_healthy()
    swing = {"parameter": "speed", "shape": "random", "depth": 0.5, "period": 2.0, "phase": 0.25}
    rhythm = {
        "bpm": 90.0,
        "beats_per_bar": 3,
        "quantise": "bar",
        "modulators": [{**swing, "unit": "seconds"}],
    }
    first.request("/scene", {**rhythm, "beat": 5}, method="PATCH")
    patched_at = time.monotonic()
    second = handed_over(start, first, tmp_path / "shots")
    beat = json.loads(second.request("/scene")[1])["beat"]
    assert beat == pytest.approx(5 + (time.monotonic() - patched_at) * 90 / 60, abs=1.0)
    assert {name: scene(second)[name] for name in rhythm} == rhythm
    eventually(lambda: kept(second).get("quantise") == "bar")
    killed(second)
    third = start("sound", "--handover", "take", port=first.port).wait_until_listening()
    assert {name: scene(third)[name] for name in rhythm} == rhythm

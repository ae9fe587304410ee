"""Looks and the setlist survive a kill, a handover and a damaged file; SETLIST plays at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.robustness.conftest import Program, Start
from tests.robustness.raw import eventually
from tests.robustness.test_restart import killed
from tests.server import ROOT

ENTRIES = [{"look": name, "hold_s": 600.0, "fade_s": 0.0} for name in ("one", "two", "three")]


def ask(program: Program, method: str, path: str, body: object = None) -> Any:
    status, answer = program.request(path, body, method=method)
    assert status in (200, 204), answer
    return json.loads(answer) if answer else None


def save_three(program: Program) -> None:
    for number, name in enumerate(("one", "two", "three")):
        scene = {"prompt": f"look {name}", "seed": number, "phase": 0.25, "motion": "hold"}
        ask(program, "PUT", f"/looks/{name}", {"scene": scene})


def kept(program: Program, name: str) -> dict[str, Any]:
    assert program.state is not None
    file = program.state / f"{name}-{program.port}.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found


def test_looks_are_there_after_a_kill_and_give_the_same_scene(start: Start) -> None:
    first = start("sound").wait_until_healthy()
    ask(first, "PATCH", "/scene", {"prompt": "saved words", "seed": 5})
    ask(first, "PATCH", "/scene", {"motion": "hold"})
    saved = ask(first, "PUT", "/looks/saved")
    assert saved["thumbnail"] is not None
    ask(first, "POST", "/prompt", {"prompt": "other words"})
    killed(first)
    second = start("sound", port=first.port).wait_until_healthy()
    assert ask(second, "GET", "/looks")["looks"] == [saved]
    assert second.request("/" + saved["thumbnail"])[0] == 200
    recalled = ask(second, "POST", "/looks/saved/recall", {"fade_s": 0.2})
    assert (recalled["prompt"], recalled["motion"]) == ("saved words", "hold")
    assert recalled["phase"] == saved["scene"]["phase"]


def test_mappings_are_there_after_a_kill(start: Start) -> None:
    first = start("sound").wait_until_healthy()
    knob = {"channel": 3, "type": "cc", "number": 7, "target": "brightness", "low": 0.2}
    sound = {"source": "onset", "target": "new_seed", "amount": 1}
    put = ask(first, "PUT", "/mappings", {"midi": [knob], "sound": [sound]})
    killed(first)
    second = start("sound", port=first.port).wait_until_listening()
    assert ask(second, "GET", "/mappings") == put
    assert ask(second, "GET", "/export")["mappings"] == put


def test_a_setlist_goes_on_after_a_kill_where_it_was(start: Start) -> None:
    first = start("sound").wait_until_healthy()
    save_three(first)
    ask(first, "PUT", "/setlist", {"entries": ENTRIES, "loop": True})
    ask(first, "PATCH", "/setlist", {"playing": True})
    ask(first, "POST", "/setlist/next")
    eventually(lambda: kept(first, "scene").get("setlist", {}).get("left_s", 600) < 598)
    before = ask(first, "GET", "/setlist")
    killed(first)
    left_s = kept(first, "scene")["setlist"]["left_s"]
    second = start("sound", port=first.port).wait_until_listening()
    after = ask(second, "GET", "/setlist")
    assert after == {**before, "left_s": after["left_s"]}
    assert (after["position"], after["playing"]) == (1, True)
    assert left_s - 60 < after["left_s"] <= left_s < before["left_s"] + 3
    assert ask(second, "GET", "/scene")["prompt"] == "look two"
    ask(second, "POST", "/setlist/next")
    assert ask(second, "GET", "/scene")["prompt"] == "look three"


def test_a_pause_survives_a_kill(start: Start) -> None:
    first = start("sound").wait_until_healthy()
    save_three(first)
    ask(first, "PUT", "/setlist", {"entries": ENTRIES})
    ask(first, "PATCH", "/setlist", {"playing": True, "position": 2})
    paused = ask(first, "PATCH", "/setlist", {"playing": False})
    eventually(lambda: kept(first, "scene").get("setlist", {}).get("left_s") == paused["left_s"])
    killed(first)
    second = start("sound", port=first.port).wait_until_listening()
    assert ask(second, "GET", "/setlist") == paused


def setlist_file(folder: Path, words: str = "from the file", **changes: object) -> Path:
    file = folder / "night.json"
    looks = [{"name": n, "scene": {"prompt": f"{n} {words}"}} for n in ("one", "two", "three")]
    setlist = {"entries": ENTRIES, "loop": True}
    file.write_text(json.dumps({"version": 1, "looks": looks, "setlist": setlist, **changes}))
    return file


def test_a_setlist_from_the_command_line_plays_at_once_and_goes_on_until_its_file_changes(
    start: Start, tmp_path: Path
) -> None:
    option = ("--setlist", str(setlist_file(tmp_path)))
    first = start("sound", *option).wait_until_listening()
    assert first.status()["setlist"]["playing"] is True
    assert ask(first, "GET", "/scene")["prompt"] == "one from the file"
    ask(first, "POST", "/setlist/next")
    ask(first, "PUT", "/looks/three", {"scene": {"prompt": "changed since"}})
    eventually(lambda: kept(first, "scene").get("setlist", {}).get("position") == 1)
    killed(first)
    second = start("sound", *option, port=first.port).wait_until_listening()
    assert ask(second, "GET", "/setlist")["position"] == 1
    ask(second, "POST", "/setlist/next")
    assert ask(second, "GET", "/scene")["prompt"] == "changed since"
    killed(second)
    setlist_file(tmp_path, "edited")
    third = start("sound", *option, port=first.port).wait_until_listening()
    assert third.status()["setlist"] | {"left_s": 0} == {
        "playing": True, "position": 0, "look": "one", "left_s": 0,
    }  # fmt: skip
    assert ask(third, "GET", "/scene")["prompt"] == "one edited"
    assert "Traceback" not in third.log


@pytest.mark.parametrize(
    ("content", "clause"),
    [
        (None, "No such file"),
        ("{", "JSON"),
        ('{"version": 3, "looks": []}', "newer version"),
        ('{"version": 1, "looks": []}', "no setlist"),
        ('{"entries": [{"look": "missing"}]}', "'missing', which is neither"),
        ('{"entries": [{"look": "a", "hold_s": -1}]}', "hold_s"),
        (" " * 9_000_000, "larger than 8 MB"),
    ],
)
def test_a_setlist_that_cannot_be_used_ends_the_start_with_one_sentence(
    tmp_path: Path, content: str | None, clause: str
) -> None:
    file = tmp_path / "night.json"
    if content is not None:
        file.write_text(content)
    command = [sys.executable, "realtime_stream.py", "--model-id", "demo", "--setlist", str(file)]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith(f"SETLIST {file} cannot be used (")
    assert clause in ended.stderr


def test_a_damaged_file_of_looks_is_reported_in_one_line_and_not_lost(start: Start) -> None:
    first = start("sound").wait_until_healthy()
    save_three(first)
    killed(first)
    assert first.state is not None
    file = first.state / f"looks-{first.port}.json"
    content = file.read_text()[:-30]
    file.write_text(content)
    second = start("sound", port=first.port).wait_until_healthy()
    assert ask(second, "GET", "/looks") == {"looks": []}
    ask(second, "PUT", "/looks/new", {"scene": {"prompt": "x"}})
    assert second.log.count("[looks]") == 1
    assert "Traceback" not in second.log
    aside = [found for found in first.state.glob(f"{file.name}.damaged-*")]
    assert [found.read_text() for found in aside] == [content]


def test_a_handover_passes_the_looks_and_the_setlist_on(start: Start) -> None:
    first = start("sound", "--handover", "take").wait_until_healthy()
    save_three(first)
    ask(first, "PUT", "/setlist", {"entries": ENTRIES, "loop": True})
    ask(first, "PATCH", "/setlist", {"playing": True, "position": 1})
    before = ask(first, "GET", "/looks"), ask(first, "GET", "/setlist")
    second = start("sound", "--handover", "take", port=first.port)
    assert first.wait(60.0) == 0
    second.wait_for_log(f"[flask] running on 127.0.0.1:{first.port}")
    after = ask(second, "GET", "/looks"), ask(second, "GET", "/setlist")
    assert after[0] == before[0]
    assert after[1] == {**before[1], "left_s": after[1]["left_s"]}
    assert before[1]["left_s"] - 60 < after[1]["left_s"] < before[1]["left_s"]
    ask(second, "PATCH", "/looks/one", {"name": "first"})
    assert [look["name"] for look in kept(second, "looks")["looks"]] == ["first", "two", "three"]

"""deploy/vast.sh batch with the real client against the stand-in."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from pathlib import Path

import pytest

from tests.deploy.host import Host
from tests.deploy.laptop import Laptop
from tests.deploy.renting import Vast
from tests.deploy.standin import StandIn
from turbostream.stream.shot_json import from_json

pytestmark = pytest.mark.timeout(240)


def test_a_batch_is_rented_painted_fetched_and_given_back(
    vast: Vast, stand_in: StandIn, prompts: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = vast("batch", "--yes", str(prompts), str(out))
    assert done.returncode == 0, done.stderr
    entries = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    shots = [from_json(entry["shot"]) for entry in entries]
    assert [shot.prompt for shot in shots] == prompts.read_text().splitlines()
    for entry in entries:
        content = (out / entry["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
    assert "3 painted in" in done.stderr
    assert "frames/s, $" in done.stderr
    assert "instance 7000 is gone" in done.stderr


@pytest.mark.long
def test_a_batch_that_is_interrupted_before_its_instance_runs_gives_it_back(
    vast: Vast, stand_in: StandIn, laptop: Laptop, prompts: Path, tmp_path: Path
) -> None:
    stand_in.scripts[1001] = ["loading"]
    command = ("deploy/vast.sh", "batch", "--yes", str(prompts), str(tmp_path / "out"))
    with laptop.running(*command, **vast.environment) as batch:
        batch.wait_said("instance 7000, after")
        os.killpg(batch.process.pid, signal.SIGINT)
        assert batch.process.wait(60) == 130
    assert "instance 7000 is gone" in batch.said


@pytest.mark.long
def test_after_a_batch_that_fails_the_instance_is_given_back(
    vast: Vast, laptop: Laptop, prompts: Path, tmp_path: Path
) -> None:
    prompts.write_text('{"prompt": "a", "sead": 1}\n')
    done = vast("batch", "--yes", str(prompts), str(tmp_path / "out"))
    assert done.returncode == 2, done.stderr
    assert "there is no field 'sead'" in done.stderr
    assert "instance 7000 is gone" in done.stderr


@pytest.mark.long
def test_when_the_results_cannot_be_fetched_the_instance_is_kept_and_reported(
    vast: Vast, stand_in: StandIn, host: Host, prompts: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").symlink_to(tmp_path / "nowhere/out")  # where no folder can be created
    (tmp_path / "nowhere").write_text("")
    done = vast("batch", "--yes", str(prompts), str(tmp_path / "out"))
    assert done.returncode == 4, done.stderr
    assert "THE RESULTS WERE NOT FETCHED, so instance 7000 IS KEPT AND BILLED" in done.stderr
    assert stand_in.left == [7000]
    assert vast("down").returncode == 0

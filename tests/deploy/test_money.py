"""deploy/vast.sh: however it ends, its last message says whether something is still rented.

What Vast.ai refuses is one sentence each; an instance that cannot be reached is given back.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.host import ROOT, Host, wait_for
from tests.deploy.laptop import Laptop
from tests.deploy.renting import Vast
from tests.deploy.standin import Fault, StandIn

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def quick(laptop: Laptop) -> dict[str, str]:
    """Replaces the scripts: an instance that answers at once, and paints what `painted` contains.

    The real ones are in test_rental.py; here it is about what is said at each end.
    """
    fakes = laptop.home / "quick"
    (fakes / "there").mkdir(parents=True, exist_ok=True)
    for file in (fakes / "there").iterdir():
        file.unlink()
    (fakes / "rc").write_text("0")
    kept = {name: (laptop.scripts / name).read_text() for name in NAMES}
    for name in NAMES:
        (laptop.scripts / name).write_text(f"SELF={name} FAKES={fakes}\n{SCRIPT}")
    yield {"fakes": str(fakes)}
    for name, text in kept.items():
        (laptop.scripts / name).write_text(text)


TORN = b'{"number": 1, "file": "0000'
NAMES = ("start_stream_server.sh", "deploy/remote.sh")
SCRIPT = r"""
step=${SELF##*/}:${1-}:${2-}
echo "$step" >>"$FAKES/steps"
case "$step ${*: -2}" in
  *fetch*) mkdir -p "$3" && cp "$FAKES"/there/* "$3"/ 2>/dev/null; exit 0 ;;
  *'exit 7'*) [ -e "$FAKES/there/manifest.jsonl" ] || exit 7; exit 0 ;;
esac
case $step in
  *run:sh) [[ "$*" != *'exit 7'* ]] || { [ -e "$FAKES/there/manifest.jsonl" ] || exit 7; } ;;
  *run:bash) . "$FAKES/paint" 2>/dev/null; exit "$(cat "$FAKES/rc")" ;;
esac
exit 0
"""


@pytest.mark.parametrize(
    "manifest",
    [TORN, b"[]\n", b'{"file": 3}\n', b"\x89PNG\0\xff", b"{" * 9999],
    ids=["torn", "a list", "no hash", "a picture", "nested"],
)
def test_with_a_malformed_manifest_a_batch_is_not_complete(tmp_path: Path, manifest: bytes) -> None:
    (tmp_path / "manifest.jsonl").write_bytes(manifest)
    check = (
        "import sys, pathlib, rental.batch as b; print(b.is_complete(pathlib.Path(sys.argv[1])))"
    )
    command = [sys.executable, "-B", "-c", check, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT / "deploy", capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
    assert "cannot be checked" in done.stderr


def test_with_a_malformed_manifest_the_instance_is_kept_and_reported(
    vast: Vast, stand_in: StandIn, quick: dict, prompts: Path, tmp_path: Path
) -> None:
    (Path(quick["fakes"]) / "there/manifest.jsonl").write_bytes(TORN)
    done = vast("batch", "--yes", str(prompts), str(tmp_path / "out"))
    assert "Traceback" not in done.stderr
    assert done.returncode == 4, done.stderr
    assert "THE RESULTS WERE NOT FETCHED, so instance 7000 IS KEPT AND BILLED" in done.stderr
    assert stand_in.left == [7000]
    stand_in.end_by_hand()


def test_a_successful_batch_ends_with_fetched_and_destroyed(
    vast: Vast, stand_in: StandIn, quick: dict, prompts: Path, tmp_path: Path
) -> None:
    import hashlib

    there = Path(quick["fakes"]) / "there"
    (there / "000001.jpg").write_bytes(b"a picture")
    digest = hashlib.sha256(b"a picture").hexdigest()
    (there / "manifest.jsonl").write_text(json.dumps({"file": "000001.jpg", "sha256": digest}))
    done = vast("batch", "--yes", str(prompts), str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert "fetched and destroyed: instance 7000 is gone" in done.stderr.splitlines()[-1]
    assert "BILLED" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize("step", ["loading", "painting"])
def test_a_batch_that_is_ended_by_a_signal_says_what_is_rented(
    vast: Vast,
    stand_in: StandIn,
    laptop: Laptop,
    quick: dict,
    prompts: Path,
    tmp_path: Path,
    number: signal.Signals,
    step: str,
) -> None:
    fakes = Path(quick["fakes"])
    (fakes / "painting").unlink(missing_ok=True)
    (fakes / "there/manifest.jsonl").write_text("torn")
    if step == "loading":
        stand_in.scripts[1001] = ["loading"]
    else:
        # A signal that came before the trap could be lost in a command of the shell.
        paint = 'trap "exit 1" INT TERM HUP; touch "$FAKES/painting"; sleep 60 & wait'
        (fakes / "paint").write_text(paint)
    command = ("deploy/vast.sh", "batch", "--yes", str(prompts), str(tmp_path / "out"))
    with laptop.running(*command, **vast.environment) as batch:
        if step == "loading":
            batch.wait_said("instance 7000, after")
        else:
            wait_for((fakes / "painting").exists, 60, "the painting")
        os.killpg(batch.process.pid, number)
        batch.process.wait(60)
    (fakes / "paint").unlink(missing_ok=True)
    assert "Traceback" not in batch.said
    if stand_in.left:
        assert "instance 7000 IS KEPT AND BILLED" in batch.said
        stand_in.end_by_hand()
    else:
        assert "instance 7000 is gone" in batch.said
        assert "BILLED" not in batch.said


def test_an_up_that_is_interrupted_says_what_is_rented(
    vast: Vast, stand_in: StandIn, laptop: Laptop
) -> None:
    stand_in.scripts[1001] = ["loading"]
    with laptop.running("deploy/vast.sh", "up", "--yes", **vast.environment) as up:
        up.wait_said("instance 7000, after")
        os.killpg(up.process.pid, signal.SIGHUP)
        assert up.process.wait(60) == 129
    assert "INSTANCE 7000 IS KEPT AND BILLED: deploy/vast.sh down gives it back" in up.said
    assert vast("down").returncode == 0


def test_an_exhausted_quota_has_its_own_message_and_is_not_retried(
    vast: Vast, stand_in: StandIn
) -> None:
    msg = "Daily search quota exceeded"
    stand_in.faults.append(
        Fault("POST", "/bundles/", 429, error="search_quota_exceeded", msg=msg, times=99)
    )
    done = vast("up", "--yes")
    assert done.returncode == 1
    assert "Vast.ai allows no more searches today (HTTP 429: Daily search quota" in done.stderr
    assert "midnight UTC" in done.stderr
    assert sum("bundles" in request for request in stand_in.requests) == 1


def test_a_create_that_is_refused_is_one_sentence_and_no_other_offer_is_tried(
    vast: Vast, stand_in: StandIn
) -> None:
    stand_in.faults.append(Fault("PUT", "/asks/", 400, msg="insufficient credit", times=99))
    done = vast("up", "--yes")
    assert done.returncode == 1
    assert "Vast.ai refuses to create instance (HTTP 400: insufficient credit)" in done.stderr
    assert "Nothing is rented." in done.stderr.splitlines()[-1]
    assert sum("asks" in request for request in stand_in.requests) == 1


def test_after_a_400_for_a_taken_offer_the_next_one_is_tried(vast: Vast, stand_in: StandIn) -> None:
    stand_in.faults.append(Fault("PUT", "/asks/1001", 400, msg="no_such_ask 1001 not available"))
    assert vast("up", "--yes").returncode == 0
    assert [i.offer["id"] for i in stand_in.instances.values()] == [1002]
    stand_in.end_by_hand()


def test_a_key_without_permission_is_reported_and_nothing_is_rented(
    vast: Vast, stand_in: StandIn, laptop: Laptop
) -> None:
    stand_in.faults.append(Fault("PUT", "/asks/", 403, msg="missing permission", times=9))
    stand_in.faults.append(Fault("GET", "/users/current", 403, msg="no", times=9))
    done = vast("up", "--yes")
    assert done.returncode == 1
    assert "The API key has no permission to create instance (HTTP 403: missing perm" in done.stderr
    assert "BILLED" not in done.stderr
    assert not (laptop.home / ".turbostream/rental.json").exists()


def test_a_key_that_did_not_reach_the_instance_is_attached(
    vast: Vast, stand_in: StandIn, host: Host, laptop: Laptop
) -> None:
    allowed = host.folder / "authorized_keys"
    keys = allowed.read_text()
    allowed.write_text("")
    stand_in.on_attach = lambda key: allowed.write_text(keys)
    try:
        done = vast("up", "--yes")
    finally:
        allowed.write_text(keys)
    assert done.returncode == 0, done.stderr
    assert stand_in.attached == [(7000, laptop.key.with_suffix(".pub").read_text().strip())]
    assert "was attached" in done.stderr
    assert vast("down").returncode == 0


def test_an_instance_that_cannot_be_reached_is_given_back(
    vast: Vast, stand_in: StandIn, host: Host
) -> None:
    allowed = host.folder / "authorized_keys"
    keys = allowed.read_text()
    allowed.write_text("")
    try:
        done = vast("up", "--yes", VAST_REACH_LIMIT_S="4")
    finally:
        allowed.write_text(keys)
    assert done.returncode == 1
    assert "Instance 7000 did not accept ssh within 4 s" in done.stderr
    assert "instance 7000 is gone" in done.stderr
    assert stand_in.left == []


def test_two_concurrent_ups_rent_one_instance(
    vast: Vast, stand_in: StandIn, laptop: Laptop
) -> None:
    stand_in.scripts[1001] = ["loading"]
    with laptop.running("deploy/vast.sh", "up", "--yes", **vast.environment) as first:
        first.wait_said("renting offer")
        second = vast("up", "--yes")
        assert second.returncode == 1
        assert "is renting an instance" in second.stderr or "is rented already" in second.stderr
        assert len(stand_in.instances) <= 1
        os.killpg(first.process.pid, signal.SIGINT)
        assert first.process.wait(60) == 130
    assert vast("down").returncode == 0


def test_an_output_path_that_is_a_file_is_reported_before_anything_is_rented(
    vast: Vast, stand_in: StandIn, prompts: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("")
    done = vast("batch", "--yes", str(prompts), str(tmp_path / "out"))
    assert done.returncode == 1
    assert "is a file; give a folder for the pictures" in done.stderr
    assert stand_in.instances == {}

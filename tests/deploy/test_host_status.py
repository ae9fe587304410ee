"""How host.sh asks a server: it parses JSON, uses no proxy, and survives unusual files."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.deploy.host import PATH, PATIENCE_S, ROOT, answers, wait_for
from tests.deploy.laptop import quick_python
from tests.deploy.proxying import proxying
from tests.disks import mounted, needs_mounts
from tests.ports import free_port

SERVER = """import http.server, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        content = open("answer", "rb").read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
GUARD = {"armed": True, "ends_at": 9e9, "message": "", "state": "guard", "viewers": 7}


class Instance:
    def __init__(self, base: Path) -> None:
        self.base, self.folder = base, base / "releases/r1"
        for made in (self.folder, base / "state", base / "run"):
            made.mkdir(parents=True)
        (self.folder / "realtime_stream.py").write_text(SERVER)
        self.answer({"message": "", "state": ""})
        port = free_port()
        self.process = subprocess.Popen(
            [sys.executable, "realtime_stream.py", str(port)],
            cwd=self.folder,
            stderr=subprocess.DEVNULL,
        )
        wait_for(lambda: answers(port), PATIENCE_S, "the server")
        self.serving = base / "state/serving"
        self.serving.write_text(f"{self.process.pid} {port} {self.folder}\n")
        self.port = port

    def answer(self, content: object) -> None:
        text = content if isinstance(content, str) else json.dumps(content)
        (self.folder / "answer").write_text(text)

    def run(
        self, command: str, *arguments: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["bash", str(ROOT / "deploy/host.sh"), command, str(self.base), *arguments],
            env={"PATH": PATH, "HOME": str(self.base), **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert "Traceback" not in done.stderr
        return done

    def status(self, **environment: str) -> str:
        return self.run("status", **environment).stdout


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    instance = Instance(tmp_path.resolve() / "base")
    yield instance
    instance.process.kill()
    instance.process.wait(PATIENCE_S)


@pytest.mark.parametrize("first", [True, False], ids=["guard first", "guard last"])
def test_the_state_shown_is_that_of_the_server_and_not_of_its_guard(
    instance: Instance, first: bool
) -> None:
    shown = {"message": "Painting.", "state": "streaming", "fps": 29.5, "viewers": 2}
    guard = {"guard": GUARD, "prompt": 'x", "message": "no, this'}
    instance.answer(guard | shown if first else shown | guard)
    said = instance.status()
    assert "state     Painting.\n" in said
    assert "stream    29.5 frames/s, viewers: 2\n" in said


def test_control_characters_in_an_answer_are_not_printed(instance: Instance) -> None:
    instance.answer({"message": "a\x1b[2Jb\r\nc" + "d" * 5_000_000, "fps": None, "viewers": 0})
    said = instance.status()
    assert "state     a [2Jb  c" in said
    assert len(said) < 2000


@pytest.mark.parametrize("text", ["", "[]", "no JSON", "[" * 100_000, '{"message": ', "null"])
def test_a_malformed_answer_is_reported_in_one_sentence(instance: Instance, text: str) -> None:
    instance.answer(text)
    assert re.search(
        "state     the (answer of the )?server (cannot be read|does not answer)\n",
        instance.status(),
    )


def test_the_server_is_not_asked_through_a_proxy(instance: Instance) -> None:
    instance.answer({"message": "Painting."})
    with proxying("refusing") as proxy:
        (instance.base / ".curlrc").write_text(f"proxy = {proxy.address}\n")
        said = instance.status(**proxy.environment())
        assert not proxy.requests
    assert "state     Painting.\n" in said


@pytest.mark.parametrize("kind", ["FIFO", "link", "folder", "a command"])
def test_a_malformed_serving_file_is_ignored(instance: Instance, kind: str) -> None:
    instance.serving.unlink()
    if kind == "FIFO":
        os.mkfifo(instance.serving)
    elif kind == "link":
        instance.serving.symlink_to("/dev/zero")
    elif kind == "folder":
        instance.serving.mkdir()
    else:
        instance.serving.write_text(f"-1 $(touch {instance.base}/ran) {instance.folder}\n")
    assert "release   none is serving\n" in instance.status()
    assert not (instance.base / "ran").exists()


def test_a_first_start_reports_only_what_went_wrong(tmp_path: Path) -> None:
    """The absence of an earlier server's files is not reported as a failure."""
    base = tmp_path / "base"
    release = base / "releases/r1"
    release.mkdir(parents=True)
    shutil.copytree(ROOT / "deploy", release / "deploy")
    (release / "realtime_stream.py").write_text(
        f"SERVER_PORT = {free_port()}\nraise SystemExit(2)\n"
    )
    environment = {
        **{"PATH": PATH, "HOME": str(base), "GUARD_ENVIRON": os.devnull},
        "INSTANCE_PYTHON": str(quick_python(tmp_path / "python")),
    }
    done = subprocess.run(
        ["bash", str(release / "deploy/host.sh"), "start", str(base), "r1", "MODEL_ID=demo"],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if line.startswith("[host]")]
    ended = "(the server cannot work with these settings (2).)"
    assert said == [
        f"[host] the new release failed {ended}. The end of its log:",
        "[host] Nothing is serving now.",
    ]


@needs_mounts
@pytest.mark.parametrize("trouble", ["full", "no inodes", "read-only"])
def test_a_start_on_a_nearly_full_disk_leaves_the_serving_release_running(
    tmp_path: Path, trouble: str
) -> None:
    rental = tmp_path / "environ"
    rental.write_text("CONTAINER_ID=7000\0CONTAINER_API_KEY=key\0")
    environment = {
        "INSTANCE_PYTHON": str(quick_python(tmp_path / "python")),
        "GUARD_ENVIRON": str(rental),
        "GUARD_API": f"http://127.0.0.1:{free_port()}",
    }
    with mounted(tmp_path / "base", "size=2m,nr_inodes=200") as disk:
        instance = Instance((tmp_path / "base").resolve())
        try:
            release = instance.base / "releases/r2"
            shutil.copytree(ROOT / "deploy", release / "deploy")
            (release / "realtime_stream.py").write_text("SERVER_PORT = 9\nraise SystemExit(2)\n")
            told = instance.serving.read_text()
            pairs = (f"SERVER_PORT={instance.port}", "MODEL_ID=demo")
            for pages in range(8 if trouble == "full" else 1):
                if trouble == "full":
                    disk.fill(pages)
                elif trouble == "no inodes":
                    disk.use_up_inodes()
                else:
                    disk.make_read_only()
                done = instance.run("start", "r2", *pairs, **environment)
                assert done.returncode == 1
                assert "[guard] armed: given back at" in done.stderr, done.stderr
                assert (
                    "The instance's disk is full:" in done.stderr
                    or "The instance's disk is read-only:" in done.stderr
                    or "the new release failed (the server cannot work with these settings (2).)"
                    in done.stderr
                ), done.stderr
                assert "Nothing has changed: r1 is still serving." in done.stderr, done.stderr
                assert instance.process.poll() is None
                assert instance.serving.read_text() == told
                if trouble != "read-only":
                    disk.make_room()
        finally:
            state = ("--state", str(instance.base / "state"))
            subprocess.run(["bash", str(ROOT / "deploy/guard.sh"), "disarm", *state], check=True)
            instance.process.kill()
            instance.process.wait(PATIENCE_S)


@pytest.mark.parametrize("state", ["running", "zombie"])
def test_a_stop_waits_for_a_process_that_runs_and_not_for_one_that_nobody_reaps(state: str) -> None:
    with subprocess.Popen(["sleep", "60" if state == "running" else "0"]) as process:
        if state == "zombie":
            wait_for(lambda: psutil.Process(process.pid).status() == state, PATIENCE_S, state)
        script = '. "$1"; sleep() { echo waited; }; host_wait_for_end "$2" 3'
        steps = str(ROOT / "deploy/host/processes.sh")
        command = ["bash", "-c", script, "bash", steps, str(process.pid)]
        done = subprocess.run(command, capture_output=True, text=True)
        process.kill()
    # Three times for its end, and once after the signal that kills it.
    assert done.stdout.split() == ["waited"] * (4 if state == "running" else 0)

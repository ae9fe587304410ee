"""Typed by hand with any python3, a program runs under its folder's own interpreter."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import process_batch

ROOT = Path(__file__).resolve().parents[1]
# An interpreter that says how it was called, in place of the release's own.
RECORDS = """#!/bin/sh
echo "$0"; echo "$@"; echo "$HANDOVER $SERVER_PORT $STATE_DIR"
"""


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A release with the programs alone, and links to them as host.sh has loop.sh lay them."""
    folder = tmp_path / "releases/r 1"
    (folder / "turbostream").mkdir(parents=True)
    for name in ("realtime_stream.py", "process_batch.py", "turbostream/release.py"):
        shutil.copy(ROOT / name, folder / name)
        if "/" not in name:
            (tmp_path / name).symlink_to(folder / name)
    (folder / "turbostream/__init__.py").touch()
    return folder


def interpreter(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    path.write_text(RECORDS)
    path.chmod(0o755)
    return path


def typed(
    folder: Path, program: str, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """`python3 program` there, with a python3 that has the standard library alone."""
    return subprocess.run(
        [sys.executable, "-S", program, *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("program", ["realtime_stream.py", "process_batch.py"])
def test_in_workspace_it_becomes_the_releases_own(
    tmp_path: Path, release: Path, program: str
) -> None:
    python = interpreter(tmp_path / "envs/bin/python")
    (release / ".deploy").mkdir()
    (release / ".deploy/python").write_text(f"{python}\n")
    (release / ".deploy/settings").write_text(
        "export STATE_DIR=/there HANDOVER=take SERVER_PORT=7\n"
    )
    done = typed(tmp_path, program, "a b")
    called = [str(python), f"{release}/{program} a b"]
    assert done.stdout.splitlines() == [*called, "no 7 /there"], done.stderr
    done = typed(tmp_path, program, "a b", SERVER_PORT="8", HANDOVER="offer")
    assert done.stdout.splitlines() == [*called, "offer 8 /there"], done.stderr


@pytest.mark.parametrize("program", ["realtime_stream.py", "process_batch.py"])
def test_where_setup_sh_was_run_by_hand_it_takes_the_environment_beside_it(
    release: Path, program: str
) -> None:
    made = interpreter(release / ".venv/bin/python")
    assert typed(release, program, "x").stdout.splitlines()[:2] == [
        str(made),
        f"{release}/{program} x",
    ]


@pytest.mark.parametrize("program", ["realtime_stream.py", "process_batch.py"])
def test_without_an_environment_one_sentence_says_what_to_run(release: Path, program: str) -> None:
    done = typed(release, program)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith(f"{program} needs torch, flask, gevent, PIL, which {sys.executable}")
    assert f"run {release}/setup.sh first" in line


def test_an_older_python_can_read_as_far_as_the_restart() -> None:
    for name in ("turbostream/__init__.py", "turbostream/release.py"):
        ast.parse((ROOT / name).read_text(), feature_version=(3, 8))
    for name in ("realtime_stream.py", "process_batch.py"):
        text = (ROOT / name).read_text()
        ast.parse(text, feature_version=(3, 8))
        before, _ = text.split(f'release.restart(__name__, "{name}"')
        imported = {
            alias.name
            for node in ast.walk(ast.parse(before))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        assert imported == {"annotations", "os", "sys", "release"}


def test_the_guides_batch_without_arguments_reads_prompts_txt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert process_batch.main([]) == 2
    assert "There is no file prompts.txt: write one prompt per line into it" in caplog.text
    (tmp_path / "prompts.txt").write_text("# nothing yet\n")
    assert process_batch.main([]) == 2

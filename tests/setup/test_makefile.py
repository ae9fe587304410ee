from __future__ import annotations

import os
import re
import subprocess

import pytest

from tests.setup.machine import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split()  # type: ignore[index]


def make(*arguments: str) -> str:
    inherited = {"MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS", "ARGS"}  # of `make test`
    done = subprocess.run(
        ["make", *arguments],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name not in inherited},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_make_alone_prints_the_help() -> None:
    assert make() == make("help")


def test_help_lists_every_target_with_a_sentence() -> None:
    listed = re.findall(r"^  make ([a-z-]+) +\S.*$", make("help"), re.MULTILINE)
    written = re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE)
    assert sorted(listed) == sorted(TARGETS) == sorted(written)


@pytest.mark.parametrize("target", ["run", "run-cluster", "test"])
def test_run_and_test_set_the_machine_up_first(target: str) -> None:
    first, *rest = make("-n", target).splitlines()
    assert first.startswith("./setup.sh")
    assert ".venv/bin/python" in rest[0]


def test_arguments_reach_the_program() -> None:
    assert make("-n", "run", "ARGS=--help").rstrip().endswith("realtime_stream.py --help")

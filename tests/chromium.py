"""Chromium for tests: the system's own, without the parts of it that no page can see."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserType

PROGRAM = Path(__file__).with_name("chromium.sh")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def launch(kind: BrowserType, *args: str) -> Browser:
    """A running Chromium with these arguments; skips the test where there is none, except in CI."""
    if not any(map(shutil.which, ("chromium", "chromium-browser"))) and "CI" not in os.environ:
        pytest.skip("no Chromium here (Debian: apt-get install chromium)")
    return kind.launch(executable_path=PROGRAM, args=[*QUIET, *args])

"""A single .safetensors file, played in a real Chromium from a path with a space and accents."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.engine import civitai
from tests.page.live_server import LiveServer, shared

pytestmark = pytest.mark.browser


class FileServer(LiveServer):
    def __init__(self, state_dir: Path) -> None:
        super().__init__(state_dir)
        place = state_dir / "Mes modèles à moi"
        place.mkdir()
        pipe, self.file = civitai.pipeline(), place / "été 1.0.safetensors"
        civitai.write(pipe, self.file)
        pipe.save_pretrained(place / "whole")
        weights = shutil.ignore_patterns("*.safetensors")
        shutil.copytree(place / "whole", self.file.with_suffix(""), ignore=weights)
        self._env |= {"MODEL_ID": str(self.file), "DECODER": "full"}


shared_server = shared(FileServer)


def test_it_plays(page, server, eventually):
    found = server.ask("GET", "/status")
    assert found["model"]["id"] == str(server.file)
    words = found["engine"]["fingerprint"].split()
    assert words[0] == f"{server.file}@local".replace(" ", "-")
    before = int(page.get_attribute("#picture", "data-frame"))
    page.fill("#prompt", "a red circle")
    eventually(lambda: server.ask("GET", "/status")["prompt"], "a red circle")
    eventually(lambda: int(page.get_attribute("#picture", "data-frame")) > before + 5)

"""Guidance and negative words on the page, for a demo model whose LoRA makes it use them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lora import write_lora
from tests.page.live_server import LiveServer, shared

pytestmark = pytest.mark.browser


class GuidedServer(LiveServer):
    """With LCM's scheduler, which the name of its LoRA asks for."""

    def __init__(self, state_dir: Path) -> None:
        super().__init__(state_dir)
        lora = write_lora(state_dir / "lcm-lora.safetensors", 1)
        self._env |= {"LORAS": f"lcm={lora}@0", "FADE_S": "0"}


shared_server = shared(GuidedServer)


@pytest.fixture
def scene(server):
    server.ask("PATCH", "/scene", {"guidance": None, "negative": ""})
    yield lambda name: server.ask("GET", "/scene")[name]
    server.ask("PATCH", "/scene", {"guidance": None, "negative": ""})


def test_guidance_is_moved_and_the_negative_words_are_typed(page, scene, eventually):
    page.wait_for_selector("#guidance")
    eventually(lambda: page.inner_text("#guidance-value"), "off")
    assert page.is_disabled("#negative")
    page.fill("#guidance", "2.5")
    eventually(lambda: scene("guidance"), 2.5)
    assert page.inner_text("#guidance-value") == "2.5"
    page.fill("#negative", " blurry, dark ")
    page.keyboard.press("Enter")
    eventually(lambda: scene("negative"), "blurry, dark")
    page.fill("#guidance", "1")
    eventually(lambda: scene("guidance"), 1)
    eventually(lambda: page.is_disabled("#negative"))
    assert scene("negative") == "blurry, dark"


def test_the_page_follows_another_controller(page, server, scene, eventually):
    page.wait_for_selector("#guidance")
    server.ask("PATCH", "/scene", {"guidance": 4, "negative": "grey"})
    eventually(lambda: page.inner_text("#guidance-value"), "4.0")
    assert page.input_value("#guidance") == "4"
    assert page.input_value("#negative") == "grey"
    assert page.is_enabled("#negative")

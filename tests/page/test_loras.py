"""LoRAs and steps on the page: a real Chromium, and a demo model with two LoRAs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.lora import write_lora
from tests.page.desk import FIRST_PICTURE
from tests.page.live_server import LiveServer, shared

pytestmark = pytest.mark.browser


class LoraServer(LiveServer):
    def __init__(self, state_dir: Path) -> None:
        super().__init__(state_dir)
        ink, oil = (write_lora(state_dir / f"{n}.safetensors", n) for n in (1, 2))
        self._env |= {"LORAS": f"ink={ink}@0.5,oil={oil}@0", "FADE_S": "0"}


shared_server = shared(LoraServer)


def adapters(server: Any) -> Any:
    return server.ask("GET", "/scene")["adapters"]


def test_a_slider_for_each_lora_shows_and_sets_its_weight(page, server, eventually):
    assert page.locator("#loras label").all_text_contents() == ["ink", "oil"]
    eventually(lambda: page.locator("#loras output").all_text_contents(), ["0.50", "0.00"])
    page.locator("#lora_oil").fill("1.25")
    eventually(lambda: adapters(server), {"ink": 0.5, "oil": 1.25})
    page.locator("#lora_ink").fill("0")
    eventually(lambda: adapters(server), {"ink": 0, "oil": 1.25})
    server.ask("PATCH", "/scene", {"adapters": {"ink": 0.8}})
    eventually(lambda: page.locator("#loras output").all_text_contents(), ["0.80", "1.25"])
    assert page.input_value("#lora_ink") == "0.8"


def test_the_number_of_steps_is_chosen_and_left_to_the_model_again(page, server, eventually):
    assert page.input_value("#steps") == ""
    page.select_option("#steps", "2")
    eventually(lambda: server.ask("GET", "/scene")["steps"], 2)
    page.select_option("#steps", "")
    eventually(lambda: server.ask("GET", "/scene")["steps"], None)
    server.ask("PATCH", "/scene", {"steps": 3})
    eventually(lambda: page.input_value("#steps"), "3")
    server.ask("PATCH", "/scene", {"steps": None})


def test_a_controller_takes_the_weight_over_from_where_it_is(page):
    values = page.evaluate("""async () => {
        const {inForce} = await import('/page/in_force.js');
        return [inForce('lora_ink', {adapters: {ink: 0.3}}), inForce('lora_oil', {}) ?? null];
    }""")
    assert values == [0.3, None]


def test_whoever_may_only_watch_has_no_sliders(desk, server):
    assert server.ask("GET", "/parameters")["parameters"]
    page = desk.window()
    page.goto(server.url + "/?view=watch")
    page.wait_for_selector(FIRST_PICTURE)
    assert not page.is_visible("#lora_ink")

"""A server with several channels, for the tests of their pages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.page.live_server import FIRST_PROMPT, LiveServer

NAMES = ("main", "left", "right", "stage", "door", "roof")


class ChannelServer(LiveServer):
    def __init__(self, state_dir: Path) -> None:
        super().__init__(state_dir)
        self._env["CHANNELS"] = ",".join(NAMES)

    def channels(self) -> dict[str, Mapping[str, Any]]:
        """What GET /channels says of each, by name."""
        return {it["name"]: it for it in self.ask("GET", "/channels")["channels"]}

    def prompt(self, name: str) -> str:
        prompt: str = self.ask("GET", f"/scene?channel={name}")["prompt"]
        return prompt

    def show(self, prompts: Mapping[str, str]) -> None:
        """Sets the prompt of each of these channels."""
        for name, prompt in prompts.items():
            self.ask("POST", f"/prompt?channel={name}", {"prompt": prompt})

    def as_new(self) -> None:
        """The channels of the start, each with the first prompt."""
        for name in set(self.channels()) - set(NAMES):
            self.ask("DELETE", f"/channels/{name}")
        for name in set(NAMES) - set(self.channels()):
            self.ask("PUT", f"/channels/{name}", {})
        super().as_new()
        self.show(dict.fromkeys(NAMES, FIRST_PROMPT))

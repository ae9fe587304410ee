"""Looks on the server of a test, as another client saves them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote


@contextmanager
def with_looks(server: Any, *prompts: str) -> Iterator[None]:
    """One look per prompt, named by it and held, so that each is one picture; empty afterwards."""
    emptied(server)
    for seed, prompt in enumerate(prompts):
        server.ask("PATCH", "/scene", {"prompt": prompt, "motion": "hold", "seed": seed})
        server.ask("PUT", f"/looks/{quote(prompt)}")
    yield
    emptied(server)


def emptied(server: Any) -> None:
    server.ask("PUT", "/setlist", {"entries": [], "loop": False})
    for name in names(server):
        server.ask("DELETE", f"/looks/{quote(name)}")


def names(server: Any) -> list[str]:
    return [look["name"] for look in server.ask("GET", "/looks")["looks"]]

"""The application without a socket, with any settings, and a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.web.conftest import stage as stage
from turbostream.web import gate
from turbostream.web.app import create_app
from turbostream.web.context import AppContext
from turbostream.web.viewers import Bell


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "WRONG_TOKEN_S", 0.0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The gate's time, which stands still: however slow the machine, no pause is over by itself."""
    now = [1000.0]
    monkeypatch.setattr(gate, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


@pytest.fixture
def make(stage: AppContext) -> Iterator[Any]:
    bells: list[Bell] = []

    def client(**settings: object) -> FlaskClient:
        bells.append(Bell())
        stage.channel.buffer.listen(bells[-1].ring)
        changed = replace(stage, settings=replace(stage.settings, **settings))  # type: ignore[arg-type]
        return create_app(changed, bells[-1]).test_client(use_cookies=False)

    yield client
    stage.channel.buffer._listeners = ()
    for bell in bells:
        bell.close()

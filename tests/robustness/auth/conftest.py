"""The application without a socket, with any settings, and a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.web.conftest import context as context
from tests.web.routes.channels import with_channels
from turbostream.web.app import create_app
from turbostream.web.auth import access_control
from turbostream.web.context import AppContext
from turbostream.web.live.wakeup import Wakeup


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_control, "WRONG_TOKEN_S", 0.0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still: no pause ends by itself, however slow the machine is."""
    now = [1000.0]
    monkeypatch.setattr(access_control, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


@pytest.fixture
def gallery(context: AppContext) -> Iterator[FlaskClient]:
    """A client of a server with the channels main, left and right."""
    wakeup = Wakeup()
    context.channel.buffer.listen(wakeup.send)
    app = create_app(context, wakeup)
    with with_channels(context, "main,left,right"):
        yield app.test_client(use_cookies=False)
    wakeup.close()


@pytest.fixture
def make(context: AppContext) -> Iterator[Any]:
    wakeups: list[Wakeup] = []

    def client(**settings: object) -> FlaskClient:
        wakeups.append(Wakeup())
        context.channel.buffer.listen(wakeups[-1].send)
        changed = replace(context, settings=replace(context.settings, **settings))  # type: ignore[arg-type]
        return create_app(changed, wakeups[-1]).test_client(use_cookies=False)

    yield client
    context.channel.buffer._listeners = ()
    for bell in wakeups:
        bell.close()

"""Engines whose streams run on a simulated device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.engine.cuda.simulated import Device
from turbostream.engine.cuda.memory_plan import Plan
from turbostream.engine.cuda.streams import Streams
from turbostream.engine.local_engine import LocalEngine
from turbostream.engine.model.model import Model

FULL = Plan(2, 8)
Open = Callable[..., "SimulatedEngine"]


class SimulatedEngine(LocalEngine):
    """A LocalEngine whose streams run on a simulated device."""

    device: Device

    def make_streams(self, plan: Plan, *what: Any) -> Streams:
        self.device.taken = 0
        return Streams(self.device, plan, *what)


@contextmanager
def engines_of(model: Model, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens engines of `model`, which is not released; they are closed at the end."""
    monkeypatch.setattr(Model, "release", lambda self: None)  # the model is shared
    opened: list[SimulatedEngine] = []

    def open_one(plan: Plan = FULL, **device: Any) -> SimulatedEngine:
        class Engine(SimulatedEngine):
            pass

        Engine.device = Device(**device)
        opened.append(Engine(model, 85, "test", plan))
        return opened[-1]

    yield open_one
    for engine in opened:
        engine.close()
        engine.device.close()

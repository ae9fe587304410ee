from __future__ import annotations

import pytest

from tests.stream.clock import Clock
from turbostream.stream import producer


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Simulated time for the producer's module; give it to `running` as well."""
    clock = Clock()
    monkeypatch.setattr(producer, "time", clock)
    monkeypatch.setattr(producer, "wait", clock.wait)
    return clock

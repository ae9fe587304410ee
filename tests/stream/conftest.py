from __future__ import annotations

import pytest

from tests.stream.clock import Clock
from turbostream.stream import scheduler


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Simulated time for the scheduler's module; give it to `running` and `schedule` as well."""
    clock = Clock()
    monkeypatch.setattr(scheduler, "time", clock)
    return clock

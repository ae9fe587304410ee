"""The stages of a start, in the log and for `benchmarks.start`."""

from __future__ import annotations

import logging

import pytest

from benchmarks.start import STAGES
from turbostream.engine import open_engine, weights
from turbostream.engine.stages import Stages
from turbostream.settings import load

DEFAULTS = {"TARGET_FPS": 30, "INITIAL_PROMPT": "red", "MODEL_ID": "demo", "SERVER_PORT": 8000}


def test_the_log_says_how_long_each_stage_took(caplog: pytest.LogCaptureFixture) -> None:
    settings, _ = load(DEFAULTS, [], {"DEVICE": "cpu"})
    caplog.set_level(logging.INFO)
    open_engine(settings, weights.find("demo", "cpu"), lambda progress: None).close()
    found = STAGES.search(caplog.text)
    assert found is not None
    stages = [stage.rpartition(" ") for stage in found[1].split(", ")]
    names = ["imports", "files", "weights", "decoder", "model", "text graph", "painting", "check"]
    assert [name for name, _, _ in stages] == names
    assert sum(float(spent) for name, _, spent in stages if name in ("weights", "painting")) > 0


def test_a_stage_begins_when_the_one_before_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([10.0, 12.0, 12.5, 13.5])
    monkeypatch.setattr("time.perf_counter", lambda: next(times))
    stages = Stages()
    for name in ("imports", "weights", "imports"):
        stages.end(name)
    assert str(stages) == "first picture after 3.50 s: imports 3.00, weights 0.50"

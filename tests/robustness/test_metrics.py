"""/metrics of the real server: the numbers of /status, under names that Prometheus keeps."""

from __future__ import annotations

import pytest

from tests.robustness.conftest import Program, Start
from tests.robustness.raw import eventually, open_stream


def metrics(program: Program) -> dict[str, float]:
    """The samples of the program's own metrics, by name and labels, without the prefix and without
    the label of the default channel."""
    text = program.request("/metrics")[1].decode()
    lines = text.replace('{channel="main"}', "").replace('{channel="main",', "{").splitlines()
    samples = [line.rsplit(" ", 1) for line in lines if line.startswith("turbostream_")]
    return {name.removeprefix("turbostream_"): float(value) for name, value in samples}


def test_the_metrics_agree_with_the_status(start: Start) -> None:
    program = start("once", "--max-viewers", "7").wait_until_healthy()
    with open_stream(program.port) as viewer:
        eventually(lambda: viewer.recv(65536) and program.status()["frame"] > 60, step_s=0)
        during = metrics(program)
    eventually(lambda: program.status()["state"] == "resting")
    found, status = metrics(program), program.status()
    assert [name for name, value in during.items() if name.startswith("state{") and value] == [
        'state{turbostream_state="streaming"}'
    ]
    assert found['state{turbostream_state="resting"}'] == 1
    assert (during["viewers"], found["viewers"], found["viewers_limit"]) == (1, 0, 7)
    assert found["failed_frames_total"] == status["failed_frames"] == 1
    assert found["frames_total"] == status["frames"] >= 60
    assert found["healthy"] == 1
    assert 0 < during["newest_frame_age_seconds"] < 60
    assert found["stage_seconds" + '{stage="jpeg"}'] == pytest.approx(
        status["stage_ms"]["jpeg"] / 1000
    )
    assert found["parts_sent_total"] > 30
    assert found["sent_bytes_total"] > 8000 * found["parts_sent_total"]


def test_the_quantiles_appear_with_the_first_measurement(start: Start) -> None:
    program = start("sound").wait_until_healthy()
    quantiles = [f'prompt_to_picture_seconds{{quantile="{share}"}}' for share in ("0.5", "0.95")]
    assert not set(quantiles) & set(metrics(program))
    with open_stream(program.port) as viewer:
        assert viewer.recv(100)
        program.request("/prompt", {"prompt": "other words"})
        eventually(
            lambda: viewer.recv(65536) and program.status()["prompt_to_picture_ms"]["p50"], step_s=0
        )
    found, measured = metrics(program), program.status()["prompt_to_picture_ms"]
    assert [found[name] * 1000 for name in quantiles] == [
        pytest.approx(measured[name]) for name in ("p50", "p95")
    ]


def test_refused_connections_are_counted(start: Start) -> None:
    program = start("sound", "--max-connections", "8").wait_until_healthy()
    assert metrics(program)["connections_refused_total"] == 0
    refusals = 1
    viewers = [open_stream(program.port) for _ in range(8)]
    try:
        for viewer in viewers:
            assert viewer.recv(100)
        with open_stream(program.port) as refused:
            assert refused.recv(12) == b"HTTP/1.1 503"
    finally:
        for viewer in viewers:
            viewer.close()

    def has_room() -> bool:
        nonlocal refusals
        status, _ = program.request("/healthz")
        refusals += status == 503
        return status == 200

    eventually(has_room)
    assert metrics(program)["connections_refused_total"] == refusals

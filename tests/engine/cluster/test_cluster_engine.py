"""The engine of a real Ray cluster of two nodes: it paints what the local engine paints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.engine.cluster.nodes import Nodes
from tests.engine.cluster.painter import run


@pytest.fixture(scope="module")
def local() -> dict[str, Any]:
    return run("pictures")


@pytest.fixture(scope="module")
def cluster() -> Iterator[dict[str, Any]]:
    nodes = Nodes()
    try:
        yield run("everything", nodes.address, nodes.raylets[1], environment=nodes.environment)
    finally:
        nodes.close()


def test_every_picture_equals_the_local_engines_under_the_same_fingerprint(
    cluster: dict[str, Any], local: dict[str, Any]
) -> None:
    found = cluster["pictures"]
    assert len({jpeg for jpeg, _ in found["one by one"]}) == len(found["one by one"])
    assert found == local


def test_what_cannot_be_painted_is_refused_and_what_is_in_flight_ends_with_the_engine(
    cluster: dict[str, Any],
) -> None:
    found = cluster["refusals"]
    size, adapter, gone = found["refused"]
    assert "multiples of 8" in size
    assert adapter == "ShotError: The shot uses the adapter 'ink', which is not loaded."
    assert gone == "ShotError: The picture is gone."
    assert found["dropped"].startswith("star star")
    assert found["closed"] in ("painted", "EngineClosed: The engine was closed.")


def _lost_nothing(found: dict[str, Any], local: dict[str, Any]) -> None:
    assert set(found["outcomes"]) == {"painted"}
    assert len({jpeg for jpeg, _ in found["pictures"]}) == len(found["pictures"]) == 24
    assert {name for _, name in found["pictures"]} == {local["one by one"][0][1]}


def test_a_worker_that_stands_still_costs_no_frame_and_is_used_again(
    cluster: dict[str, Any], local: dict[str, Any]
) -> None:
    found = cluster["stopped_worker"]
    _lost_nothing(found, local)
    assert "late" in found["states"]
    assert found["restarts"] == 0


def test_a_worker_that_is_killed_costs_no_frame_and_is_restarted(
    cluster: dict[str, Any], local: dict[str, Any]
) -> None:
    found = cluster["killed_worker"]
    _lost_nothing(found, local)
    assert found["restarts"] == 1


def test_a_node_that_is_killed_costs_no_frame_and_its_worker_moves_to_the_other(
    cluster: dict[str, Any], local: dict[str, Any]
) -> None:
    found = cluster["killed_node"]
    _lost_nothing(found, local)
    assert (found["nodes"], found["restarts"]) == (1, 2)

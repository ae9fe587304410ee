"""Fixtures of the routes' tests: an engine that is open, and looks."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient


@pytest.fixture
def open_engine(client: FlaskClient) -> None:
    assert client.get("/snapshot.jpg").status_code == 200


@pytest.fixture
def looks(client: FlaskClient, open_engine: None) -> None:
    for name in "abc":
        client.put(f"/looks/{name}", json={"scene": {"prompt": f"look {name}"}})

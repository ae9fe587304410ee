from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engine.cluster.nodes import Nodes


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    """Two nodes, of which the second may be killed."""
    started = Nodes()
    try:
        yield started
    finally:
        started.close()

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.host import Host, Laptop


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A short folder outside TMPDIR: what lives in it lives as long as a module's tests."""
    folder = Path(tempfile.mkdtemp(prefix="turbo-test-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def host(place: Path) -> Iterator[Host]:
    host = Host(place / "host")
    yield host
    host.close()


@pytest.fixture(scope="module")
def laptop(place: Path, host: Host) -> Laptop:
    laptop = Laptop(place, host)
    host.start()
    return laptop

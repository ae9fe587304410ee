"""Tests marked `cuda` run where PyTorch sees an NVIDIA GPU; elsewhere a line says they did not."""

from __future__ import annotations

from typing import Any

import pytest
import torch

_missing: list[str] = []


@pytest.fixture(autouse=True)
def _a_gpu_where_one_is_needed(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("cuda") and not torch.cuda.is_available():
        _missing.append(request.node.name)
        pytest.skip("no NVIDIA GPU")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if _missing:
        terminalreporter.write_line(
            f"The CUDA graph and streams were not tested: {len(_missing)} tests need an NVIDIA GPU."
        )

"""The contact sheet that compares this engine with diffusers' own pipeline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks import sheet


@pytest.fixture(autouse=True)
def _two_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "PROMPTS", sheet.PROMPTS[:2])


@pytest.mark.parametrize("steps", [[], ["--steps", "2"]])
def test_the_demo_model_paints_what_diffusers_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], steps: list[str]
) -> None:
    out = tmp_path / "sheet.png"
    given = ["demo", "--device", "cpu", "--size", "128x64", "--out", str(out), *steps]
    assert sheet.main(given) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["pictures"] == 8
    assert said["below_limit"] == []
    with Image.open(out) as image:
        assert len(image.getcolors(1 << 24) or []) > 100


def test_a_picture_that_differs_ends_with_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paint = sheet.Theirs.paint

    def other(self: Any, shot: Any, *rest: Any) -> Any:
        pixels = paint(self, shot, *rest)
        return np.roll(pixels, 16, 1) if len(shot.prompts) == 2 else pixels

    monkeypatch.setattr(sheet.Theirs, "paint", other)
    out = tmp_path / "sheet.png"
    assert sheet.main(["demo", "--device", "cpu", "--size", "64x64", "--out", str(out)]) == 1
    assert len(json.loads(capsys.readouterr().out.splitlines()[-1])["below_limit"]) == 6


def test_a_model_that_cannot_be_used_ends_with_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert sheet.main(["./nowhere"]) == 2
    assert capsys.readouterr().err.count("\n") == 1

"""The one command, a few steps of it on the CPU."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from diffusers import AutoPipelineForText2Image

from training import model, train


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    train.train(
        train.arguments(
            ["--out", str(folder), "--steps", "3", "--batch", "16", "--decoded", "8",
             "--prompts", "300", "--device", "cpu"]
        )
    )  # fmt: skip
    return folder


def test_three_steps_write_a_folder_that_plain_diffusers_paints_with(out: Path) -> None:
    pipe = AutoPipelineForText2Image.from_pretrained(str(out / "model"), dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    picture = pipe("a red star", num_inference_steps=1, guidance_scale=0.0, output_type="pt").images
    assert picture.shape == (1, 3, 256, 256)


def test_the_log_has_a_line_a_step_with_losses_that_are_numbers(out: Path) -> None:
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert all(math.isfinite(row[k]) for row in rows for k in ("pixels", "heads", "words"))


def test_the_steps_have_moved_every_part_of_the_model(out: Path) -> None:
    before, after = model.OneStep(model.build(0)), model.OneStep(model.load(out / "model"))
    after_by_name = dict(after.named_parameters())
    moved = {
        name.split(".")[0]
        for name, value in before.named_parameters()
        if "encoder" not in name.split(".")[1]
        and (value - after_by_name[name]).abs().max() > 1e-3 * value.abs().max()
    }
    assert moved == {"text_encoder", "unet", "vae"}


def test_the_folder_and_its_words_are_complete(out: Path) -> None:
    shipped = Path(__file__).resolve().parents[2] / "turbostream" / "demo_model"
    made = {str(f.relative_to(out / "model")) for f in (out / "model").rglob("*") if f.is_file()}
    kept = {str(f.relative_to(shipped)) for f in shipped.rglob("*") if f.is_file()}
    assert made == kept - {"README.md"}

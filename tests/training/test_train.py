"""The one command, a few steps of it on the CPU."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import AutoPipelineForText2Image

from tests.training.conftest import draw, recipe
from training import dataset, loss_curve, losses, model, render, train


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
    assert all(math.isfinite(row[k]) for row in rows for k in train.LOSSES)
    assert all(name in loss_curve.svg(rows) for name in train.LOSSES)


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


def test_a_training_goes_on_from_anothers_weights_and_heads(out: Path, tmp_path: Path) -> None:
    train.train(
        train.arguments(
            ["--out", str(tmp_path), "--steps", "1", "--batch", "8", "--decoded", "8",
             "--prompts", "300", "--device", "cpu", "--init", str(out), "--seed", "1"]
        )
    )  # fmt: skip
    before, after = (torch.load(f / train.AVERAGE, weights_only=True) for f in (out, tmp_path))
    assert {n.split(".")[0] for n in after} == {"net", "heads"}
    # One step at the first two hundredth of the rate, and an average that keeps a tenth.
    assert all(torch.allclose(before[n], after[n], atol=1e-3) for n in before)
    assert any(not torch.equal(before[n], after[n]) for n in before)


def test_two_processes_train_one_model(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2",
         "-m", "training.train", "--out", str(tmp_path), "--steps", "2", "--batch", "8",
         "--decoded", "4", "--prompts", "300", "--device", "cpu"],
        check=True, timeout=300, capture_output=True, cwd=Path(__file__).resolve().parents[2],
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2]
    assert (tmp_path / "model" / "model_index.json").exists()


def test_hard_colours_are_those_that_are_taken_for_another_where_they_are_too_dark() -> None:
    asked = [
        recipe(thing="cat", colour="blue"), recipe(thing="cat", colour="orange"),
        recipe(thing="cat", colour="orange", size="small"),
        recipe(thing="cat", colour="white", pattern="dotted"), recipe(ground="orange"),
    ]  # fmt: skip
    assert dataset.hard(torch.tensor(asked)).tolist() == [0, 1, 3, 3, 0]


def test_the_colour_loss_is_nothing_for_the_teachers_picture_and_grows_with_the_dark(
    teachers: dict[int, render.Renderer],
) -> None:
    asked = torch.tensor([recipe(thing="cat", colour="orange", ground="white", pattern="checked")])
    painted = teachers[256].paint(asked, draw(1, 20))
    right, dim, dark = (
        float(losses.colour_loss(painted.image * light * 2 - 1, painted))
        for light in (1.0, 0.8, 0.6)
    )
    assert right == 0 < dim < dark

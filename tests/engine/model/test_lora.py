"""LoRAs merged into the rewritten model: the same result as in diffusers' own modules."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.engine.conftest import CPU, pipeline
from tests.engine.model.lora_writer import ATTENTION, CONVOLUTIONS, merge_plainly, write
from turbostream.engine.model.model import Kind, Model
from turbostream.engine.rewrite import packed
from turbostream.engine.weights.lora_files import LoraFile
from turbostream.stream.engine_api import EngineUnusable
from turbostream.stream.shot import Adapters, InputPicture, Shot

SHOT = Shot.single("a red heart", 7)
PICTURE = InputPicture("0" * 64)
TIME = ("time_emb_proj",)
EMBEDDING = ("time_embedding.linear_1", "time_embedding.linear_2")
TEXT = ("self_attn.q_proj", "mlp.fc1")
ALL = (*ATTENTION, *CONVOLUTIONS, *TIME, *EMBEDDING, "ff.net.0.proj", "ff.net.2", "proj_out")


def resolve(source: Any, width: int, height: int) -> Any:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)


@torch.inference_mode()
def painted(model: Model, shot: Shot = SHOT, times: int = 1) -> torch.Tensor:
    """Latents of the shot's last painting, on the path of one shot."""
    for _ in range(times):
        values = {name: one.tensor[None] for name, one in model.values(shot).items()}
        latents = model.denoise_alone(**values)
    return latents


def with_merged(shot: Shot, model: Model, adapters: Adapters) -> torch.Tensor:
    model.merge(adapters)
    return painted(model, shot)


def reference(loras: Sequence[tuple[LoraFile, float]], shot: Shot = SHOT) -> torch.Tensor:
    """The picture of a model whose LoRAs were added before it was rewritten."""
    pipe = pipeline()
    for file, weight in loras:
        merge_plainly(pipe, file, weight)
    return painted(Model(pipe, CPU, resolve=resolve), shot)


def model_of(*files: LoraFile) -> Model:
    return Model(pipeline(), CPU, resolve=resolve, loras=files)


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


BLEND = Shot((("a red heart", 0.6), ("three stars", 0.4)), SHOT.noise)
SHOTS = {"words": SHOT, "picture": Shot(SHOT.prompts, SHOT.noise, PICTURE, 0.5), "blend": BLEND}


@pytest.mark.parametrize("shot", SHOTS.values(), ids=SHOTS)
@pytest.mark.parametrize("kohya", [False, True], ids=["diffusers", "kohya"])
@pytest.mark.parametrize(
    ("names", "text"),
    [
        (ATTENTION, ()),  # self attention's is fused
        (("conv",), ()),  # upsamplers and downsamplers
        (("conv1",), ()),  # its bias has the time folded into it
        (TIME, ()),
        (EMBEDDING, ()),
        (ALL, TEXT),
    ],
    ids=["attention", "enlargements", "conv1", "time", "embedding", "all"],
)
def test_a_merged_lora_gives_what_it_gives_in_diffusers_modules(
    tmp_path: Path, names: Sequence[str], text: Sequence[str], kohya: bool, shot: Shot
) -> None:
    file = write(tmp_path / "ink.safetensors", pipeline(), names, text, kohya, alpha=2.0)
    model = model_of(file)
    before = painted(model, shot, times=9)  # traced and packed by now
    found = with_merged(shot, model, (("ink", 0.7),))
    wanted = reference([(file, 0.7)], shot)
    assert distance(found, wanted) < 1e-4
    assert distance(before, wanted) > 0.01
    assert distance(reference([(file, 0.35)], shot), wanted) > 0.005  # half the weight is caught
    assert torch.equal(with_merged(shot, model, ()), before)


def test_two_loras_at_once_add_up(tmp_path: Path) -> None:
    first = write(tmp_path / "ink.safetensors", pipeline(), ALL, TEXT)
    second = write(tmp_path / "pixel.safetensors", pipeline(), ATTENTION, kohya=True, seed=2)
    model = model_of(first, second)
    found = with_merged(SHOT, model, (("ink", 0.5), ("pixel", 1.3)))
    assert distance(found, reference([(first, 0.5), (second, 1.3)])) < 1e-4
    only = with_merged(SHOT, model, (("pixel", 1.3),))
    assert distance(only, reference([(second, 1.3)])) < 1e-4


def test_without_a_weight_the_picture_is_that_of_no_lora_to_the_bit(tmp_path: Path) -> None:
    file = write(tmp_path / "ink.safetensors", pipeline(), ALL, TEXT)
    bare = Model(pipeline(), CPU, resolve=resolve)
    model = model_of(file)
    for shot in SHOTS.values():
        assert torch.equal(painted(model, shot), painted(bare, shot))


def test_weights_moved_two_hundred_times_equal_those_of_a_fresh_model(tmp_path: Path) -> None:
    files = [
        write(tmp_path / "ink.safetensors", pipeline(), ALL, TEXT),
        write(tmp_path / "pixel.safetensors", pipeline(), ("conv", "to_q"), kohya=True, seed=2),
    ]
    moved, fresh = model_of(*files), model_of(*files)
    for turn in range(200):
        moved.merge((("ink", (turn % 40 + 1) / 20), ("pixel", (turn % 7 + 1) / 5)))
        if turn % 25 == 0:
            painted(moved)
    last = (("ink", 0.731), ("pixel", 0.2))
    for shot in SHOTS.values():
        assert torch.equal(with_merged(shot, moved, last), with_merged(shot, fresh, last))


def test_convolutions_of_the_cpu_are_packed_again(tmp_path: Path) -> None:
    assert packed.available()
    file = write(tmp_path / "ink.safetensors", pipeline(), CONVOLUTIONS)
    model = model_of(file)
    painted(model, times=9)
    assert model._alone[Kind()]._traced is not None  # type: ignore[attr-defined]
    model.merge((("ink", 1.0),))
    assert distance(painted(model), reference([(file, 1.0)])) < 1e-4
    assert model._alone[Kind()]._traced is not None  # type: ignore[attr-defined]


def test_a_lora_that_does_not_fit_is_refused_by_name(tmp_path: Path) -> None:
    pipe = pipeline()
    pipe.unet.mid_block.added = torch.nn.Linear(8, 8)
    file = write(tmp_path / "ink.safetensors", pipe, ("to_q", "added"))
    with pytest.raises(EngineUnusable, match=r"LORAS: ink \(ink.safetensors\) .*mid_block_added"):
        model_of(file)
    pipe = pipeline()
    pipe.unet.conv_in = torch.nn.Conv2d(9, 32, 3)
    file = write(tmp_path / "ink.safetensors", pipe, ("conv_in",))
    with pytest.raises(EngineUnusable, match="32x81 values where the model has 32x36"):
        model_of(file)
    file = write(tmp_path / "nan.safetensors", pipeline(), ("to_q",), alpha=float("nan"))
    with pytest.raises(EngineUnusable, match="no number"):
        model_of(file)

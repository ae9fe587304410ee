"""Single files in CivitAI's format: painted like the same weights in a folder, or refused."""

from __future__ import annotations

import json
import shutil
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.engine import civitai
from tests.engine.conftest import CPU
from turbostream.engine import weights
from turbostream.engine.model import single_file as opening
from turbostream.engine.model.loading import load_pipeline
from turbostream.engine.weights import single_file
from turbostream.stream.engine_api import EngineUnusable


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, Path]:
    """A model's folder and single file, whose configs lie beside it."""
    place = tmp_path / "Mes modèles à moi"
    place.mkdir()
    pipe = civitai.pipeline()
    folder, file = place / "whole", place / "été 1.0.safetensors"
    pipe.save_pretrained(folder)
    civitai.write(pipe, file)
    shutil.copytree(folder, file.with_suffix(""), ignore=shutil.ignore_patterns("*.safetensors"))
    return folder, file


def test_a_single_file_paints_what_the_same_weights_in_a_folder_paint(
    saved: tuple[Path, Path],
) -> None:
    pipes, pictures = [], []
    for path in saved:
        found = weights.find(str(path), "cpu")
        assert found.folder == path
        pipe = load_pipeline(path, CPU, "model")
        pipes.append(pipe)
        noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
        pictures.append(
            pipe(
                "a red boat", 64, 64, 1, guidance_scale=0.0, latents=noise, output_type="np"
            ).images
        )
    for part in ("unet", "vae", "text_encoder"):
        first, second = (getattr(pipe, part).state_dict() for pipe in pipes)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)
    # Rounding depends on where a file's mapping places a tensor in memory.
    assert abs(pictures[0] - pictures[1]).max() < 1e-4
    assert pictures[0].std() > 0.01


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("model.diffusion_model.middle_block.0.in_layers.2.weight", "it lacks weights of its arch"),
        (
            "cond_stage_model.transformer.text_model.final_layer_norm.weight",
            "its text_encoder lacks 1 weights, such as final_layer_norm.weight",
        ),
    ],
)
def test_a_single_file_that_lacks_a_weight_is_refused(
    saved: tuple[Path, Path], key: str, sentence: str
) -> None:
    _, file = saved
    content = load_file(file)
    del content[key]
    save_file(content, file)
    with pytest.raises(EngineUnusable, match=sentence):
        load_pipeline(file, CPU, "model")


def header(path: Path, shapes: dict[str, list[int]], **metadata: str) -> Path:
    """A complete safetensors file of zeros in fp16, with a hole instead of the data."""
    end, entries = 0, {}
    for key, shape in shapes.items():
        begin, end = end, end + 2 * torch.Size(shape).numel()
        entries[key] = {"dtype": "F16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps({**entries, "__metadata__": metadata}).encode()
    with path.open("wb") as opened:
        opened.write(struct.pack("<Q", len(text)) + text)
        opened.truncate(8 + len(text) + end)
    return path


def whole(kind: str, channels: int = 4, width: int = 0) -> dict[str, list[int]]:
    architecture = single_file.ARCHITECTURES[kind]
    block = 4 if kind == "sdxl" else 1
    unet = "model.diffusion_model."
    cross = f"{unet}input_blocks.{block}.1.transformer_blocks.0.attn2.to_k.weight"
    return {
        f"{unet}input_blocks.0.0.weight": [320, channels, 3, 3],
        f"{unet}out.2.weight": [4, 320, 3, 3],
        cross: [320, width or architecture.width],
        f"{architecture.keys}x": [1],
        "first_stage_model.decoder.conv_in.weight": [1],
    }


@pytest.mark.parametrize(
    ("kind", "stem", "scheduler"),
    [
        ("sd15", "Dream LCM", "LCMScheduler"),
        ("sd21", "sd_turbo", "EulerDiscreteScheduler"),
        ("sdxl", "Juggernaut_XL-Lightning_4S", "EulerDiscreteScheduler"),
        ("sdxl", "a-tcd-b", "TCDScheduler"),
    ],
)
def test_the_architecture_comes_from_the_header_and_the_scheduler_from_the_name(
    tmp_path: Path, kind: str, stem: str, scheduler: str
) -> None:
    file = header(tmp_path / f"{stem}.safetensors", whole(kind))
    found = single_file.identify("it", file)
    assert found.configs == single_file.CONFIGS / kind
    assert single_file.scheduler_config(found)["_class_name"] == scheduler
    assert single_file.scheduler_config(found)["prediction_type"] == "epsilon"
    assert all((found.configs / part).is_dir() for part in ("unet", "vae", "text_encoder"))


def test_a_prediction_of_v_is_taken_from_the_metadata(tmp_path: Path) -> None:
    metadata = {"modelspec.prediction_type": "v_prediction"}
    file = header(tmp_path / "turbo.safetensors", whole("sd21"), **metadata)
    config = single_file.scheduler_config(single_file.identify("it", file))
    assert config["prediction_type"] == "v_prediction"


def test_a_file_of_many_steps_is_refused_unless_steps_or_loras_are_set(tmp_path: Path) -> None:
    for kind, lora in (("sd15", "lcm-lora-sdv1-5"), ("sdxl", "lcm-lora-sdxl")):
        file = str(header(tmp_path / "plain.safetensors", whole(kind)))
        with pytest.raises(EngineUnusable, match=f"made for 20 to 50 steps .*consistency/{lora}"):
            weights.find(file, "cpu")
        assert weights.find(file, "cpu", many_steps=True).many_steps


@pytest.mark.parametrize(
    ("shapes", "sentence"),
    [
        ({"lora_unet_down.lora_up.weight": [1], "lora_te_x.alpha": [1]}, "is a LoRA, which"),
        ({"lora_te_text_model.lora_up.weight": [1]}, "is a LoRA of the text encoder only"),
        ({"unet.a.lora_A.weight": [1]}, "is a LoRA, which"),
        ({"decoder.conv_in.weight": [1], "encoder.conv_in.weight": [1]}, "is only an autoencoder"),
        ({"double_blocks.0.x": [1]}, "is FLUX"),
        ({"emb_params": [1, 768]}, "is a textual inversion"),
        ({"unrelated": [1]}, "has no UNet in Stable Diffusion's format"),
        (whole("sd15", channels=9), "is an inpainting model: its UNet takes 9 channels"),
        (whole("sd15", channels=8), "takes 8 channels"),
        (whole("sd15", width=128), "cross attention is 128 wide instead of 768"),
        (dict(list(whole("sd15").items())[:3]), "has a UNet, but no text encoder"),
        (dict(list(whole("sd15").items())[:4]), "has no autoencoder"),
    ],
)
def test_a_file_of_other_contents_is_refused_by_what_it_is(
    tmp_path: Path, shapes: dict[str, list[int]], sentence: str
) -> None:
    file = header(tmp_path / "turbo.safetensors", shapes)
    refused(file, sentence)


def refused(file: Path, sentence: str) -> None:
    with pytest.raises(EngineUnusable) as caught:
        weights.find(str(file), "cpu")
    said = str(caught.value)
    assert sentence in said
    assert said.count("\n") == 0
    assert said.endswith(".")


def test_a_file_that_is_damaged_or_no_safetensors_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "turbo.safetensors"
    page = b"\n<!DOCTYPE html><html></html>"
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
    for content, sentence in (
        (b"", "it is empty"),
        (page, "it is a web page"),
        (pointer, "it is a git-lfs pointer"),
        (b"\x80\x02}q\x00.", "a pickle can run any code when it is opened; convert it"),
        (b"\xff" * 80, "damaged or incomplete"),
        (header(tmp_path / "cut", whole("sd15")).read_bytes()[:-1], "it is damaged: it has"),
    ):
        file.write_bytes(content)
        refused(file, sentence)


def test_pickles_and_zips_are_refused_whatever_they_are_called(tmp_path: Path) -> None:
    state: dict[str, Any] = {"a": torch.zeros(1)}
    for name in ("turbo.safetensors", "turbo.ckpt"):
        torch.save(state, tmp_path / name)
        refused(tmp_path / name, "a pickle can run any code when it is opened")
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("model_index.json", "{}")
        refused(tmp_path / name, "it is a zip archive; unpack it")


def test_the_tokenizer_in_the_package_is_clips() -> None:
    encode = opening.clip_tokenizer("!")
    ids = encode("a photo of a cat", padding="max_length").input_ids
    assert ids[:7] == [49406, 320, 1125, 539, 320, 2368, 49407]  # as openai/CLIP's own tokenizer
    assert len(ids) == 77
    assert ids[-1] == 0

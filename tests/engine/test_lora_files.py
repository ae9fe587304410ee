"""LoRA files: what their headers tell, and one sentence for those that cannot be used."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from turbostream.engine import weights
from turbostream.engine.weights.locate import Weights
from turbostream.engine.weights.lora_files import check_family, read
from turbostream.engine.weights.lora_keys import targets_of
from turbostream.engine.weights.lora_places import inspect
from turbostream.stream.engine_api import EngineUnusable

BLOCK = "down_blocks.0.attentions.0.transformer_blocks.0"
FLAT = BLOCK.replace(".", "_")
UP, DOWN = (320, 4), (4, 320)


def pair(down: str, up: str, words: int = 768) -> dict[str, tuple[int, ...]]:
    return {down: (4, words), up: UP}


def diffusers(words: int = 768) -> dict[str, tuple[int, ...]]:
    stem = f"unet.{BLOCK}.attn2.to_k"
    return pair(f"{stem}.lora_A.weight", f"{stem}.lora_B.weight", words)


def kohya(words: int = 768) -> dict[str, tuple[int, ...]]:
    stem = f"lora_unet_{FLAT}_attn2_to_k"
    return pair(f"{stem}.lora_down.weight", f"{stem}.lora_up.weight", words)


def save(path: Path, shapes: Mapping[str, tuple[int, ...]], **metadata: str) -> Path:
    save_file({key: torch.ones(shape) for key, shape in shapes.items()}, path, metadata)
    return path


@pytest.mark.parametrize(("words", "family"), [
    (768, "Stable Diffusion 1.x"), (1024, "Stable Diffusion 2.x"), (2048, "SDXL"),
])  # fmt: skip
@pytest.mark.parametrize("shapes", [diffusers, kohya])
def test_the_family_follows_from_the_width_of_the_words(
    tmp_path: Path, shapes: Callable[[int], dict[str, tuple[int, ...]]], words: int, family: str
) -> None:
    found = read("ink", save(tmp_path / "ink.safetensors", shapes(words)))
    assert (found.words, found.family) == (words, family)
    assert [target.module for target in found.targets] == [f"{FLAT}_attn2_to_k"]


@pytest.mark.parametrize(("key", "place"), [
    (f"unet.{BLOCK}.attn1.to_q.lora_A.weight", ("unet", f"{FLAT}_attn1_to_q")),
    (f"unet.{BLOCK}.attn1.to_out.0.lora.down.weight", ("unet", f"{FLAT}_attn1_to_out_0")),
    (f"unet.{BLOCK}.attn1.processor.to_q_lora.down.weight", ("unet", f"{FLAT}_attn1_to_q")),
    (f"unet.{BLOCK}.attn1.processor.to_out_lora.down.weight", ("unet", f"{FLAT}_attn1_to_out_0")),
    (f"{BLOCK}.attn1.to_q.lora_A.weight", ("unet", f"{FLAT}_attn1_to_q")),
    (f"base_model.model.{BLOCK}.attn1.to_q.lora_A.weight", ("unet", f"{FLAT}_attn1_to_q")),
    (f"lora_unet_{FLAT}_ff_net_0_proj.lora_down.weight", ("unet", f"{FLAT}_ff_net_0_proj")),
    ("text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_linear_layer.down.weight",
     ("text_encoder", "text_model_encoder_layers_0_self_attn_q_proj")),
    ("text_encoder.text_model.encoder.layers.0.self_attn.to_out_lora.down.weight",
     ("text_encoder", "text_model_encoder_layers_0_self_attn_out_proj")),
    ("lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight",
     ("text_encoder", "text_model_encoder_layers_0_mlp_fc1")),
    ("lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight",
     ("text_encoder_2", "text_model_encoder_layers_0_mlp_fc1")),
])  # fmt: skip
def test_every_spelling_names_the_same_modules(key: str, place: tuple[str, str]) -> None:
    (target,) = targets_of([key])
    assert (target.part, target.module) == place


FULL = "model.diffusion_model.input_blocks.0.0.weight"
KEYS: dict[str, tuple[dict[str, tuple[int, ...]], str]] = {
    "loha": ({f"lora_unet_{FLAT}_attn1_to_q.hada_w1_a": UP}, "a LoHa"),
    "lokr": ({f"lora_unet_{FLAT}_attn1_to_q.lokr_w1": UP}, "a LoKr"),
    "dora": ({**kohya(), f"lora_unet_{FLAT}_attn2_to_k.dora_scale": (320, 1)}, "a DoRA"),
    "tucker": ({**kohya(), f"lora_unet_{FLAT}_conv1.lora_mid.weight": (4, 4, 3, 3)}, "Tucker"),
    "full": ({FULL: UP}, "a whole model and not a LoRA; give it as MODEL_ID"),
    "unet": ({"down_blocks.0.resnets.0.conv1.weight": UP}, "the UNet of a model"),
    "unknown": ({"emb_params": UP}, "none of the names"),
    "flux": ({"transformer.blocks.0.attn.to_q.lora_A.weight": DOWN,
              "transformer.blocks.0.attn.to_q.lora_B.weight": UP}, "Flux or SD3"),
    "text": ({"text_encoder.encoder.layers.0.mlp.fc1.lora_A.weight": DOWN,
              "text_encoder.encoder.layers.0.mlp.fc1.lora_B.weight": UP}, "text encoder only"),
    "half": ({f"unet.{BLOCK}.attn1.to_q.lora_A.weight": DOWN}, "do not fit each other"),
    "ranks": ({f"unet.{BLOCK}.attn1.to_q.lora_A.weight": DOWN,
               f"unet.{BLOCK}.attn1.to_q.lora_B.weight": (320, 8)}, "do not fit each other"),
    "more": ({**diffusers(), f"unet.{BLOCK}.attn2.to_k.diff_b": UP}, "no pair of matrices"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KEYS)
def test_what_is_not_a_lora_of_two_matrices_is_refused(tmp_path: Path, kind: str) -> None:
    shapes, clause = KEYS[kind]
    refused(save(tmp_path / "ink.safetensors", shapes), clause)


def zipped(path: Path, name: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, b"")


FILES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "it is empty"),
    "pointer": (lambda path: path.write_bytes(b"version https://git-lfs.example"), "git lfs pull"),
    "zip": (lambda path: zipped(path, "ink.safetensors"), "a zip archive; unpack it"),
    "torch": (lambda path: torch.save({"a": torch.ones(1)}, path), "a pickle can run any code"),
    "pickle": (lambda path: path.write_bytes(pickle.dumps({"a": 1})), "a pickle can run any code"),
    "page": (lambda path: path.write_bytes(b"<!DOCTYPE html><title>404</title>"), "a web page"),
    "cut": (lambda path: path.write_bytes(save(path, diffusers()).read_bytes()[:-9]),
            "it is damaged"),
    "noise": (lambda path: path.write_bytes(b"\x13" * 99), "it is damaged"),
    "folder": (lambda path: path.mkdir(), "a folder with 0 .safetensors files"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_what_is_not_a_safetensors_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "ink.safetensors"
    FILES[kind][0](path)
    refused(path, FILES[kind][1])


def refused(path: Path, clause: str) -> None:
    with pytest.raises(EngineUnusable) as error:
        inspect(f"ink={path}", weights.find("demo", "cpu"))
    sentence = str(error.value)
    assert clause in sentence
    assert sentence.startswith(f"LORAS: ink ({path}) cannot be used: ")
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_a_folder_with_one_file_stands_for_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "Tinte, größer"
    folder.mkdir()
    save(folder / "other.safetensors", diffusers())
    assert read("ink", folder).path.name == "other.safetensors"
    save(folder / "pytorch_lora_weights.safetensors", diffusers())
    assert read("ink", folder).path.name == "pytorch_lora_weights.safetensors"


def test_the_metadata_of_diffusers_has_the_alphas(tmp_path: Path) -> None:
    said = {"lora_adapter_metadata": json.dumps({"unet.lora_alpha": 2})}
    found = read("ink", save(tmp_path / "ink.safetensors", diffusers(), **said))
    assert found.scales == {"unet.lora_alpha": 2}


def test_a_lora_of_another_family_is_refused_with_both_names(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    config = tmp_path / "unet" / "config.json"
    config.write_text('{"cross_attention_dim": 768}')
    file = read("ink", save(tmp_path / "ink.safetensors", kohya(2048)))
    with pytest.raises(EngineUnusable) as error:
        check_family(file, "my/model", tmp_path)
    assert str(error.value) == (
        "LORAS: ink (ink.safetensors) is a LoRA for SDXL, and my/model is Stable Diffusion 1.x: "
        "leave it out, or give a MODEL_ID of its family."
    )
    check_family(read("ink", save(tmp_path / "ink.safetensors", kohya())), "my/model", tmp_path)


@pytest.mark.parametrize("place", ["./nowhere.safetensors", "/nowhere/ink.safetensors", "ink",
                                   "~nobody-here/ink.safetensors", "own er/ink",
                                   "owner/a--b", "owner/.ink", "owner/" + "a" * 97])  # fmt: skip
def test_a_place_that_cannot_be_meant_is_refused(place: str) -> None:
    with pytest.raises(EngineUnusable, match=r"^LORAS: ink .*; give"):
        inspect(f"ink={place}", Weights("owner/model", None, demo=False))

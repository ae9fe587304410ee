"""Where weights are found, what is fetched of a repository, and what is said when it is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from turbostream.engine import weights
from turbostream.engine.model import decoder
from turbostream.engine.weights import hub, model_files
from turbostream.engine.weights.families import ROWS
from turbostream.stream.engine_api import EngineError, EngineUnusable

TAESD = "madebyollin/taesd"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(weights.DEMO_FOLDER, folder)
    return folder


def test_a_whole_folder_is_taken(copy: Path) -> None:
    assert weights.find(str(copy), "cpu").folder == copy


@pytest.mark.parametrize(
    "file",
    [
        "model_index.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
        "scheduler/scheduler_config.json",
        "tokenizer/tokenizer_config.json",
    ],
)
def test_a_folder_that_is_half_there_names_what_is_missing(copy: Path, file: str) -> None:
    for found in copy.glob(file.replace(".safetensors", "*.safetensors")):
        found.unlink()
    with pytest.raises(EngineUnusable, match=f"{file} is missing"):
        weights.find(str(copy), "cpu")


def test_what_is_neither_a_folder_nor_a_hub_id_is_refused() -> None:
    for wrong in ("./nowhere", "sd turbo", "a/b/c"):
        with pytest.raises(EngineUnusable, match="neither a folder nor a hub id"):
            weights.find(wrong, "cpu")


def test_of_a_repository_only_what_is_needed_is_wanted_and_no_weights_twice() -> None:
    wanted = model_files.wanted_files(
        [
            "model_index.json",
            "README.md",
            "sd_turbo.safetensors",
            "unet/config.json",
            "unet/diffusion_pytorch_model.safetensors",
            "unet/diffusion_pytorch_model.fp16.safetensors",
            "vae/config.json",
            "vae/diffusion_pytorch_model.bin",
            "vae/diffusion_pytorch_model.safetensors",
            "safety_checker/model.safetensors",
            "tokenizer/vocab.json",
            "tokenizer/merges.txt",
        ]
    )
    assert sorted(wanted) == [
        "model_index.json",
        "tokenizer/merges.txt",
        "tokenizer/vocab.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
    ]


def test_a_hub_that_cannot_be_reached_is_one_sentence_with_two_ways_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import huggingface_hub

    def unreachable(*_: Any, **__: Any) -> Any:
        raise OSError("Connection refused\nstack")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(EngineError) as caught:
        hub.fetch(weights.find("some/model", "cpu"), lambda progress: None)
    said = str(caught.value)
    assert said.count("\n") == 0
    assert "Connection refused" in said
    assert "local folder as MODEL_ID" in said
    assert "HF_ENDPOINT" in said


def test_the_tiny_decoder_is_taken_from_the_models_folder(copy: Path) -> None:
    shutil.copytree(copy / "vae", copy / "taesd")
    assert hub.fetch_tiny_decoder(copy, TAESD, lambda progress: None) == copy / "taesd"


def test_without_the_tiny_decoder_the_full_one_is_taken_with_the_reason(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def unreachable(*_: Any, **__: Any) -> Any:
        raise OSError("Connection refused")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    where = hub.fetch_tiny_decoder(copy, TAESD, lambda progress: None)

    class Pipe:
        class vae:
            class config:
                latent_channels, scaling_factor = 4, 0.18215

    from tests.engine.conftest import CPU

    chosen, reason = decoder.choose(Pipe, "tiny", where, CPU)
    assert chosen is None
    assert reason.startswith("full: madebyollin/taesd cannot be downloaded (Connection refused)")


def edit(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_a_folder_with_only_pickles_is_refused_with_the_reason(copy: Path) -> None:
    [unet] = copy.glob("unet/*.safetensors")
    unet.rename(unet.with_suffix(".bin"))
    with pytest.raises(EngineUnusable, match="a pickle can run any code when it is opened"):
        weights.find(str(copy), "cpu")


def test_shards_are_complete_by_their_numbers_and_their_table(copy: Path) -> None:
    [unet] = copy.glob("unet/*.safetensors")
    shards = [unet.with_name(f"{unet.stem}-0000{n}-of-00002.safetensors") for n in (1, 2)]
    for shard in shards:
        shutil.copy(unet, shard)
    unet.unlink()
    with pytest.raises(EngineUnusable, match=r"unet/.*safetensors\.index\.json is missing"):
        weights.find(str(copy), "cpu")
    table = unet.with_name(unet.name + ".index.json")
    table.write_text(json.dumps({"weight_map": {"a": shards[0].name, "b": shards[1].name}}))
    assert weights.find(str(copy), "cpu").folder == copy
    table.write_text(json.dumps({"weight_map": {"a": shards[0].name, "b": "other.safetensors"}}))
    with pytest.raises(EngineUnusable, match=r"unet/other\.safetensors is missing"):
        weights.find(str(copy), "cpu")
    shards[1].unlink()
    with pytest.raises(EngineUnusable, match=r"-00002-of-00002\.safetensors is missing"):
        weights.find(str(copy), "cpu")


@pytest.mark.parametrize(("width", "said"), [(768, "such as latent-.*sdv1-5"), (1024, "LORAS")])
def test_a_model_of_many_steps_is_refused_unless_steps_or_loras_are_set(
    copy: Path, width: int, said: str
) -> None:
    edit(copy / "scheduler/scheduler_config.json", timestep_spacing="leading")
    edit(copy / "unet/config.json", cross_attention_dim=width)
    with pytest.raises(EngineUnusable, match=f"made for 20 to 50 steps .*{said}.*set STEPS"):
        weights.find(str(copy), "cpu")
    found = weights.find(str(copy), "cpu", many_steps=True)
    assert hub.fetch(found, lambda progress: None) == copy


def test_an_sdxl_folder_needs_both_text_encoders_and_tokenizers(copy: Path) -> None:
    edit(
        copy / "model_index.json",
        _class_name="StableDiffusionXLPipeline",
        text_encoder_2=["transformers", "CLIPTextModelWithProjection"],
    )
    with pytest.raises(EngineUnusable, match="addition_embed_type None instead of text_time"):
        weights.find(str(copy), "cpu")
    edit(copy / "unet/config.json", addition_embed_type="text_time")
    for component in ("text_encoder_2", "tokenizer_2"):
        with pytest.raises(EngineUnusable, match=f"{component}/.*config.json is missing"):
            weights.find(str(copy), "cpu")
        shutil.copytree(copy / component.removesuffix("_2"), copy / component)
    assert weights.find(str(copy), "cpu").folder == copy
    assert "text_encoder_2/model.safetensors" in model_files.wanted_files(
        model_files.files_of(copy), ROWS["StableDiffusionXLPipeline"]
    )

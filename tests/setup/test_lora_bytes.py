"""How little of a LoRA on the hub is fetched before it is refused."""

from __future__ import annotations

import io
import json
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch

from tests.engine.test_lora_files import BLOCK, diffusers, kohya
from tests.setup.hub import REPOSITORY, Hub, environment_of, serve
from tests.setup.test_lora_hub import ROOT, fetched
from tests.setup.test_model_bytes import DEMO, edited, start
from tests.test_start_errors import assert_one_sentence

REST = 3_000_000  # bytes of tensors: what a LoRA has besides its header
MOST = 1_000_000
LAYER = "text_encoder.text_model.encoder.layers.0.mlp.fc1"
TEXT_ONLY = {f"{LAYER}.lora_A.weight": (4, 768), f"{LAYER}.lora_B.weight": (3072, 4)}
LOHA = {f"lora_unet_{BLOCK.replace('.', '_')}_attn1_to_q.hada_w1_a": (320, 4)}
INSPECT = """
import sys
from turbostream.engine.weights import find, lora_places
lora_places.inspect(sys.argv[1], find("demo", "cpu"))
"""


def content(shapes: Mapping[str, tuple[int, ...]], note: int = 0, rest: int = REST) -> bytes:
    """A safetensors file of that size whose header declares these tensors and one more for the
    rest. note: bytes of metadata."""
    entries: dict[str, object] = {"__metadata__": {"note": "x" * note}}
    for number, (key, shape) in enumerate(shapes.items()):
        offsets = [0, REST if number == 0 else 0]
        entries[key] = {"dtype": "F16", "shape": shape, "data_offsets": offsets}
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + bytes(rest)


def torch_saved() -> bytes:
    saved = io.BytesIO()
    torch.save({"lora": torch.ones(1_000_000)}, saved)
    return saved.getvalue()


def zipped() -> bytes:
    saved = io.BytesIO()
    with zipfile.ZipFile(saved, "w") as archive:
        archive.writestr("ink.safetensors", bytes(REST))
    return saved.getvalue()


PICKLE = "a pickle can run any code when it is opened"
SDXL = "is a LoRA for SDXL, and {model} is Stable Diffusion 1.x: leave it out, or give a MODEL_ID"
REFUSED = {
    "another family": (content(diffusers(2048)), SDXL),
    "another family, kohya's names, much metadata": (content(kohya(2048), 600_000), SDXL),
    "the text encoder only": (content(TEXT_ONLY), "it changes the text encoder only"),
    "a LoHa": (content(LOHA), "it is a LoHa"),
    "a model": (
        content({"model.diffusion_model.out.2.weight": (4, 320)}), "it is a whole model",
    ),
    "cut": (content(diffusers(), rest=REST - 9), "it is damaged: it has 3,000,"),
    "a pickle": (pickle.dumps({"lora": bytes(REST)}), PICKLE),
    "torch.save": (torch_saved(), PICKLE),
    "a zip": (zipped(), "it is a zip archive; unpack it"),
    "nothing": (b"", "it is empty"),
    "anything": (b"\x13" * REST, "it is damaged or incomplete"),
}  # fmt: skip


@pytest.fixture
def hub() -> Hub:
    """The demo model, with the words of Stable Diffusion 1.x."""
    hub = Hub(DEMO)
    edited("unet/config.json", cross_attention_dim=768)(hub)
    return hub


@pytest.fixture
def environment(hub: Hub, tmp_path: Path) -> Iterator[dict[str, str]]:
    with serve(hub) as address:
        yield environment_of(address, tmp_path / "cache", MODEL_ID=REPOSITORY, DEVICE="cpu")


def kept(environment: dict[str, str]) -> int:
    """Bytes in the hub's cache."""
    files = Path(environment["HF_HOME"]).rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file() and not file.is_symlink())


@pytest.mark.parametrize("kind", ["another family", "the text encoder only", "a pickle"])
def test_the_program_ends_before_any_weights_are_fetched(
    hub: Hub, environment: dict[str, str], kind: str
) -> None:
    file, clause = REFUSED[kind]
    hub.files["ink.safetensors"] = file
    ended = start(environment | {"LORAS": f"ink={REPOSITORY}:ink.safetensors@0.8"})
    assert_one_sentence(ended)
    assert clause.format(model=REPOSITORY) in ended.stderr
    assert ended.stderr.startswith("LORAS: ink (")
    print(f"{hub.sent:>9,} bytes: {ended.stderr.strip()}")
    assert hub.sent <= MOST
    assert not [name for name, _ in hub.fetched if name.startswith("unet/diff")]


@pytest.mark.parametrize("kind", REFUSED)
def test_a_wrong_file_is_refused_by_its_first_bytes(
    hub: Hub, environment: dict[str, str], kind: str
) -> None:
    """Also where the start did not reach the hub."""
    file, clause = REFUSED[kind]
    hub.files["more/ink.safetensors"] = file
    sentence = fetched(f"{REPOSITORY}@v1:more/ink.safetensors", environment)
    assert sentence.startswith("EngineUnusable: LORAS: ink (")
    assert clause.format(model="the model") in sentence
    assert sentence.endswith(".")
    print(f"{hub.sent:>9,} bytes: {sentence}")
    assert hub.sent <= MOST
    assert kept(environment) < 10_000


def test_a_mirror_that_ignores_ranges_does_not_send_the_whole_file(
    hub: Hub, environment: dict[str, str]
) -> None:
    hub.ranges = False
    hub.files["ink.safetensors"] = content(diffusers(2048))
    assert "is a LoRA for SDXL" in fetched(f"{REPOSITORY}:ink.safetensors", environment)
    assert [name for name, _ in hub.fetched] == ["ink.safetensors"]
    assert kept(environment) < 10_000


def test_pickles_are_refused_by_their_names(hub: Hub, environment: dict[str, str]) -> None:
    hub.files = {"pytorch_lora_weights.bin": pickle.dumps({"lora": 1})}
    for place in (REPOSITORY, f"{REPOSITORY}:pytorch_lora_weights.bin"):
        sentence = fetched(place, environment)
        assert sentence == (
            f"EngineUnusable: LORAS: ink ({REPOSITORY}:pytorch_lora_weights.bin) cannot be used: "
            f"{PICKLE}; convert it to safetensors."
        )
    assert not hub.fetched


def test_a_file_that_is_not_there_is_named(hub: Hub, environment: dict[str, str]) -> None:
    sentence = fetched(f"{REPOSITORY}:nowhere.safetensors", environment)
    assert sentence == (
        f"EngineUnusable: LORAS: {REPOSITORY} of ink has no file nowhere.safetensors at "
        f"{environment['HF_ENDPOINT']}: correct it."
    )


def test_a_header_too_long_to_read_before_is_read_after_the_download(
    hub: Hub, environment: dict[str, str]
) -> None:
    hub.files["ink.safetensors"] = content(diffusers(2048), 900_000)
    assert "is a LoRA for SDXL" in fetched(f"{REPOSITORY}:ink.safetensors", environment)
    assert kept(environment) > REST


@pytest.mark.parametrize("answer", ["503", "a login page", "another file"])
def test_the_start_waits_for_a_hub_that_does_not_answer(
    hub: Hub, environment: dict[str, str], answer: str
) -> None:
    hub.files["ink.safetensors"] = content(LOHA)
    hub.status = 503 if answer == "503" else 200
    hub.page = b"<!DOCTYPE html><title>Log in</title>" if answer == "a login page" else b""
    ended = subprocess.run(
        [sys.executable, "-c", INSPECT, f"ink={REPOSITORY}:ink.safetensors"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (ended.returncode == 0) == (answer != "another file"), ended.stderr
    assert ("it is a LoHa" in ended.stderr) == (answer == "another file")

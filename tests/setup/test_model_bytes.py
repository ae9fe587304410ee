"""How little is fetched before a refusal, and what a card's memory is compared with."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.setup.hub import REPOSITORY, Hub, environment_of, serve
from tests.setup.machine import ROOT
from tests.test_start_errors import assert_one_sentence

DEMO = ROOT / "turbostream/demo_model"
UNET = "unet/diffusion_pytorch_model.safetensors"
CARD = '#!/bin/sh\ncase "$*" in *memory.total*) echo "{total}, Some Card" ;; esac\n'


@pytest.fixture
def hub() -> Hub:
    return Hub(DEMO)


@pytest.fixture
def environment(hub: Hub, tmp_path: Path) -> Iterator[dict[str, str]]:
    with serve(hub) as address:
        yield environment_of(address, tmp_path / "cache", MODEL_ID=REPOSITORY, DEVICE="cpu")


def start(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "realtime_stream.py", "--server-port", "0"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip


def edited(file: str, **values: object) -> Callable[[Hub], None]:
    def change(hub: Hub) -> None:
        hub.files[file] = json.dumps(json.loads(hub.files[file]) | values).encode()

    return change


def pickled(hub: Hub) -> None:
    hub.files["unet/diffusion_pytorch_model.bin"] = hub.files.pop(UNET)


def sharded(hub: Hub) -> None:
    content = hub.files.pop(UNET)
    for number in (1, 3):
        hub.files[UNET.replace(".", f"-0000{number}-of-00003.", 1)] = content
    hub.files[UNET + ".index.json"] = b"{}"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (edited("model_index.json", _class_name="SanaSprintPipeline"), "is SANA-Sprint (Sana"),
        (
            edited("model_index.json", _class_name="NewPipeline", _diffusers_version="99.1.0"),
            "is a NewPipeline, saved by diffusers 99.1.0, which is newer than",
        ),
        (edited("unet/config.json", in_channels=9, out_channels=4), "is an inpainting model"),
        (edited("unet/config.json", num_class_embeds=10), "is a model for more than words"),
        (edited("unet/config.json", addition_embed_type="image"), "for more than words"),
        (edited("scheduler/scheduler_config.json", timestep_spacing="leading"), "20 to 50 steps"),
        (pickled, "a pickle can run any code when it is opened; convert it to safetensors"),
        (sharded, "diffusion_pytorch_model-00002-of-00003.safetensors is missing"),
    ],
)
def test_a_model_is_refused_after_a_few_kilobytes(
    hub: Hub, environment: dict[str, str], change: Callable[[Hub], None], sentence: str
) -> None:
    change(hub)
    ended = start(environment)
    assert_one_sentence(ended)
    assert sentence in ended.stderr
    print(f"{hub.sent:>9,} bytes: {ended.stderr.strip()}")
    assert hub.sent <= 1_000_000
    assert not [name for name, _ in hub.fetched if name.endswith((".safetensors", ".bin"))]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_model_too_large_for_the_card_is_refused_by_its_headers(
    hub: Hub, environment: dict[str, str], tmp_path: Path, ranges: bool
) -> None:
    hub.ranges = ranges
    entry = {"dtype": "F16", "shape": [100_000, 40_000], "data_offsets": [0, 8_000_000_000]}
    text = json.dumps({"wide": entry, "__metadata__": {"note": "x" * 100_000}}).encode()
    hub.files[UNET] = struct.pack("<Q", len(text)) + text + bytes(30_000_000)
    program = tmp_path / "nvidia-smi"
    program.write_text(CARD.format(total=6144))
    program.chmod(0o755)
    path = f"{tmp_path}:{environment['PATH']}"
    ended = start(environment | {"DEVICE": "auto", "PATH": path})
    assert_one_sentence(ended)
    assert "needs at least 8.4 GB of GPU memory, and the Some Card has 6.4 GB" in ended.stderr
    assert "stabilityai/sd-turbo (3.0 GB) or the demo model (MODEL_ID=demo)" in ended.stderr
    print(f"{hub.sent:>9,} bytes: {ended.stderr.strip()}")
    cached = sum(f.stat().st_size for f in tmp_path.rglob("*") if f.is_file())
    assert cached < 1_000_000
    assert not ranges or hub.sent <= 1_000_000

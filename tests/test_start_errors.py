"""Whatever a user can set wrong is one sentence and status 2, before anything is served."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.test_settings import DEFAULTS
from turbostream.settings import SettingError, load

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "turbostream/demo_model"
UNET = "unet/diffusion_pytorch_model.safetensors"
ENCODER = "text_encoder/model.safetensors"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"


def run(environ: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    inherited = {"MODEL_ID": "demo", "DEVICE": "cpu", "SERVER_PORT": "0"}
    return subprocess.run(
        [sys.executable, "realtime_stream.py", *options],
        cwd=ROOT, env=os.environ | inherited | environ, capture_output=True, text=True, timeout=250,
        check=False,
    )  # fmt: skip


def assert_one_sentence(ended: subprocess.CompletedProcess[str]) -> None:
    """Status 2, and nothing printed but one sentence."""
    assert ended.returncode == 2, ended.stderr
    assert ended.stdout == ""
    assert re.fullmatch(r"[^\n]+\.\n", ended.stderr), ended.stderr
    assert not re.search(r"[.!?] +[A-Z]", ended.stderr), ended.stderr


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"MODEL_ID": "~nosuchuser/model"}, "begins with a ~ that names no home directory"),
        ({"MODEL_ID": "a" * 300}, "cannot be accessed (File name too long)"),
        ({"CHANNELS": "main,../left"}, "'../left' has not"),
        ({"CHANNELS": "main,"}, "'' has not"),
        ({"CHANNELS": "c" * 300}, "beginning with a letter or digit"),
        ({"CHANNELS": "main,left,main"}, "'main' is named twice"),
        ({"CHANNELS": ",".join(f"c{n}" for n in range(10_000))}, "10,000 are named"),
        ({"MODEL_ID": "somebody/" + "a" * 300}, "aaa... is not a valid hub id"),
        ({"MODEL_ID": "./nowhere"}, "neither a folder nor a hub id"),
        ({"MODEL_ID": "realtime_stream.py"}, "is a file; give the folder"),
        ({"STATE_DIR": "~nosuchuser"}, "STATE_DIR must be a folder, not '~nosuchuser'"),
        ({"STATE_DIR": "/tmp/" + "a" * 300}, "File name too long"),
        ({"STATE_DIR": "realtime_stream.py"}, "STATE_DIR must be a folder"),
        ({"SERVER_HOST": "999.1.1.1"}, "SERVER_HOST 999.1.1.1 is not an address of this machine"),
        ({"SERVER_HOST": "192.0.2.1"}, "SERVER_HOST 192.0.2.1 is not an address of this machine"),
        ({"SERVER_HOST": "a" * 300}, "is not an address of this machine"),
        ({"SERVER_HOST": "b\u00fccher..de"}, "is not an address of this machine"),
        ({"OSC_HOST": "999.1.1.1", "OSC_PORT": "9000"}, "OSC_HOST 999.1.1.1 is not an address of"),
        ({"OSC_PORT": "70000"}, "OSC_PORT must be a whole number from 0 to 65535"),
        ({"DEVICE": "mps"}, "DEVICE is mps, but this is not a Mac"),
        ({"SOURCE": "/nowhere/x.jpg"}, "There is no file or folder /nowhere/x.jpg"),
        ({"SOURCE": "ftp://me:word@host/x"}, "SOURCE must be 'none', a picture, a folder of"),
        ({"TARGET_FPS": "nan"}, "TARGET_FPS must be a number"),
        ({"SEED": "9" * 5000}, "SEED must be a whole number"),
        ({"INITIAL_PROMPT": "\udcff\u0007"}, "INITIAL_PROMPT must be"),
    ],
)
def test_a_wrong_setting(environ: dict[str, str], sentence: str) -> None:
    ended = run(environ)
    assert_one_sentence(ended)
    assert sentence in ended.stderr


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="an NVIDIA GPU may be there")
def test_a_gpu_that_is_not_there_is_refused_before_an_address_is_shown() -> None:
    ended = run({"DEVICE": "cuda"})
    assert_one_sentence(ended)
    assert "DEVICE is cuda, but this torch (" in ended.stderr


@pytest.mark.parametrize("model", ["demo", "somebody/model"])
def test_a_python_without_the_packages(model: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-S", "realtime_stream.py", "--server-port", "0", "--model-id", model],
        cwd=ROOT, capture_output=True, text=True, timeout=250, check=False,
        env=os.environ | {"TURBOSTREAM_RELEASE": str(ROOT)},  # or .venv's interpreter takes over
    )  # fmt: skip
    assert_one_sentence(ended)
    assert "run ./setup.sh" in ended.stderr


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        ended = run({"SERVER_PORT": port})
    assert_one_sentence(ended)
    assert f"cannot listen on 127.0.0.1:{port} (Address already in use)" in ended.stderr


def test_a_state_folder_that_a_handover_cannot_write() -> None:
    ended = run({"HANDOVER": "take", "STATE_DIR": "/dev/null/state"})
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith("STATE_DIR /dev/null/state cannot be written")
    assert "Traceback" not in ended.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming nobody needs root")
@pytest.mark.parametrize("place", ["", "below"])
def test_a_state_folder_below_one_that_may_not_be_searched(tmp_path: Path, place: str) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    os.seteuid(65534)
    try:
        with pytest.raises(SettingError, match=r"^STATE_DIR must be .*: Permission denied\.$"):
            load(DEFAULTS, [], {"STATE_DIR": str(closed / "a" / place)})
    finally:
        os.seteuid(0)


def write(name: str, content: str | bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        data = content.encode() if isinstance(content, str) else content
        (folder / name).write_bytes(data)

    return change


def cut(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return change


def edit(name: str, **fields: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | fields))

    return change


def lora(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    write("adapter_config.json", "{}")(folder)


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def safetensors(**tensors: int) -> bytes:
    """A whole file of float32 vectors of so many numbers."""
    table, end = {}, 0
    for name, length in tensors.items():
        offsets = [end, end := end + 4 * length]
        table[name] = {"dtype": "F32", "shape": [length], "data_offsets": offsets}
    head = json.dumps(table).encode()
    return struct.pack("<Q", len(head)) + head + bytes(end)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (write("model_index.json", "[]"), "model_index.json of * cannot be used (it is not a JSON"),
        (write("model_index.json", "{"), "(it is not JSON: "),
        (write("model_index.json", b"\xff{}"), "(it is not JSON: "),
        (write("model_index.json", "[" * 100_000), "(it is nested too deeply)"),
        (write("model_index.json", "{}"), "(it names no pipeline)"),
        (
            edit("model_index.json", _class_name="FluxPipeline"),
            "* is FLUX (FluxPipeline)",
        ),
        (edit("model_index.json", text_encoder=None), "has the text encoder None"),
        (write("scheduler/scheduler_config.json", "[]"), "(it is not a JSON object)"),
        (
            edit("scheduler/scheduler_config.json", timestep_spacing="leading"),
            "made for 20 to 50 steps (its scheduler is EulerDiscreteScheduler",
        ),
        (write("words.json", "[]"), "words.json of * cannot be used (it is not a JSON object)"),
        (write("words.json", "{,"), "words.json of * cannot be used (it is not JSON"),
        (write("words.json", '{"things": 5}'), "(things is not a list of words)"),
        (write("words.json", '{"synonyms": {"a": [1]}}'), "(synonyms is not a list of words)"),
        (write(UNET, POINTER), "it is a git-lfs pointer"),
        (write("unet/config.json", POINTER), "it is a git-lfs pointer"),
        (write(ENCODER, ""), f"{ENCODER} is damaged (it is empty)"),
        (cut(ENCODER), f"{ENCODER} is damaged (it is damaged: "),
        (cut("tokenizer/tokenizer.json"), "tokenizer/tokenizer.json is damaged"),
        (write(UNET, "<html>" * 1000), f"{UNET} is damaged (it is a web page"),
        (lora, "* holds a LoRA"),
        (empty, "* is not a model in diffusers' format: model_index.json is missing"),
    ],
)
def test_a_wrong_model_folder(
    tmp_path: Path, change: Callable[[Path], None], sentence: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(DEMO, folder)
    change(folder)
    ended = run({"MODEL_ID": str(folder)})
    assert_one_sentence(ended)
    assert sentence.replace("*", str(folder)) in ended.stderr


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("a.safetensors", safetensors(weight=4), "has no UNet in Stable Diffusion's format"),
        ("b.safetensors", safetensors(**{"unet.lora_A.weight": 4}), "is a LoRA"),
        ("c.ckpt", b"\x80\x02", "a pickle can run any code when it is opened"),
        ("d.safetensors", b"", "it is empty"),
    ],
)
def test_a_file_in_place_of_a_folder(
    tmp_path: Path, file: str, content: bytes, sentence: str
) -> None:
    (tmp_path / file).write_bytes(content)
    ended = run({"MODEL_ID": str(tmp_path / file)})
    assert_one_sentence(ended)
    assert sentence in ended.stderr


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (write(UNET, safetensors()), "its unet lacks "),
        (edit("unet/config.json", block_out_channels=[32, 32]), "its unet cannot be loaded"),
        (edit("vae/config.json", encoder_block_out_channels="x"), "its vae cannot be loaded"),
        (write(ENCODER, safetensors(x=3)), "its text_encoder lacks "),
    ],
)
def test_weights_that_do_not_fit_end_the_program_and_are_not_tried_again(
    tmp_path: Path, change: Callable[[Path], None], sentence: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(DEMO, folder)
    change(folder)
    ended = run({"MODEL_ID": str(folder)})
    assert ended.returncode == 2, ended.stderr
    assert sentence in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
    assert "trying again" not in ended.stderr

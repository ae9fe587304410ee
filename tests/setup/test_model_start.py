"""The program with a model of the hub: from the cache, damaged, of the wrong kind, refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.server import Server
from tests.setup.hub import COMMIT, REPOSITORY, Hub, environment_of, serve
from tests.setup.machine import ROOT
from tests.test_start_errors import assert_one_sentence

DEMO = ROOT / "turbostream/demo_model"
UNET = "unet/diffusion_pytorch_model.safetensors"
ENCODER = "text_encoder/model.safetensors"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens there


@pytest.fixture
def hub() -> Hub:
    hub = Hub(DEMO)
    hub.files |= {  # what repositories hold besides the pipeline, and the program ignores
        "sd_turbo.safetensors": b"another format of the same",
        "unet/model.onnx": b"another format",
        "safety_checker/model.safetensors": b"not used",
    }
    return hub


@pytest.fixture
def environment(hub: Hub, tmp_path: Path) -> Iterator[dict[str, str]]:
    with serve(hub) as address:
        yield environment_of(address, tmp_path / "cache", MODEL_ID=REPOSITORY, DEVICE="cpu")


def check(environment: dict[str, str], **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "realtime_stream.py", "--check"],
        cwd=ROOT, env=environment | more, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip


def start(environment: dict[str, str], **more: str) -> subprocess.CompletedProcess[str]:
    """The server itself, which is to end at once."""
    return subprocess.run(
        [sys.executable, "realtime_stream.py", "--server-port", "0"],
        cwd=ROOT, env=environment | more, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_a_model_that_was_fetched_starts_without_the_hub(
    hub: Hub, environment: dict[str, str]
) -> None:
    assert check(environment).returncode == 0
    assert {name for name, _ in hub.fetched} & {"sd_turbo.safetensors", "unet/model.onnx"} == set()
    hub.status = 404  # withdrawn
    for away in ({"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": NOWHERE}, {}):
        done = check(environment, **away)
        assert done.returncode == 0, (away, done.stderr)
        assert "using the copy in the cache" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_revision_is_fetched_and_found_again_in_the_cache(
    hub: Hub, environment: dict[str, str]
) -> None:
    tagged = {"MODEL_ID": f"{REPOSITORY}@v1"}
    done = check(environment, **tagged)
    assert done.returncode == 0, done.stderr
    assert f"{REPOSITORY}@{COMMIT} torch-" in done.stdout + done.stderr
    hub.status = 404
    offline = check(environment, HF_ENDPOINT=NOWHERE, **tagged)
    assert offline.returncode == 0, offline.stderr
    assert "using the copy in the cache" in offline.stderr


def test_a_revision_that_does_not_exist_is_refused_before_anything_is_fetched(
    hub: Hub, environment: dict[str, str]
) -> None:
    done = start(environment, MODEL_ID=f"{REPOSITORY}@gone")
    assert_one_sentence(done)
    assert f"has no revision gone of {REPOSITORY}: correct MODEL_ID" in done.stderr
    assert hub.fetched == []


@pytest.mark.parametrize("component", ["unet", "text_encoder", "vae"])
def test_half_precision_files_of_some_components_are_fetched_and_loaded(
    hub: Hub, environment: dict[str, str], component: str
) -> None:
    [plain] = [name for name in hub.files if name.startswith(component) and "safeten" in name]
    half = plain.replace(".safetensors", ".fp16.safetensors")
    hub.files[half] = hub.files[plain]
    done = check(environment)
    assert done.returncode == 0, done.stderr
    names = {name for name, _ in hub.fetched}
    assert half in names
    assert plain not in names


def test_a_file_that_is_damaged_in_the_cache_is_fetched_again(
    hub: Hub, environment: dict[str, str]
) -> None:
    assert check(environment).returncode == 0
    [cached] = Path(environment["HF_HOME"]).glob(f"hub/*/snapshots/*/{ENCODER}")
    for content in (b"", hub.files[ENCODER][:5000]):
        cached.resolve().write_bytes(content)
        hub.fetched.clear()
        away = check(environment, HF_ENDPOINT=NOWHERE)
        assert away.returncode == 1
        assert f"{ENCODER} is damaged" in away.stderr
        done = check(environment)
        assert done.returncode == 0, done.stderr
        assert [name for name, _ in hub.fetched] == [ENCODER]
        assert f"downloading {ENCODER} of {REPOSITORY} again" in done.stderr


def of_kind(kind: str) -> Callable[[Hub], None]:
    def change(hub: Hub) -> None:
        index = json.loads(hub.files["model_index.json"]) | {"_class_name": kind}
        hub.files["model_index.json"] = json.dumps(index).encode()

    return change


def many_steps(hub: Hub) -> None:
    scheduler = {"_class_name": "PNDMScheduler", "skip_prk_steps": True, "steps_offset": 1}
    hub.files["scheduler/scheduler_config.json"] = json.dumps(scheduler).encode()


def only(*names: str) -> Callable[[Hub], None]:
    def change(hub: Hub) -> None:
        hub.files = dict.fromkeys(names, b"x" * 100)

    return change


def without(name: str) -> Callable[[Hub], None]:
    return lambda hub: hub.files.__delitem__(name) or None  # type: ignore[func-returns-value]


def answers(status: int) -> Callable[[Hub], None]:
    return lambda hub: setattr(hub, "status", status)


def wants_a_token(hub: Hub) -> None:
    hub.token = "hf_right"


@pytest.mark.parametrize(
    ("change", "environ", "sentence"),
    [
        (of_kind("FluxPipeline"), {}, "is FLUX (FluxPipeline), and this program runs only"),
        (many_steps, {}, "made for 20 to 50 steps (its scheduler is PNDMScheduler"),
        (only("pytorch_lora_weights.safetensors", "README.md"), {}, "holds a LoRA"),
        (only("v1-5-pruned.safetensors"), {}, "single files such as v1-5-pruned.safetensors"),
        (only("config.json", "tokenizer.json"), {}, "is not a model in diffusers' format"),
        (without(UNET), {}, f"is incomplete on the hub: {UNET} is missing"),
        (answers(401), {}, "is gated at http://127.0.0.1:"),
        (answers(404), {}, "has no model somebody/model"),
        (answers(403), {}, "denies access to somebody/model (403)"),
        (wants_a_token, {"HF_TOKEN": "hf_wrong"}, "rejects the token from HF_TOKEN"),
        (answers(200), {"HF_TOKEN": "hf_\u00e9"}, "HF_TOKEN contains invalid characters"),
        (answers(200), {"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
        (answers(200), {"HF_ENDPOINT": "nonsense"}, "HF_ENDPOINT nonsense is not the address"),
        (answers(200), {"MODEL_ID": "some..body/model"}, "is not a valid hub id"),
        (answers(200), {"HF_HOME": "/dev/null/cache"}, "set HF_HOME to another folder"),
    ],
)
def test_an_unsupported_model_is_refused_in_one_sentence_before_any_weights_are_fetched(
    hub: Hub,
    environment: dict[str, str],
    change: Callable[[Hub], None],
    environ: dict[str, str],
    sentence: str,
) -> None:
    change(hub)
    ended = start(environment, **environ)
    assert_one_sentence(ended)
    assert sentence in ended.stderr
    assert "/snapshots/" not in ended.stderr  # the id is named, and no place in the cache
    assert not [name for name, _ in hub.fetched if name.endswith(".safetensors")]


def test_a_pointer_in_the_repository_ends_the_program_without_a_retry(
    hub: Hub, environment: dict[str, str]
) -> None:
    hub.files[UNET] = POINTER
    done = check(environment)
    assert done.returncode == 2
    assert f"{UNET} is damaged on the hub (it is a git-lfs pointer" in done.stderr
    assert "Traceback" not in done.stderr


def test_it_waits_for_a_hub_that_is_unreachable(
    hub: Hub, environment: dict[str, str], tmp_path: Path
) -> None:
    hub.status = 503
    environment["STATE_DIR"] = str(tmp_path / "state")
    with Server(may_fail=True, **environment) as server:
        server.wait_for_log("Trying again")
        status, body = server.request("/healthz")
        assert status == 503
        assert b"somebody/model cannot be downloaded (" in body
        hub.status = 200
        server.wait_until_healthy(180)
    assert server.log.count("cannot be downloaded") == 1
    assert "Traceback" not in server.log


def test_a_local_folder_needs_no_hub(tmp_path: Path, environment: dict[str, str]) -> None:
    shutil.copytree(DEMO, tmp_path / "model")
    done = check(environment, MODEL_ID=str(tmp_path / "model"), HF_ENDPOINT=NOWHERE)
    assert done.returncode == 0, done.stderr

"""Opening the engine as the program does, again and again."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.engine import sdxl
from tests.server import ROOT, Server, lines_of_failure
from turbostream.engine import check_usable, jpeg, open_engine, opening, weights
from turbostream.engine.model.noise import noise_of
from turbostream.settings import load
from turbostream.stream.engine_api import EngineUnavailable, capabilities_of
from turbostream.stream.shot import EarlierFrame, Shot, ShotError, Source
from turbostream.stream.state import State

PROMPT = "three yellow stars on a night sky"
DEMO = {"TARGET_FPS": 30, "INITIAL_PROMPT": "red", "MODEL_ID": "demo", "SERVER_PORT": 8000}

OPENED_TWICE = """
import gc
from turbostream.engine import open_engine, weights
from turbostream.settings import load

defaults = {"TARGET_FPS": 30, "INITIAL_PROMPT": "red", "MODEL_ID": "demo", "SERVER_PORT": 8000}
settings, _ = load(defaults, [], {"DEVICE": "cpu"})
for _ in range(2):
    open_engine(settings, weights.find("demo", "cpu"), lambda progress: None).close()
    print(gc.isenabled(), gc.get_freeze_count())
"""


NOT_AT_FIRST = """
import sys
import threading
class Never:
    def find_spec(self, name, *_):
        if name == "diffusers" and threading.current_thread() is not threading.main_thread():
            raise KeyError("torch._dynamo")
sys.meta_path.insert(0, Never())
"""


def test_only_what_was_imported_is_kept_from_the_collector() -> None:
    """A new engine follows one that failed, whose memory has to come back."""
    first, second = _ran(OPENED_TWICE)
    assert first == second
    assert first.startswith("True ")


def test_an_engine_that_is_given_pictures_paints_from_them(tmp_path: Path) -> None:
    asked: list[tuple[Source, int, int]] = []

    def resolve(source: Source, width: int, height: int) -> Any:
        asked.append((source, width, height))
        return np.full((height, width, 3), 200, np.uint8)

    given = {"DEVICE": "cpu", "STATE_DIR": str(tmp_path)}
    settings, _ = load(DEMO, [], given)
    demo = weights.find("demo", "cpu")
    words = Shot.single("a red star", 1, 64, 64)
    shot = replace(words, source=EarlierFrame(7), strength=0.5)
    engine = open_engine(settings, demo, lambda progress: None, resolve)
    capabilities = capabilities_of(engine)
    assert capabilities is not None
    assert capabilities.sources
    assert engine.choices["sources"].startswith("on: ")
    assert len({engine.submit([one]).result()[0].jpeg for one in (words, shot)}) == 2
    assert asked == [(EarlierFrame(7), 64, 64)]
    engine.close()
    engine = open_engine(settings, demo, lambda progress: None)
    assert engine.choices["sources"].startswith("off: ")
    with pytest.raises(ShotError, match="starts from noise only"):
        engine.submit([shot])
    engine.close()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_folder_of_sdxl_is_opened_from_settings_to_its_first_picture(tmp_path: Path) -> None:
    folder = tmp_path / "a model, größer"
    sdxl.pipeline(full_vae=True).save_pretrained(folder)
    given = {
        "DEVICE": "cpu", "STATE_DIR": str(tmp_path / "state"), "DECODER": "full",
        "JPEG_QUALITY": "95", "SEED": "7", "WIDTH": "80", "HEIGHT": "64",
    }  # fmt: skip
    defaults = {"TARGET_FPS": 30, "INITIAL_PROMPT": PROMPT, "SERVER_PORT": 8000}
    settings, _ = load(defaults | {"MODEL_ID": str(folder)}, [], given)
    found = weights.find(settings.model_id, settings.device)
    check_usable(settings, found)
    said: list[State] = []
    engine = open_engine(settings, found, lambda status: said.append(status.state))
    shot = Shot.single(PROMPT, settings.seed, 80, 64)
    picture = engine.submit([shot]).result()[0].jpeg
    engine.close()
    assert said == [State.LOADING]
    assert engine.choices["decoder"] == "full: DECODER is full"
    assert engine.choices["steps"].startswith("1: ")
    pipe = sdxl.pipeline(full_vae=True)
    options = {"num_inference_steps": 1, "guidance_scale": 0.0, "width": 80, "height": 64}

    def difference(seed: int) -> float:
        """Of diffusers' own picture, as a JPEG too."""
        noise = noise_of(((seed, 1.0),), (4, 8, 10))[None]
        theirs = pipe(PROMPT, latents=noise, **options).images[0].convert("RGBX")
        theirs = jpeg.decode(jpeg.encode(np.array(theirs), 95)).astype(float)
        return float(np.abs(jpeg.decode(picture) - theirs).mean())

    assert difference(7) < 0.5
    assert difference(8) > 5


@pytest.mark.parametrize("stage", ["load_pipeline", "warm_up"])
def test_a_model_that_does_not_fit_beside_other_programs_is_waited_for(
    stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **options: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    monkeypatch.setattr(opening, stage, full)
    settings, _ = load(DEMO, [], {"DEVICE": "cpu"})
    with pytest.raises(EngineUnavailable, match="demo does not fit into the free memory .*: end "):
        open_engine(settings, weights.find("demo", "cpu"), lambda status: None)


def test_the_gpus_warm_up_imports_nothing_while_diffusers_is_imported() -> None:
    """Torch's packages import each other in circles: two threads in one circle break both."""
    opened = subprocess.run(
        [sys.executable, "-m", "tests.engine.meeting"],
        cwd=ROOT, capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert opened.returncode == 0, opened.stderr


@pytest.mark.parametrize("imported", ["torch", "torch._dynamo", "torch, diffusers"])
def test_who_imports_torch_before_the_program_meets_no_failed_start(
    imported: str, tmp_path: Path
) -> None:
    """A profiler or a sitecustomize may."""
    (tmp_path / "sitecustomize.py").write_text(f"import {imported}\n")
    with Server(PYTHONPATH=str(tmp_path)) as server:
        server.wait_until_healthy()
        server.ending_s()
    assert "[init] model loaded and compiled" in server.log


def test_a_server_of_the_tests_whose_model_fails_to_load_fails_its_test(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(NOT_AT_FIRST)
    with pytest.raises(AssertionError, match="The model could not be loaded"):  # noqa: SIM117
        with Server(PYTHONPATH=str(tmp_path)) as server:
            server.wait_for_log("trying again")
    with Server(PYTHONPATH=str(tmp_path), may_fail=True) as server:
        server.wait_for_log("trying again")
    assert lines_of_failure(server.log)


def _ran(program: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"TQDM_DISABLE": "1"},
        capture_output=True, text=True, timeout=250, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()

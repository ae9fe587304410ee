"""LoRAs that are made for few steps: the scheduler and the number of steps that they need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.lora import write_lora
from turbostream.engine import open_engine, weights
from turbostream.engine.weights.few_steps import FewSteps, of_loras
from turbostream.settings import load
from turbostream.stream.shot import Shot

EULER = "EulerDiscreteScheduler"


@pytest.mark.parametrize(("loras", "wanted"), [
    ("none", None),
    ("ink=~/turbo/ink.safetensors", None),
    ("lcm=./ink.safetensors", None),
    ("fast=latent-consistency/lcm-lora-sdv1-5@0.9", FewSteps("LCMScheduler", None, "fast")),
    ("ink=./a.safetensors,fast=h1t/TCD-SD15-LoRA", FewSteps("TCDScheduler", None, "fast")),
    ("a=ByteDance/Hyper-SD:Hyper-SD15-4steps-lora.safetensors", FewSteps(EULER, 4, "a")),
    ("a=~/sdxl_lightning_2step_lora.safetensors", FewSteps(EULER, 2, "a")),
    ("a=~/Hyper-SD15-8steps-lora.safetensors", FewSteps(EULER, None, "a")),
])  # fmt: skip
def test_the_name_tells_the_scheduler_and_the_steps(loras: str, wanted: FewSteps | None) -> None:
    assert of_loras(loras) == wanted


@pytest.mark.parametrize(("file", "given", "scheduler", "steps"), [
    ("lcm-ink", {}, "LCMScheduler", "4: the model is made for it"),
    ("hyper-2steps", {}, EULER, "2: the LoRA is made for it"),
    ("hyper-2steps", {"STEPS": "3"}, EULER, "3: STEPS"),
])  # fmt: skip
def test_a_model_is_sampled_as_its_lora_needs(
    tmp_path: Path, file: str, given: dict[str, str], scheduler: str, steps: str
) -> None:
    lora = write_lora(tmp_path / f"{file}.safetensors", 1)
    environ = {"DEVICE": "cpu", "STATE_DIR": str(tmp_path), "LORAS": f"ink={lora}", **given}
    guide: dict[str, Any] = {"TARGET_FPS": 30, "INITIAL_PROMPT": "red", "SERVER_PORT": 8000}
    settings, _ = load(guide | {"MODEL_ID": "demo"}, [], environ)
    engine = open_engine(settings, weights.find("demo", "cpu"), lambda status: None)
    try:
        assert engine.choices["scheduler"] == f"{scheduler}: the LoRA ink is made for it"
        assert engine.choices["steps"] == steps
        assert f" {scheduler} steps-{steps[0]} " in engine.fingerprint
        assert engine.submit([Shot.single("a red star", 1, 64, 64)]).result()[0].jpeg
    finally:
        engine.close()

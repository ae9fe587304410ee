"""The code that AOTInductor compiles, for real: on the CPU, of a small UNet."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch

from tests.engine.conftest import CPU, pipeline
from turbostream.engine.cuda import aot
from turbostream.engine.cuda.background_compiler import compile_apart
from turbostream.engine.cuda.parity import relative_error
from turbostream.engine.model.inputs import Input, batched
from turbostream.engine.model.model import Model
from turbostream.engine.model.schedule import schedule_of
from turbostream.engine.model.step import Denoise
from turbostream.engine.rewrite import folded, packed

INPUTS = (
    Input("noise", (4, 8, 8), torch.float32, staged=True),
    Input("prompt_embedding", (40, 128), torch.float32, staged=False),
)


def denoise_of(pipe: object) -> Denoise:
    """As on a GPU: nothing is packed for oneDNN."""
    schedule = schedule_of(pipe.scheduler)  # type: ignore[attr-defined]
    unet = pipe.unet  # type: ignore[attr-defined]
    folded.prepare(unet, schedule.timestep)
    return Denoise(unet, schedule, torch.float32, 8)


def test_no_weight_to_compile_with_is_one_number_throughout(
    pipe: object,
) -> None:
    job = aot.job_of(denoise_of(pipe), 1, INPUTS, "cpu")
    for name, weight in aot.architecture(job).named_parameters():
        assert weight.numel() == 1 or float(weight.detach().std()) > 0, name


def test_what_is_compiled_has_the_weights_of_what_is_played(pipe: object) -> None:
    denoise = denoise_of(pipe)
    job = aot.job_of(denoise, 1, INPUTS, "cpu")
    job = aot.Job.from_json(job.as_json())

    def layout(module: Denoise) -> dict[str, tuple[int, ...]]:
        return {name: weight.stride() for name, weight in module.state_dict().items()}

    assert layout(aot.architecture(job)) == layout(denoise)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_compiled_step_is_the_plain_one_whatever_weights_it_gets(
    pipe: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    denoise = denoise_of(pipe)
    job = aot.job_of(denoise, 1, INPUTS, "cpu")
    compile_apart(job, tmp_path / "step.pt2", threading.Event())
    call = aot.load(tmp_path / "step.pt2", denoise, INPUTS)
    inputs = batched(INPUTS, 1, lambda shape, dtype: torch.randn(shape))
    with torch.inference_mode():
        assert relative_error(call(**inputs), denoise(**inputs)) < 1e-4


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_compiled_step_at_any_timestep_is_the_plain_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    monkeypatch.setattr(packed, "available", lambda: False)  # as on a GPU
    model = Model(pipeline(), CPU)
    sampler = model.sampler
    declaration = sampler.step_inputs(model.inputs(None, None))
    job = aot.Job.from_json(aot.job_of(sampler.step, 2, declaration, "cpu").as_json())
    compile_apart(job, tmp_path / "step.pt2", threading.Event())
    call = aot.load(tmp_path / "step.pt2", sampler.step, declaration)
    inputs = batched(declaration, 2, lambda shape, dtype: torch.randn(shape))
    shots = [
        sampler.step_values(sampler.table.from_picture(4, strength), 0) for strength in (0.3, 0.8)
    ]
    for name in shots[0]:
        inputs[name] = torch.stack([shot[name].tensor for shot in shots])
    with torch.inference_mode():
        plain = sampler.step(**inputs)
        assert relative_error(call(**inputs), plain) < 1e-4
        inputs["time"] = inputs["time"].flip(0)
        assert relative_error(call(**inputs), plain) > 1e-3

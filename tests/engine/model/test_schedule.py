"""Each row of a schedule against the step of diffusers' own scheduler."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    StableDiffusionImg2ImgPipeline,
    TCDScheduler,
)
from diffusers.schedulers import scheduling_lcm, scheduling_tcd

from turbostream.engine.model.schedule import Row, Steps, StepTable, supported
from turbostream.stream.engine_api import EngineUnusable

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SCHEDULERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "Euler trailing": (EulerDiscreteScheduler, {"timestep_spacing": "trailing"}),
    "Euler linspace": (EulerDiscreteScheduler, {"timestep_spacing": "linspace"}),
    "Euler leading": (EulerDiscreteScheduler, {"timestep_spacing": "leading", "steps_offset": 1}),
    "Euler of Karras": (EulerDiscreteScheduler, {"use_karras_sigmas": True}),
    "Euler to sigma_min": (EulerDiscreteScheduler, {"final_sigmas_type": "sigma_min"}),
    "LCM": (LCMScheduler, {}),
    "LCM of 40": (LCMScheduler, {"original_inference_steps": 40, "timestep_scaling": 7.0}),
    "TCD": (TCDScheduler, {}),
}
# diffusers starts at whole steps only.
STARTS = [
    (count, strength)
    for count in (1, 2, 3, 4)
    for strength in (0.25, 0.5, 0.75, 1.0)
    if (count * strength).is_integer()
]
SHAPE = (2, 4, 6, 5)


def made(name: str, prediction: str) -> Any:
    kind, options = SCHEDULERS[name]
    return kind(**BETAS, **options, prediction_type=prediction)


def draw(seed: int) -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


def says(scaled: torch.Tensor, timestep: float) -> torch.Tensor:
    """In the place of a UNet: depends on its input and on the timestep."""
    return torch.tanh(scaled) + timestep / 1000


def theirs(scheduler: Any, sample: torch.Tensor, first: int, patch: Any) -> list[torch.Tensor]:
    """The samples after each step from index `first` on; noise k is that of seed 100 + k."""
    drawn = iter(range(100, 200))
    for module in (scheduling_lcm, scheduling_tcd):
        patch.setattr(module, "randn_tensor", lambda *_, **__: draw(next(drawn)))
    scheduler.set_begin_index(first)
    found = []
    for timestep in scheduler.timesteps[first:]:
        scaled = scheduler.scale_model_input(sample, timestep)
        said = says(scaled, float(timestep))
        sample = scheduler.step(said, timestep, sample, return_dict=False)[0]
        found.append(sample)
    return found


def ours(steps: Steps, sample: torch.Tensor) -> list[torch.Tensor]:
    found = []
    for number, row in enumerate(steps.rows):
        said = says(row.scale * sample, row.timestep)
        sample = row.skip * sample + row.out * said + row.fresh * draw(100 + number)
        found.append(sample)
    return found


def differs(got: list[torch.Tensor], wanted: list[torch.Tensor]) -> bool:
    if len(got) != len(wanted):
        return True
    return any(float((a - b).norm() / b.norm()) > 1e-5 for a, b in zip(got, wanted, strict=True))


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_step_from_noise_is_the_schedulers_own(
    name: str, count: int, prediction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = made(name, prediction)
    steps = StepTable(made(name, prediction)).from_noise(count)
    scheduler.set_timesteps(count)
    wanted = theirs(scheduler, draw(1) * scheduler.init_noise_sigma, 0, monkeypatch)
    assert steps.start.latents == 0
    assert not differs(ours(steps, steps.start.noise * draw(1)), wanted)
    assert steps.rows[-1].fresh == 0


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize(("count", "strength"), STARTS)
@pytest.mark.parametrize("name", ["Euler trailing", "Euler of Karras", "LCM", "TCD"])
def test_every_step_from_a_picture_is_that_of_diffusers_pipelines(
    name: str, count: int, strength: float, prediction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = made(name, prediction)
    scheduler.set_timesteps(count)
    pipe = type("Pipe", (), {"scheduler": scheduler})
    pipe_timesteps: Any = StableDiffusionImg2ImgPipeline.get_timesteps
    timesteps, left = pipe_timesteps(pipe, count, strength, "cpu")
    table = StepTable(made(name, prediction))
    steps = table.from_picture(count, strength)
    assert len(steps.rows) == left
    sample = scheduler.add_noise(draw(2), draw(1), timesteps[:1].repeat(SHAPE[0]))
    wanted = theirs(scheduler, sample, count - left, monkeypatch)
    first = steps.start.latents * draw(2) + steps.start.noise * draw(1)
    assert not differs([first], [sample])
    assert not differs(ours(steps, first), wanted)


@pytest.mark.parametrize("name", ["Euler trailing", "LCM", "TCD"])
@pytest.mark.parametrize(
    "mutant",
    [
        lambda rows, _: rows[1:],
        lambda rows, _: rows[:-1],
        lambda rows, _: (rows[0], replace(rows[1], timestep=rows[0].timestep), *rows[2:]),
        lambda _, other: other,
    ],
    ids=["without the first", "without the last", "a timestep that stays", "another scheduler"],
)
def test_wrong_rows_would_be_seen(name: str, mutant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = made(name, "epsilon")
    steps = StepTable(made(name, "epsilon")).from_noise(4)
    other = StepTable(made("TCD" if name != "TCD" else "LCM", "epsilon")).from_noise(4).rows
    wrong = replace(steps, rows=mutant(steps.rows, other))
    scheduler.set_timesteps(4)
    wanted = theirs(scheduler, draw(1) * scheduler.init_noise_sigma, 0, monkeypatch)
    assert differs(ours(wrong, steps.start.noise * draw(1)), wanted)


@pytest.mark.parametrize("name", ["Euler trailing", "LCM", "TCD"])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_between_two_starts_the_timestep_follows_the_strength(name: str, count: int) -> None:
    table = StepTable(made(name, "epsilon"))
    firsts: list[Row] = []
    for number in range(1, 1001):
        steps = table.from_picture(count, number / 1000)
        assert len(steps.rows) == -(-count * number // 1000)
        assert all(
            a.timestep >= b.timestep for a, b in zip(steps.rows, steps.rows[1:], strict=False)
        )
        firsts.append(steps.rows[0])
    times = [row.timestep for row in firsts]
    assert times == sorted(times)
    assert times[-1] == 999
    assert max(b - a for a, b in zip(times, times[1:], strict=False)) <= 2


def test_one_step_of_a_turbo_model_has_a_timestep_for_each_thousandth() -> None:
    table = StepTable(made("Euler trailing", "epsilon"))
    for strength, timestep in ((1.0, 999), (0.999, 998), (0.6, 599), (0.25, 249), (1e-9, 0)):
        assert table.from_picture(1, strength).rows[0].timestep == timestep


def test_the_number_of_steps_that_a_scheduler_is_made_for() -> None:
    assert [StepTable(made(name, "epsilon")).own for name in ("Euler trailing", "LCM", "TCD")] == [
        1, 4, 4,
    ]  # fmt: skip
    few = LCMScheduler(**BETAS, original_inference_steps=2)
    assert StepTable(few).counts == (1, 2)
    assert StepTable(few).own == 2


def test_timesteps_between_whole_ones_are_known() -> None:
    assert StepTable(made("Euler linspace", "epsilon")).between == [499.5]
    assert StepTable(made("Euler trailing", "epsilon")).between == []


def test_another_scheduler_is_replaced_by_eulers() -> None:
    found = supported(DDIMScheduler(**BETAS))
    assert isinstance(found, EulerDiscreteScheduler)
    assert found.config.timestep_spacing == "trailing"


@pytest.mark.parametrize("option", ["thresholding", "clip_sample"])
def test_a_step_that_is_not_linear_is_refused_with_one_sentence(option: str) -> None:
    with pytest.raises(EngineUnusable, match=rf"^This model's scheduler uses {option}.*\.$"):
        StepTable(LCMScheduler(**BETAS, **{option: True}))


def test_a_schedule_that_divides_by_zero_is_refused_with_one_sentence() -> None:
    with pytest.raises(EngineUnusable, match=r"no finite steps .*\.$"):
        StepTable(LCMScheduler(**BETAS, rescale_betas_zero_snr=True))

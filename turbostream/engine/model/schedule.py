"""What the steps need of a pipeline's scheduler, as plain numbers. The engine's thread.

A step of every supported scheduler is linear:

    next = skip * sample + out * prediction + fresh * noise

where the UNet predicts from scale * sample at a timestep. The schedulers, and what the UNet's
prediction means, differ only in these numbers. The formulas are those of `step` in diffusers'
EulerDiscreteScheduler, LCMScheduler and TCDScheduler, without guidance and with the default
arguments; tests/engine/model/test_schedule.py compares every step with the scheduler's own.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from diffusers import EulerDiscreteScheduler, LCMScheduler, TCDScheduler

from turbostream.engine.model.step import PREDICTIONS, Schedule
from turbostream.stream.engine_api import EngineUnusable

log = logging.getLogger(__name__)

MOST_STEPS = 4
NONLINEAR = ("thresholding", "clip_sample")  # options that make a step of LCM's nonlinear
SIGMA_DATA = 0.5  # get_scalings_for_boundary_condition_discrete in diffusers' LCMScheduler
ROUNDING = 1e-9  # how far count * strength may be from a whole number
ETA = 0.3  # the default argument of TCDScheduler.step

Pair = tuple[float, float]  # factors of the sample and of the UNet's prediction


@dataclass(frozen=True)
class Row:
    """One step: what the UNet's input is scaled by, and the factors of the next sample."""

    timestep: float
    scale: float
    skip: float
    out: float
    fresh: float  # of new unit noise; 0 where the scheduler adds none


@dataclass(frozen=True)
class Start:
    """The first sample = latents * the picture's latents + noise * unit noise."""

    latents: float  # 0 from noise alone
    noise: float


@dataclass(frozen=True)
class Steps:
    """All that one picture's steps need."""

    start: Start
    rows: tuple[Row, ...]

    @property
    def is_stochastic(self) -> bool:
        """Whether the steps need noise beyond the first."""
        return any(row.fresh for row in self.rows)


def supported(scheduler: Any) -> Any:
    """The scheduler itself if its steps are known here; others are replaced by Euler's.

    Raises EngineUnusable for options that no linear step has.
    """
    if not isinstance(scheduler, EulerDiscreteScheduler | LCMScheduler | TCDScheduler):
        log.info("[init] %s is replaced by EulerDiscreteScheduler.", type(scheduler).__name__)
        scheduler = replaced(scheduler, "EulerDiscreteScheduler")
    prediction = scheduler.config.prediction_type
    if prediction not in PREDICTIONS:
        raise EngineUnusable(
            f"This model's prediction type, {prediction!r}, is not supported; give another "
            "MODEL_ID."
        )
    if isinstance(scheduler, LCMScheduler):  # the others have these options, and ignore them
        for option in NONLINEAR:
            if scheduler.config[option]:
                raise EngineUnusable(
                    f"This model's scheduler uses {option}, which is not supported; set it to "
                    "false in scheduler/scheduler_config.json, or give another MODEL_ID."
                )
    return scheduler


def replaced(scheduler: Any, kind: str) -> Any:
    """A scheduler of the class named `kind` with the noise levels of another; Euler's with trailing
    timesteps, as models of few steps are trained with."""
    classes = {one.__name__: one for one in (EulerDiscreteScheduler, LCMScheduler, TCDScheduler)}
    spacing = {"timestep_spacing": "trailing"} if kind == "EulerDiscreteScheduler" else {}
    return classes[kind].from_config(scheduler.config, **spacing)


def uses_guidance(scheduler: Any) -> bool:
    """Whether models with this scheduler are used with classifier-free guidance: LCM's and TCD's,
    and those made for many steps. Others with trailing timesteps (SD-Turbo, SDXL-Turbo, the demo
    model) were distilled to paint without it."""
    if isinstance(scheduler, LCMScheduler | TCDScheduler):
        return True
    return scheduler.config.get("timestep_spacing") != "trailing"


def schedule_of(scheduler: Any) -> Schedule:
    """The single step from noise alone, as `Denoise` takes it."""
    scheduler = supported(scheduler)
    scheduler.set_timesteps(1)
    timestep = float(scheduler.timesteps[0])
    if isinstance(scheduler, EulerDiscreteScheduler):
        sigma = float(scheduler.sigmas[0])
    else:
        kept = float(scheduler.alphas_cumprod[int(timestep)])
        sigma = math.sqrt((1 - kept) / kept) if kept else math.inf
    return Schedule(
        sigma, float(scheduler.init_noise_sigma), timestep, scheduler.config.prediction_type
    )


class StepTable:
    """The steps of one scheduler, for every number of steps that it can take."""

    def __init__(self, scheduler: Any) -> None:
        """Raises EngineUnusable for a scheduler that gives no steps."""
        self._scheduler = scheduler = supported(scheduler)
        self._prediction: str = scheduler.config.prediction_type
        self._kept = [float(kept) for kept in scheduler.alphas_cumprod]  # by timestep
        self._sigmas = [math.sqrt((1 - kept) / kept) if kept else math.inf for kept in self._kept]
        self._is_euler = isinstance(scheduler, EulerDiscreteScheduler)
        self._times: dict[int, list[float]] = {}  # by number of steps
        self._levels: dict[int, list[float]] = {}  # Euler's sigmas, the last one included
        for count in range(1, MOST_STEPS + 1):
            try:
                scheduler.set_timesteps(count)
            except ValueError:  # LCM and TCD: more than original_inference_steps
                continue
            self._times[count] = [float(time) for time in scheduler.timesteps]
            if self._is_euler:
                self._levels[count] = [float(sigma) for sigma in scheduler.sigmas]
        self._from_noise = {count: self._all(count) for count in self._times}
        self.counts = tuple(count for count, steps in self._from_noise.items() if _is_finite(steps))
        if not self.counts:
            raise EngineUnusable(
                "This model's scheduler gives no finite steps for its prediction type, "
                f"{self._prediction!r}; give another MODEL_ID."
            )
        # Timesteps between whole ones, which some spacings have.
        self.between = sorted(
            {time for times in self._times.values() for time in times if time % 1 != 0}
        )

    @property
    def timesteps(self) -> int:
        """How many the model was trained with."""
        return len(self._kept)

    @property
    def own(self) -> int:
        """The number of steps that a model with this scheduler is made for."""
        return 1 if self._is_euler else self.counts[-1]

    @property
    def ends_at_zero(self) -> bool:
        """Whether one step from noise alone is Euler's to noise 0, as `Denoise` takes it."""
        return self._is_euler and self._levels[1][-1] == 0

    def from_noise(self, count: int) -> Steps:
        """`count` steps, one of `counts`, from noise alone."""
        return self._from_noise[count]

    def from_picture(self, count: int, strength: float) -> Steps:
        """The last of `count` steps, as many as the strength, above 0 and at most 1, selects.

        At a multiple of 1 / count these are the steps of diffusers' image-to-image pipelines. In
        between, the first one starts at a timestep in between, so that the picture follows the
        strength: as many steps as there are whole and partial ones.
        """
        skipped, part = _skipped(count, strength)
        times, levels = self._times[count][skipped:], self._levels.get(count, [])[skipped:]
        if part > ROUNDING:
            following = times[1] if len(times) > 1 else -1.0
            first = round(times[0] + part * (following - times[0]))
            first = min(max(first, 0), self.timesteps - 1)
            times = [float(first), *times[1:]]
            levels = [self._sigmas[first], *levels[1:]]
        if self._is_euler:
            start = Start(1.0, levels[0])
        else:
            kept = self._kept[int(times[0])]
            start = Start(math.sqrt(kept), math.sqrt(1 - kept))
        return Steps(start, self._rows(times, levels))

    def _all(self, count: int) -> Steps:
        self._scheduler.set_timesteps(count)
        start = Start(0.0, float(self._scheduler.init_noise_sigma))
        return Steps(start, self._rows(self._times[count], self._levels.get(count, [])))

    def _rows(self, times: list[float], levels: list[float]) -> tuple[Row, ...]:
        if self._is_euler:
            return tuple(
                self._euler(time, sigma, following)
                for time, (sigma, following) in zip(times, pairwise(levels), strict=True)
            )
        step: Callable[[int, int | None], Row]
        step = self._lcm if isinstance(self._scheduler, LCMScheduler) else self._tcd
        whole = [int(time) for time in times]
        return tuple(map(step, whole, [*whole[1:], None]))

    def _euler(self, time: float, sigma: float, following: float) -> Row:
        scale = (sigma**2 + 1) ** -0.5
        skip, out = {
            "epsilon": (1.0, -sigma),
            "sample": (0.0, 1.0),
            "v_prediction": (scale**2, -sigma * scale),
        }[self._prediction]
        left = following / sigma  # of the distance from x0
        return Row(time, scale, left + (1 - left) * skip, (1 - left) * out, 0.0)

    def _original(self, kept: float) -> Pair:
        """x0 of a sample that keeps this share, `alphas_cumprod`, of the variance."""
        if self._prediction == "sample":
            return 0.0, 1.0
        if self._prediction == "epsilon":
            if not kept:
                return math.inf, -math.inf
            return kept**-0.5, -((1 - kept) ** 0.5) * kept**-0.5
        return kept**0.5, -((1 - kept) ** 0.5)

    def _noise(self, kept: float) -> Pair:
        """The noise in a sample, as `_original`."""
        if self._prediction == "epsilon":
            return 0.0, 1.0
        if self._prediction == "sample":
            return (1 - kept) ** -0.5, -(kept**0.5) * (1 - kept) ** -0.5
        return (1 - kept) ** 0.5, kept**0.5

    def _lcm(self, time: int, following: int | None) -> Row:
        scaled = time * float(self._scheduler.config.timestep_scaling)
        of_sample = SIGMA_DATA**2 / (scaled**2 + SIGMA_DATA**2)
        of_original = scaled / (scaled**2 + SIGMA_DATA**2) ** 0.5
        skip, out = self._original(self._kept[time])
        skip, out = of_original * skip + of_sample, of_original * out
        if following is None:
            return Row(time, 1.0, skip, out, 0.0)
        kept = self._kept[following]
        return Row(time, 1.0, kept**0.5 * skip, kept**0.5 * out, (1 - kept) ** 0.5)

    def _tcd(self, time: int, following: int | None) -> Row:
        # In torch, because Python's product may fall on the other side of a whole number.
        inner = int(torch.floor((1 - ETA) * torch.tensor(following or 0)))
        kept, kept_inner = self._kept[time], self._kept[inner]
        original, noise = self._original(kept), self._noise(kept)
        skip, out = (
            kept_inner**0.5 * a + (1 - kept_inner) ** 0.5 * b
            for a, b in zip(original, noise, strict=True)
        )
        if following is None:
            return Row(time, 1.0, skip, out, 0.0)
        share = self._kept[following] / kept_inner
        return Row(time, 1.0, share**0.5 * skip, share**0.5 * out, (1 - share) ** 0.5)


def _skipped(count: int, strength: float) -> tuple[int, float]:
    """(how many whole steps the strength leaves out, which part of the next one); one stays."""
    place = count * (1 - strength)
    whole = min(math.floor(place + ROUNDING), count - 1)
    return whole, place - whole


def _is_finite(steps: Steps) -> bool:
    return all(math.isfinite(value) for row in steps.rows for value in (row.skip, row.out))

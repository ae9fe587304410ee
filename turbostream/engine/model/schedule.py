"""What the step needs of a pipeline's scheduler: its noise levels, and how the UNet's prediction is
meant. The engine's thread."""

from __future__ import annotations

import logging
from typing import Any

from diffusers import EulerDiscreteScheduler

from turbostream.engine.model.step import PREDICTIONS, Schedule
from turbostream.stream.engine_api import EngineUnusable

log = logging.getLogger(__name__)


def euler_of(scheduler: Any) -> EulerDiscreteScheduler:
    """Other schedulers are replaced by Euler's, because the step needs its sigmas."""
    if isinstance(scheduler, EulerDiscreteScheduler):
        return scheduler
    log.info("[init] %s is replaced by EulerDiscreteScheduler.", type(scheduler).__name__)
    return EulerDiscreteScheduler.from_config(scheduler.config, timestep_spacing="trailing")


def schedule_of(scheduler: Any) -> Schedule:
    """The step's parameters from noise alone."""
    scheduler = euler_of(scheduler)
    scheduler.set_timesteps(1)
    prediction = scheduler.config.prediction_type
    if prediction not in PREDICTIONS:
        raise EngineUnusable(
            f"This model's prediction type, {prediction!r}, is not supported; give another "
            "MODEL_ID."
        )
    return Schedule(
        float(scheduler.sigmas[0]),
        float(scheduler.init_noise_sigma),
        float(scheduler.timesteps[0]),
        prediction,
    )


def sigmas_of(scheduler: Any) -> list[float]:
    """The noise of each timestep, as EulerDiscreteScheduler gives it for `timesteps=[t]`: it
    interpolates between whole timesteps, and t is one."""
    kept = scheduler.alphas_cumprod
    return [float(sigma) for sigma in ((1 - kept) / kept) ** 0.5]

"""For how few steps a file is made, and with which scheduler, told from its name. No torch."""

from __future__ import annotations

import re
from typing import NamedTuple

from turbostream.stream.adapters import parse

SCHEDULERS = (
    (re.compile(r"(?<![a-z])lcm(?![a-z])"), "LCMScheduler"),
    (re.compile(r"(?<![a-z])tcd(?![a-z])"), "TCDScheduler"),
    (re.compile(r"turbo|lightning|hyper"), "EulerDiscreteScheduler"),
)
STEPS = re.compile(r"(?<![0-9])([1-4])[-_ ]?steps?(?![a-z])")


class FewSteps(NamedTuple):
    """scheduler: a class of diffusers. steps: None where the name does not say. name: of the
    LoRA."""

    scheduler: str
    steps: int | None
    name: str


def scheduler_of(title: str) -> str | None:
    """The scheduler of a model or LoRA of this title; None where it is not said to be made for few
    steps."""
    found = (kind for pattern, kind in SCHEDULERS if pattern.search(title.lower()))
    return next(found, None)


def of_loras(loras: str) -> FewSteps | None:
    """What the first few-step LoRA in LORAS is made for, such as latent-consistency/lcm-lora-sdv1-5
    or Hyper-SD15-4steps-lora.safetensors; None where there is none."""
    for adapter in parse(loras):
        # Of a path the last part: a folder above it may have any name.
        is_path = adapter.place.startswith((".", "/", "~"))
        title = adapter.place.rstrip("/").rpartition("/")[2] if is_path else adapter.place
        if scheduler := scheduler_of(title):
            said = STEPS.search(title.lower())
            return FewSteps(scheduler, int(said[1]) if said else None, adapter.name)
    return None

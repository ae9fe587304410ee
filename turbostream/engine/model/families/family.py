"""What distinguishes one family of models from another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from turbostream.engine.model.prompt_encoder import PromptEncoder


@dataclass(frozen=True)
class Family:
    """pipeline: diffusers' class. components: the class of each component; a name instead is the
    default of what the model's index says. read: the encoder of a pipeline's words. unused: the
    pipeline's arguments for components that are left out. told: its arguments that the model's
    index may name."""

    pipeline: type
    components: Mapping[str, Any]
    read: Callable[[Any], PromptEncoder]
    unused: Mapping[str, Any]
    told: tuple[str, ...] = ()

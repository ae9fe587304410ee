"""The named input tensors of a model's step, declared once.

Static buffers, CUDA graphs, compiled packages, the traced graph and the parity check are all
derived from this declaration: another model family, or a source picture, is one more `Input`.
Knows tensors, and nothing of prompts, diffusers or CUDA.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch


@dataclass(frozen=True)
class Input:
    """One tensor that the step takes.

    name: the parameter of the step's `forward`. shape: of one shot, without the batch axis.
    staged: computed on the CPU for every shot, so it travels through pinned memory; otherwise it
    is on the device already.
    """

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    staged: bool


Declaration = tuple[Input, ...]  # in the order of the parameters of `forward`
Tensors = Mapping[str, torch.Tensor]  # by the names of the declaration, each with a batch axis
Paint = Callable[..., torch.Tensor]  # takes Tensors as keyword arguments


@dataclass(frozen=True)
class Value:
    """One shot's tensor for one input, without the batch axis.

    ready: on CUDA the event after which the tensor holds its numbers: a reader on another stream
    waits for it first. None: they are there.
    """

    tensor: torch.Tensor
    ready: Any = None


Values = Mapping[str, Value]  # one shot's, by the names of the declaration


class CapturedGraph(Protocol):
    """A function captured with static inputs and output; what `capture` below returns."""

    @property
    def inputs(self) -> Tensors: ...
    @property
    def output(self) -> torch.Tensor: ...
    def replay(self) -> None: ...


# capture(function, static inputs, stream)
Capture = Callable[[Paint, Tensors, Any], CapturedGraph]


def batched(
    declaration: Declaration, batch: int, make: Callable[[tuple[int, ...], torch.dtype], Any]
) -> dict[str, Any]:
    """`make(shape with the batch axis, dtype)` for each input, by name."""
    return {one.name: make((batch, *one.shape), one.dtype) for one in declaration}


def ordered(declaration: Declaration, tensors: Tensors) -> Sequence[torch.Tensor]:
    """The tensors in the declaration's order, for callers that know no names."""
    return [tensors[one.name] for one in declaration]

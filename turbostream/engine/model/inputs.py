"""The named input tensors of a model's step, declared once.

Static buffers, CUDA graphs, compiled packages, the traced graph and the parity check are all
derived from this declaration, so another model family or a source picture only adds an `Input`.
This module knows tensors; it must not know prompts, diffusers or CUDA.
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
    staged: the tensor is computed on the CPU for every shot and copied to the device through pinned
    memory. Otherwise it is on the device already.
    """

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    staged: bool


Declaration = tuple[Input, ...]  # in the order of the parameters of `forward`
Tensors = Mapping[str, torch.Tensor]  # by declared name, each with a batch axis
Paint = Callable[..., torch.Tensor]  # takes Tensors as keyword arguments


@dataclass(frozen=True)
class Value:
    """One shot's tensor for one input, without the batch axis.

    ready: on CUDA the event that marks the tensor as written; a reader on another stream waits for
    it. None if the tensor is already written.
    """

    tensor: torch.Tensor
    ready: Any = None


Values = Mapping[str, Value]  # of one shot, by declared name


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
    """The tensors in the declaration's order, for callees that take positional arguments."""
    return [tensors[one.name] for one in declaration]


def fits(values: Values, declaration: Declaration) -> bool:
    """True for values of exactly the declared inputs, each of the declared shape."""
    shapes = {name: tuple(value.tensor.shape) for name, value in values.items()}
    return shapes == {one.name: one.shape for one in declaration}

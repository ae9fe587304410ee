"""The UNet's operators one after the other, without the modules around them.

On a CPU a small UNet spends a fifth of its time in Python: some four hundred modules ask on every
frame what has been settled since the first one. Here one run is written down, operator by
operator, into a graph of torch.fx, whose code is one flat function; what depends on neither noise
nor words becomes a constant. Same operators, same order: the result is equal to the bit.
"""

from __future__ import annotations

import logging
import operator
from typing import Any

import torch
from torch import fx, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from turbostream.engine import lighter
from turbostream.engine.gate import UNET_LIMIT, relative_error

log = logging.getLogger(__name__)


class Unwritable(Exception):
    """What ran cannot be written down; says why."""


class Tape:
    """A module of noise and words, written down on its second call of each shape: the first
    picture does not wait for it. Where that cannot be, or differs, the module itself goes on."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._shape: tuple[torch.Size, ...] | None = None  # of the calls since the last change
        self._written: nn.Module | None = None  # None until the second call

    def __call__(self, noise: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        shape = (noise.shape, words.shape)
        if shape != self._shape:
            self._shape, self._written = shape, None
            plain: torch.Tensor = self._module(noise, words)
            return plain
        if self._written is None:
            self._written = self._verified(noise, words)
        latents: torch.Tensor = self._written.forward(noise, words)
        return latents

    def _verified(self, noise: torch.Tensor, words: torch.Tensor) -> nn.Module:
        """What to call from now on, held against the module on other inputs than it was written
        from."""
        other = noise.flip(-1), words.flip(-1)
        try:
            written = write(self._module, noise, words)
            error = relative_error(written(*other), self._module(*other))
        except Unwritable as reason:
            log.info("[init] the UNet stays as it is: %s.", reason)
            return self._module
        except Exception:  # whatever it is, the module itself still paints
            log.warning("[init] the UNet stays as it is: not written down.", exc_info=True)
            return self._module
        if error > UNET_LIMIT:
            log.warning("[init] the UNet stays as it is: written down it differs by %.2g.", error)
            return self._module
        return written


def write(module: nn.Module, *inputs: torch.Tensor) -> fx.GraphModule:
    """One run as a flat function, for inputs of the same shapes; raises Unwritable."""
    recorder = _Recorder(inputs)
    with lighter.loading(), recorder:  # a mode asks for the compiler, to be left alone by it
        result = module(*inputs)
    return recorder.written(result)


class _Recorder(TorchDispatchMode):
    """Writes down every operator that the inputs reach."""

    def __init__(self, inputs: tuple[torch.Tensor, ...]) -> None:
        super().__init__()
        self._graph, self._constants = fx.Graph(), nn.Module()
        self._nodes: dict[int, fx.Node] = {}  # by the id of what they gave
        self._constant_nodes: dict[int, fx.Node] = {}
        self._alive: list[torch.Tensor] = []  # so that no id is another tensor's later
        for number, tensor in enumerate(inputs):
            self._know(tensor, self._graph.placeholder(f"input_{number}"))

    def __torch_dispatch__(
        self, func: Any, _types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        if not any(id(tensor) in self._nodes for tensor in given):
            return result  # a constant
        if func._schema.is_mutable:
            raise Unwritable(f"{func} writes into its input")
        if any(result is tensor for tensor in given):
            return result  # dropout and the like, which do nothing
        node = self._graph.call_function(func, *tree_map(self._value, (args, kwargs)))
        if isinstance(result, torch.Tensor):
            self._know(result, node)
        elif isinstance(result, (tuple, list)):
            for number, part in enumerate(result):
                self._know(part, self._graph.call_function(operator.getitem, (node, number)))
        else:
            raise Unwritable(f"{func} makes a number of a tensor")
        return result

    def written(self, result: torch.Tensor) -> fx.GraphModule:
        self._graph.output(self._value(result))
        self._graph.eliminate_dead_code()
        written = fx.GraphModule(self._constants, self._graph)
        vars(written).update(written.named_buffers())  # found at once, not by nn.Module's search
        return written

    def _know(self, tensor: torch.Tensor, node: fx.Node) -> None:
        self._nodes[id(tensor)] = node
        self._alive.append(tensor)

    def _value(self, leaf: Any) -> Any:
        """What stands in the graph for an argument."""
        if not isinstance(leaf, torch.Tensor):
            return leaf
        if id(leaf) in self._nodes:
            return self._nodes[id(leaf)]
        if id(leaf) not in self._constant_nodes:
            name = f"constant_{len(self._constant_nodes)}"
            self._constants.register_buffer(name, leaf)
            self._constant_nodes[id(leaf)] = self._graph.get_attr(name)
        return self._constant_nodes[id(leaf)]

"""The UNet's operators one after the other, without the modules around them.

On a CPU a small UNet spends a fifth of its time in Python: some four hundred modules ask on every
frame what has been settled since the first one. Here one run is written down, operator by
operator, into a graph of torch.fx, whose code is one flat function; what depends on neither noise
nor words becomes a constant. Same operators, same order: the result is equal to the bit.
"""

from __future__ import annotations

import logging
import operator
import time
from typing import Any

import torch
from torch import fx, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

log = logging.getLogger(__name__)

# Writing costs three runs, and keeps all results of one of them until it ends. So a size must have
# come some times in a row, the first picture does not wait for it, and of a UNet that takes long it
# would cost memory and patience for a gain that is Python's share, some milliseconds.
CALLS = 8
WORTH_S = 0.2


class Unwritable(Exception):
    """What ran cannot be written down; says why."""


class Tape:
    """A module of noise and words, written down once a shape has come CALLS times in a row.
    Where that cannot be, differs or is not worth it, the module itself goes on."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._shape: tuple[torch.Size, ...] | None = None  # of the last call
        self._calls = 0  # of that shape, in a row, until it is written down
        self._written: nn.Module | None = None

    def __call__(self, noise: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        shape = (noise.shape, words.shape)
        if shape != self._shape:
            self._shape, self._calls, self._written = shape, 0, None
        if self._written is not None:
            latents: torch.Tensor = self._written.forward(noise, words)
            return latents
        started = time.perf_counter()
        plain: torch.Tensor = self._module(noise, words)
        self._calls += 1
        if self._calls == CALLS and time.perf_counter() - started < WORTH_S:
            self._written = self._verified(noise, words)
        return plain

    def _verified(self, noise: torch.Tensor, words: torch.Tensor) -> nn.Module | None:
        """The module written down, held against it on other inputs than it was written from."""
        other = noise.flip(-1), words.flip(-1)
        try:
            written = write(self._module, noise, words)
            same = torch.equal(written(*other), self._module(*other))
        except Unwritable as reason:
            log.info("[init] the UNet stays as it is: %s.", reason)
            return None
        except Exception:  # whatever it is, the module itself still paints
            log.warning("[init] the UNet stays as it is: not written down.", exc_info=True)
            return None
        if not same:
            log.warning("[init] the UNet stays as it is: written down it gives something else.")
        return written if same else None


def write(module: nn.Module, *inputs: torch.Tensor) -> fx.GraphModule:
    """One run as a flat function, for inputs of the same shapes; raises Unwritable."""
    recorder = _Recorder(inputs)
    with recorder:
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

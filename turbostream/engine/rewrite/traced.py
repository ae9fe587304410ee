"""The UNet's operators one after the other, without the modules around them.

On a CPU a small UNet spends a fifth of its time in Python: some four hundred modules ask on every
frame what has been settled since the first one. Here one run is traced, operator by operator,
into a graph of torch.fx, whose code is one flat function; what depends on no input becomes a
constant. Same operators, same order: the result is equal to the bit.
"""

from __future__ import annotations

import logging
import operator
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

log = logging.getLogger(__name__)

# Tracing costs three runs, and keeps all results of one of them until it ends. So a size must have
# come some times in a row, and the first picture does not wait for it. A slow UNet would need much
# memory and time for a gain that is Python's share, some milliseconds.
CALLS = 8
WORTH_S = 0.2


class Untraceable(Exception):
    """What ran cannot be traced; says why."""


class TracedGraph:
    """A module of named inputs, traced once their shapes have come CALLS times in a row.
    Where that fails, differs or is not worth it, the module itself goes on."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._shapes: dict[str, torch.Size] | None = None  # of the last call
        self._calls = 0  # of those shapes, in a row, until it is traced
        self._traced: nn.Module | None = None

    def __call__(self, **inputs: torch.Tensor) -> torch.Tensor:
        shapes = {name: tensor.shape for name, tensor in inputs.items()}
        if shapes != self._shapes:
            self._shapes, self._calls, self._traced = shapes, 0, None
        if self._traced is not None:
            latents: torch.Tensor = self._traced.forward(**inputs)
            return latents
        started = time.perf_counter()
        plain: torch.Tensor = self._module(**inputs)
        self._calls += 1
        if self._calls == CALLS and time.perf_counter() - started < WORTH_S:
            self._traced = self._verified(inputs)
        return plain

    def _verified(self, inputs: Mapping[str, torch.Tensor]) -> nn.Module | None:
        """The traced module, compared with the original on other inputs than it was traced with."""
        other = {name: tensor.flip(-1) for name, tensor in inputs.items()}
        try:
            traced = trace(self._module, **inputs)
            same = torch.equal(traced(**other), self._module(**other))
        except Untraceable as reason:
            log.info("[init] the UNet runs untraced: %s.", reason)
            return None
        except Exception:  # whatever it is, the module itself still paints
            log.warning("[init] the UNet runs untraced: tracing failed.", exc_info=True)
            return None
        if not same:
            log.warning("[init] the UNet runs untraced: the trace gives another result.")
        return traced if same else None


def trace(module: nn.Module, **inputs: torch.Tensor) -> fx.GraphModule:
    """One run as a flat function of the same inputs and shapes; raises Untraceable."""
    recorder = _Recorder(inputs)
    with recorder:
        result = module(**inputs)
    return recorder.traced(result)


class _Recorder(TorchDispatchMode):
    """Records every operator that the inputs reach."""

    def __init__(self, inputs: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self._graph, self._constants = fx.Graph(), nn.Module()
        self._nodes: dict[int, fx.Node] = {}  # by the id of what they gave
        self._constant_nodes: dict[int, fx.Node] = {}
        self._alive: list[torch.Tensor] = []  # so that no id is another tensor's later
        for name, tensor in inputs.items():
            self._know(tensor, self._graph.placeholder(name))

    def __torch_dispatch__(
        self, func: Any, _types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        if not any(id(tensor) in self._nodes for tensor in given):
            return result  # a constant
        if func._schema.is_mutable:
            raise Untraceable(f"{func} writes into its input")
        if any(result is tensor for tensor in given):
            return result  # dropout and the like, which do nothing
        node = self._graph.call_function(func, *tree_map(self._value, (args, kwargs)))
        if isinstance(result, torch.Tensor):
            self._know(result, node)
        elif isinstance(result, (tuple, list)):
            for number, part in enumerate(result):
                self._know(part, self._graph.call_function(operator.getitem, (node, number)))
        else:
            raise Untraceable(f"{func} makes a number of a tensor")
        return result

    def traced(self, result: torch.Tensor) -> fx.GraphModule:
        self._graph.output(self._value(result))
        self._graph.eliminate_dead_code()
        traced = fx.GraphModule(self._constants, self._graph)
        vars(traced).update(traced.named_buffers())  # found at once, not by nn.Module's search
        return traced

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

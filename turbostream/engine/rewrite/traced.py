"""The traced graph: the UNet as a flat list of its operators, for the CPU; the engine's thread.

On a CPU a small UNet spends a fifth of its time in Python, where some four hundred modules repeat
the same checks on every frame. One run is traced into a torch.fx graph, which executes as one flat
function; values that depend on no input become constants. The operators and their order are the
same, so the result is bit-identical.
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

# Tracing costs three runs, and keeps all intermediate results of one of them until it ends. It
# therefore waits until the same size was used several times in a row, after the first pictures. A
# slow UNet is not traced: it would need much memory and time to save a few milliseconds of Python.
CALLS = 8
SLOWEST_TRACED_S = 0.2  # per call


class Untraceable(Exception):
    """The run cannot be traced; the message is one clause that says why."""


class TracedGraph:
    """A module with named inputs, traced once it was called CALLS times in a row with the same
    shapes. If tracing fails, gives another result or is not worthwhile, the module itself runs."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._shapes: dict[str, torch.Size] | None = None  # of the last call
        self._calls = 0  # with these shapes, in a row
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
        if self._calls == CALLS and time.perf_counter() - started < SLOWEST_TRACED_S:
            self._traced = self._verified(inputs)
        return plain

    def _verified(self, inputs: Mapping[str, torch.Tensor]) -> nn.Module | None:
        """The traced module if it equals the original on inputs other than those traced."""
        other = {name: tensor.flip(-1) for name, tensor in inputs.items()}
        try:
            traced = trace(self._module, **inputs)
            same = torch.equal(traced(**other), self._module(**other))
        except Untraceable as reason:
            log.info("[init] the UNet runs untraced: %s.", reason)
            return None
        except Exception:  # tracing is optional: the module itself still works
            log.warning("[init] the UNet runs untraced: tracing failed.", exc_info=True)
            return None
        if not same:
            log.warning("[init] the UNet runs untraced: the trace gives a different result.")
        return traced if same else None


def trace(module: nn.Module, **inputs: torch.Tensor) -> fx.GraphModule:
    """One run as a flat function for inputs of the same shapes; raises Untraceable."""
    recorder = _Recorder(inputs)
    with recorder:
        result = module(**inputs)
    return recorder.traced(result)


class _Recorder(TorchDispatchMode):
    """Records every operator whose result depends on the inputs."""

    def __init__(self, inputs: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self._graph, self._constants = fx.Graph(), nn.Module()
        self._nodes: dict[int, fx.Node] = {}  # by id() of the result
        self._constant_nodes: dict[int, fx.Node] = {}
        self._alive: list[torch.Tensor] = []  # keeps results alive, so that no id() is reused
        for name, tensor in inputs.items():
            self._remember(tensor, self._graph.placeholder(name))

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
            return result  # an operator that returns its input, such as dropout
        node = self._graph.call_function(func, *tree_map(self._value, (args, kwargs)))
        if isinstance(result, torch.Tensor):
            self._remember(result, node)
        elif isinstance(result, (tuple, list)):
            for number, part in enumerate(result):
                self._remember(part, self._graph.call_function(operator.getitem, (node, number)))
        else:
            raise Untraceable(f"{func} converts a tensor to a number")
        return result

    def traced(self, result: torch.Tensor) -> fx.GraphModule:
        self._graph.output(self._value(result))
        self._graph.eliminate_dead_code()
        traced = fx.GraphModule(self._constants, self._graph)
        vars(traced).update(traced.named_buffers())  # avoids nn.Module.__getattr__ on every call
        return traced

    def _remember(self, tensor: torch.Tensor, node: fx.Node) -> None:
        self._nodes[id(tensor)] = node
        self._alive.append(tensor)

    def _value(self, leaf: Any) -> Any:
        """The graph's representation of an argument."""
        if not isinstance(leaf, torch.Tensor):
            return leaf
        if id(leaf) in self._nodes:
            return self._nodes[id(leaf)]
        if id(leaf) not in self._constant_nodes:
            name = f"constant_{len(self._constant_nodes)}"
            self._constants.register_buffer(name, leaf)
            self._constant_nodes[id(leaf)] = self._graph.get_attr(name)
        return self._constant_nodes[id(leaf)]

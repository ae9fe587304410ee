"""Records one run of a module, operator by operator, as a flat function: a graph of torch.fx.

What depends on no input becomes a constant. Imported only when a module is traced, since it relies
on private names of torch (`private_names.TRACING`). Any number of threads, each its own run.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map


class Untraceable(Exception):
    """The run cannot be traced; the message is one clause that says why."""


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
        self._nodes: dict[int, fx.Node] = {}  # by the id of the result
        self._constant_nodes: dict[int, fx.Node] = {}
        self._alive: list[torch.Tensor] = []  # so that no id is reused for another tensor
        for name, tensor in inputs.items():
            self._know(tensor, self._graph.placeholder(name))

    def __torch_dispatch__(
        self, func: Any, _types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        if not any(id(tensor) in self._nodes for tensor in given):
            return result  # depends on no input: a constant
        if func._schema.is_mutable:
            raise Untraceable(f"{func} writes into its input")
        if any(result is tensor for tensor in given):
            return result  # dropout and other operators that do nothing
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
        vars(traced).update(traced.named_buffers())  # found without nn.Module's search
        return traced

    def _know(self, tensor: torch.Tensor, node: fx.Node) -> None:
        self._nodes[id(tensor)] = node
        self._alive.append(tensor)

    def _value(self, leaf: Any) -> Any:
        """The graph's node for an argument."""
        if not isinstance(leaf, torch.Tensor):
            return leaf
        if id(leaf) in self._nodes:
            return self._nodes[id(leaf)]
        if id(leaf) not in self._constant_nodes:
            name = f"constant_{len(self._constant_nodes)}"
            self._constants.register_buffer(name, leaf)
            self._constant_nodes[id(leaf)] = self._graph.get_attr(name)
        return self._constant_nodes[id(leaf)]

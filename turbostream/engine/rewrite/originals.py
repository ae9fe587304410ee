"""Where the weights of a model are after the rewrites, and what was computed from them.

A LoRA changes the model's own weights while graphs and compiled code read the rewritten ones. Each
rewrite therefore notes what became of a weight that may change: moved into another tensor, or the
source of a derived one, which is computed again in place. Only of the weights that were named
before the rewriting; nothing is kept for the others. Runs on the engine's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

Refresh = Callable[[], None]


class Originals:
    """weights: those that may change, before any rewrite."""

    def __init__(self, weights: Iterable[nn.Parameter] = ()) -> None:
        self._weights = {id(weight): weight for weight in weights}
        self._moved: dict[int, tuple[nn.Parameter, slice]] = {}
        self._derived: dict[int, list[tuple[Refresh, nn.Parameter | None]]] = {}

    def may_change(self, weights: Iterable[nn.Parameter]) -> bool:
        """Whether any of `weights` may."""
        return any(id(weight) in self._weights for weight in weights)

    def moved(self, weight: nn.Parameter, to: nn.Parameter, rows: slice) -> None:
        """`weight` is now these rows of `to`."""
        if id(weight) in self._weights:
            self._moved[id(weight)] = to, rows

    def derived(
        self,
        sources: Iterable[nn.Parameter],
        refresh: Refresh,
        product: nn.Parameter | None = None,
    ) -> None:
        """`refresh` computes again, in place, what was made from `sources`. product: a parameter
        that it writes, from which others may be made in turn."""
        changing = [source for source in sources if id(source) in self._weights]
        for source in changing:
            self._derived.setdefault(id(source), []).append((refresh, product))
        if changing and product is not None:
            self._weights[id(product)] = product

    def place(self, weight: nn.Parameter) -> torch.Tensor:
        """The tensor that `weight` is read from now."""
        if id(weight) in self._moved:
            to, rows = self._moved[id(weight)]
            return to[rows]
        return weight

    def refresh(self, changed: Iterable[nn.Parameter]) -> None:
        """Compute again what was made from these weights, each thing once."""
        todo, done = [id(weight) for weight in changed], set()
        for weight in todo:  # grows
            for refresh, product in self._derived.get(weight, ()):
                if refresh not in done:
                    done.add(refresh)
                    refresh()
                    if product is not None:
                        todo.append(id(product))

"""Replacing modules inside a module, which is how most techniques here come in."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


def swap(module: nn.Module, other: Callable[[nn.Module], nn.Module | None]) -> int:
    """Put `other(child)` in the place of every child below `module` for which it is not None,
    without looking into what was put there; returns how many."""
    count = 0
    for name, child in list(module.named_children()):
        replacement = other(child)
        if replacement is None:
            count += swap(child, other)
        else:
            setattr(module, name, replacement)
            count += 1
    return count

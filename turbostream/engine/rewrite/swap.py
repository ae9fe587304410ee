"""Replaces modules inside a module, which is how most rewrites are applied."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


def swap(module: nn.Module, replace: Callable[[nn.Module], nn.Module | None]) -> int:
    """Replace every child below `module` with `replace(child)` unless that is None, without
    descending into replacements; returns how many."""
    count = 0
    for name, child in list(module.named_children()):
        replacement = replace(child)
        if replacement is None:
            count += swap(child, replace)
        else:
            setattr(module, name, replacement)
            count += 1
    return count

"""Blends of prompts: texts with weights, as a scene and a shot have them. Pure, any thread."""

from __future__ import annotations

from turbostream.stream.scene_checks import MOST_MIXED, MOST_PROMPTS
from turbostream.stream.shot import ROUNDING, Prompts


def normalised(mix: Prompts) -> Prompts:
    """The blend with each text once, no weights of 0, and weights that add up to 1."""
    weights: dict[str, float] = {}
    for text, weight in mix:
        weights[text] = weights.get(text, 0.0) + weight
    total = sum(weights.values())
    if abs(total - 1) <= ROUNDING:
        total = 1.0  # the mix of a shot is kept exactly
    scaled = ((text, weight / total) for text, weight in weights.items())
    return tuple((text, weight) for text, weight in scaled if weight)


def mixed(start: Prompts, target: Prompts, position: float) -> Prompts:
    """The blend at `position`, 0 to 1, between `start` and `target`, both normalised.

    The texts of `start` come first, so that the order of the mix does not change during a fade. If
    a target from a recipe leaves too little room for `start`, the lightest texts are left out.
    """
    leaving = tuple((text, weight * (1 - position)) for text, weight in start)
    both = normalised(leaving + tuple((text, weight * position) for text, weight in target))
    return fewest(both, MOST_MIXED)


def fewest(mix: Prompts, most: int = MOST_MIXED - MOST_PROMPTS) -> Prompts:
    """The `most` heaviest texts; by default as many as fit into a shot beside another blend."""
    if len(mix) <= most:
        return mix
    least = sorted(weight for _, weight in mix)[-most]
    return normalised(tuple(pair for pair in mix if pair[1] >= least)[:most])

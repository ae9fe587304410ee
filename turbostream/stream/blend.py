"""Blends of prompts: texts with weights, as a scene and a shot have them. Pure, any thread."""

from __future__ import annotations

from turbostream.stream.scene_checks import MOST_MIXED, MOST_PROMPTS
from turbostream.stream.shot import ROUNDING, Prompts


def normalised(mix: Prompts) -> Prompts:
    """Each text once, without those of weight 0, and weights that add up to 1."""
    weights: dict[str, float] = {}
    for text, weight in mix:
        weights[text] = weights.get(text, 0.0) + weight
    total = sum(weights.values())
    if abs(total - 1) <= ROUNDING:
        total = 1.0  # the mix of a shot stays exactly that mix
    scaled = ((text, weight / total) for text, weight in weights.items())
    return tuple((text, weight) for text, weight in scaled if weight)


def mixed(start: Prompts, target: Prompts, position: float) -> Prompts:
    """The blend at `position`, 0 to 1, on the way from `start` to `target`; both are normalised.

    The texts of `start` come first, so that the order of a mix does not change on the way. A target
    that came from a recipe may leave no room for `start`; the lightest are then left out.
    """
    away = tuple((text, weight * (1 - position)) for text, weight in start)
    both = normalised(away + tuple((text, weight * position) for text, weight in target))
    return fewest(both, MOST_MIXED)


def fewest(mix: Prompts, most: int = MOST_MIXED - MOST_PROMPTS) -> Prompts:
    """The heaviest; by default as many as a shot has room for beside another blend."""
    if len(mix) <= most:
        return mix
    least = sorted(weight for _, weight in mix)[-most]
    return normalised(tuple(pair for pair in mix if pair[1] >= least)[:most])

"""Finds a thing in a picture by its outline, wherever it is.

The centre of all that differs from the teacher's ground is not the thing's if the ground differs
too: a flame that is missing at one side draws it there. The outline is found in spite of that. The
whole picture is searched, so that the place where the thing should be has no advantage.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from training.render import Renderer
from training.scene import NO_THING, Layout

LEAST_SEEN = 0.4  # of the figure's area, at a place where it is looked for


def figure(layout: Layout, thing: Tensor, teacher: Renderer) -> Tensor:
    """The mask of the things [B, H, W], with all copies, moved to the middle of the picture."""
    there = (layout.centres[:, :, :1].abs() < 1e3).float()
    middle = (layout.centres * there).sum(1) / there.sum(1).clamp(min=1)
    moved = replace(layout, centres=layout.centres - middle[:, None] * there)
    maps, _, _ = teacher.look_up(moved, thing.clamp(max=NO_THING - 1))
    unit = (layout.radius * teacher.scale)[:, None, None]
    return (0.5 - maps[:, 0] * unit).clamp(0, 1)


def correlated(picture: Tensor, shape: Tensor) -> Tensor:
    """The sum of the product of both [B, H, W] for every shift of the shape [B, 2 H, 2 W].

    Shift 0 is at [0, 0], and negative ones are at the end.
    """
    size = (2 * picture.shape[1], 2 * picture.shape[2])
    product = torch.fft.rfft2(picture, s=size) * torch.fft.rfft2(shape, s=size).conj()
    return torch.fft.irfft2(product, s=size)


def best(mask: Tensor, shape: Tensor, teacher: Renderer) -> Tensor:
    """Where the shape has its largest overlap with the mask, both [B, H, W], for any shift.

    Returns the centre of the shape's part in the picture [B, 2], in pixels from the picture's, as
    a source's shape has it.
    """
    seen = correlated(torch.ones_like(mask), shape)
    common = correlated(mask, shape)
    overlap = common / (mask.sum((1, 2))[:, None, None] + seen - common).clamp(min=1)
    enough = seen >= LEAST_SEEN * shape.sum((1, 2))[:, None, None]
    at = torch.where(enough, overlap, -1.0).flatten(1).argmax(1, keepdim=True)
    area = seen.flatten(1).gather(1, at).clamp(min=1)
    sums = [
        correlated(axis.expand_as(mask), shape).flatten(1).gather(1, at)
        for axis in (teacher.px, teacher.py)
    ]
    return torch.cat(sums, 1) / area

"""Every thing drawn once into a stack of maps, so that a scene needs one look-up per pixel.

Channel 0 is the true signed distance to the outline (negative inside, in the thing's units),
channel 1 its shading (-1..1, light from the upper left), the rest the share of each paint except
"own". The cost of a batch of scenes therefore does not depend on what they show.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from training.shapes import Shape
from training.things import PAINTS, THINGS, Thing
from training.vocabulary import THINGS as ORDER

SIZE = 192  # cells per side
REACH = 1.15  # the maps cover -REACH..REACH
SUPERSAMPLE = 3
CHANNELS = 2 + len(PAINTS) - 1


def mesh(size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Coordinates u (right) and v (down) of the cells' centres."""
    axis = ((torch.arange(size, device=device) + 0.5) / size * 2 - 1) * REACH
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    return u, v


@cache
def build(device: torch.device) -> Tensor:
    """The atlas [things, CHANNELS, SIZE, SIZE], in the order of `vocabulary.THINGS`; read-only."""
    return torch.stack([draw(THINGS[name], device) for name in ORDER])


@cache
def balance(device: torch.device) -> Tensor:
    """Area and centre of each thing [things, 3], in the thing's units."""
    u, v = mesh(SIZE, device)
    inside = (build(device)[:, 0] < 0).float()
    cells = inside.sum((1, 2))
    numbers = [cells * (2 * REACH / SIZE) ** 2]
    numbers += [(inside * axis).sum((1, 2)) / cells for axis in (u, v)]
    return torch.stack(numbers, 1)


def draw(thing: Thing, device: torch.device) -> Tensor:
    """One thing's maps [CHANNELS, SIZE, SIZE]."""
    distance = true_distance(thing.outline, device)
    return torch.cat([distance[None], shading(distance)[None], paints(thing, device)])


def true_distance(shape: Shape, device: torch.device) -> Tensor:
    """Signed distance to the zero line of a field, accurate to a fraction of a cell."""
    u, v = mesh(SIZE, device)
    field = shape(u, v)
    points = []
    for a, b, ua, ub, va, vb in (
        (field[:, :-1], field[:, 1:], u[:, :-1], u[:, 1:], v[:, :-1], v[:, 1:]),
        (field[:-1], field[1:], u[:-1], u[1:], v[:-1], v[1:]),
    ):
        crossing = (a < 0) != (b < 0)
        t = (a / (a - b))[crossing]
        points.append(
            torch.stack(
                [
                    ua[crossing] + t * (ub - ua)[crossing],
                    va[crossing] + t * (vb - va)[crossing],
                ],
                dim=1,
            )
        )
    cells = torch.stack([u.flatten(), v.flatten()], dim=1)
    nearest = torch.cdist(cells, torch.cat(points)).amin(1).view(SIZE, SIZE)
    return torch.where(field < 0, -nearest, nearest)


def shading(distance: Tensor) -> Tensor:
    """Shading of the thing as if its outline were inflated, -1..1."""
    width = 0.34
    height = (1 - (1 + distance.clamp(-width, 0) / width) ** 2).clamp(min=0).sqrt() * width
    blur = F.avg_pool2d(F.pad(height[None, None], (6,) * 4, mode="replicate"), 13, 1)
    blur = F.avg_pool2d(F.pad(blur, (3,) * 4, mode="replicate"), 7, 1)[0, 0]
    step = 2 * REACH / SIZE
    dv, du = torch.gradient(blur, spacing=step)
    # Screen normal (-du, -dv, 1); the light comes from the front, upper left.
    length = (du**2 + dv**2 + 1).sqrt()
    lambert = (0.5 * du + 0.62 * dv + 0.6) / length
    return (lambert - 0.6).clamp(-1, 1)


def paints(thing: Thing, device: torch.device) -> Tensor:
    """The share of each paint except the first in every cell [PAINTS - 1, SIZE, SIZE]."""
    u, v = mesh(SIZE * SUPERSAMPLE, device)
    label = torch.zeros_like(u, dtype=torch.long)
    for paint, shape in thing.parts:
        label[shape(u, v) < 0] = PAINTS.index(paint)
    shares = F.one_hot(label, len(PAINTS)).permute(2, 0, 1).float()
    return F.avg_pool2d(shares, SUPERSAMPLE)[1:]

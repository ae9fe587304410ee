"""What a picture shows: the recipe given by the prompt, and the layout given by the noise.

A recipe is a row of class numbers. The noise determines everything else: channel means give the
place, size and lean of the thing, blurred channels are clouds and hills, peaks are stars. All of
them are smooth functions of the noise, so that a noise walk moves the picture without jumps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from training import atlas, vocabulary
from training.things import THINGS

# Grounds: the eleven colours, the ten scenes, the neutral one for a thing without a scene of its
# own, and the free one for prompts without a known word.
GROUNDS = (*vocabulary.COLOURS, *vocabulary.SCENES, "studio", "free")
# A recipe's columns. The last class of thing is "none"; class 0 of size, pattern and manner is
# "not specified"; colour and tint have an extra class for that; letter 26 is "no letter".
COLUMNS = ("thing", "colour", "ground", "tint", "size", "count", "pattern", "manner", "letter")
CLASSES = {
    "thing": len(vocabulary.THINGS) + 1,
    "colour": len(vocabulary.COLOURS) + 1,
    "ground": len(GROUNDS),
    "tint": len(vocabulary.COLOURS) + 1,
    "size": len(vocabulary.SIZES) + 1,
    "count": len(vocabulary.COUNTS),
    "pattern": len(vocabulary.PATTERNS) + 1,
    "manner": len(vocabulary.MANNERS) + 1,
    "letter": 27,
}
NO_THING = len(vocabulary.THINGS)
NO_COLOUR = len(vocabulary.COLOURS)
NO_LETTER = 26
MOST_COPIES = max(vocabulary.COPIES.values())

# Noise channels by what they determine; the first MEANS of them are used as means.
PLACE_X, PLACE_Y, SIZE, LEAN, LIGHT, DRIFT = range(6)
CLOUDS, MIST, HILLS, STARS, STAR_X, STAR_Y = range(6, 12)
MEANS = 6

CELL = 8.0  # pixels per cell of the noise
HALF = 128.0  # half a square picture's side in pixels; every length below is in such pixels
RADIUS = (  # [size class][count class]; the sizes: not specified, tiny, small, big, huge
    (60.0, 46.0, 40.0, 35.0),
    (28.0, 26.0, 25.0, 24.0),
    (39.0, 34.0, 31.0, 28.0),
    (80.0, 54.0, 48.0, 39.0),
    (98.0, 59.0, 54.0, 42.0),
)
SPACING = 2.12  # of a group's neighbours, in radii
MARGIN = 5.0
# Of a thing where a source gives place and size: factors of the size classes, limits of the radius
# as shares of the classes tiny and huge, and the share of the radius (of a group: of its extent)
# that stays in the picture.
FACTORS = (1.0, 0.6, 0.8, 1.2, 1.4)
LEAST, MOST = 0.87, 1.13
INSIDE, INSIDE_GROUP = 0.7, 0.5


@dataclass
class Layout:
    """Where the copies of the thing are, one row per picture."""

    centres: Tensor  # [B, MOST_COPIES, 2] pixels from the centre; far away if there is no copy
    radius: Tensor  # [B]
    lean: Tensor  # [B] radians
    means: Tensor  # [B, MEANS] unit variance


@dataclass
class Salient:
    """The most salient shape of each source picture; `share` 0 leaves the layout to the noise."""

    centre: Tensor  # [B, 2] pixels from the picture's centre, of the shape's area
    area: Tensor  # [B] pixels
    share: Tensor  # [B] how far it determines place and size, 0..1

    def __getitem__(self, rows: slice) -> Salient:
        return Salient(self.centre[rows], self.area[rows], self.share[rows])


def column(recipes: Tensor, name: str) -> Tensor:
    """One column of recipes [B, len(COLUMNS)] -> [B]."""
    return recipes[:, COLUMNS.index(name)]


def channel_means(noise: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, MEANS], unit variance for any size."""
    return noise[:, :MEANS].mean((2, 3)) * math.sqrt(noise.shape[-2] * noise.shape[-1])


def blurred(field: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of [B, C, H, W], in cells, scaled back to about unit variance."""
    reach = math.ceil(2.5 * sigma)
    x = torch.arange(-reach, reach + 1, device=field.device, dtype=field.dtype)
    kernel = torch.exp(-(x**2) / (2 * sigma**2))
    kernel = kernel / (kernel**2).sum().sqrt()
    channels = field.shape[1]
    padded = F.pad(field, (reach,) * 4, mode="reflect")
    rows = F.conv2d(padded, kernel.view(1, 1, 1, -1).repeat(channels, 1, 1, 1), groups=channels)
    return F.conv2d(rows, kernel.view(1, 1, -1, 1).repeat(channels, 1, 1, 1), groups=channels)


@cache
def constant(values: tuple, device: torch.device) -> Tensor:
    """A constant on a device, created once, since a CUDA graph cannot copy from the host."""
    return torch.tensor(values, device=device)


def table(values: list[float], like: Tensor) -> Tensor:
    return constant(tuple(values), like.device)


def group_offsets(count: Tensor, turn: Tensor) -> Tensor:
    """Positions of the copies relative to the group's centre, in radii [B, MOST_COPIES, 2]."""
    k = torch.arange(MOST_COPIES, device=turn.device)
    copies = table([float(n) for n in vocabulary.COPIES.values()], turn)[count][:, None]
    ring = torch.where(copies > 1, SPACING / 2 / torch.sin(math.pi / copies.clamp(min=2)), 0.0)
    angle = 2 * math.pi * k / copies - math.pi / 2 + (copies == 2) * math.pi / 2 + turn[:, None]
    offsets = torch.stack([ring * torch.cos(angle), ring * torch.sin(angle)], dim=2)
    return torch.where((k < copies)[..., None], offsets, 1e4)


def layout(recipes: Tensor, noise: Tensor, salient: Salient | None = None) -> Layout:
    """Place, size and lean of the things, derived from the noise [B, C, H, W].

    Where a source is given, place and size are those of its most salient shape.
    """
    high, wide = (CELL / 2 * cells for cells in noise.shape[-2:])
    z = channel_means(noise)
    thing = column(recipes, "thing").clamp(max=NO_THING - 1)
    count, size = column(recipes, "count"), column(recipes, "size")
    radius = constant(RADIUS, noise.device)[size, count] * (1 + 0.13 * torch.tanh(z[:, SIZE]))
    tilts = table([THINGS[name].tilt for name in vocabulary.THINGS], noise)[thing]
    lean = tilts * torch.tanh(0.8 * z[:, LEAN])
    offsets = group_offsets(count, 0.45 * torch.tanh(0.8 * z[:, LEAN]))
    extent = torch.where(count == 0, 1.0, torch.hypot(*group_offsets(count, lean)[:, 0].T) + 1)
    room_x = (wide - MARGIN - extent * radius).clamp(4, 72 + wide - HALF)
    room = (high - MARGIN - extent * radius).clamp(4, 72 + high - HALF)
    place = torch.special.ndtr(z[:, PLACE_X : PLACE_Y + 1]) * 2 - 1
    # In a landscape things have a typical height, and move up and down less.
    landscape = (column(recipes, "ground") >= len(vocabulary.COLOURS)).float()
    rests = table([THINGS[name].rests for name in vocabulary.THINGS], noise)[thing] * 2 * high
    rests = rests.clamp(-room, room) * landscape
    shift = torch.stack([room_x, (room - rests.abs()) * (1 - 0.35 * landscape)], dim=1) * place
    middle = shift + torch.stack([torch.zeros_like(rests), rests], dim=1)
    if salient is not None:
        found, fitting = fitted(salient, thing, count, size, lean, extent, (wide, high))
        share = salient.share[:, None]
        middle = middle + share * (found - middle)
        radius = radius + salient.share * (fitting - radius)
    centres = middle[:, None] + offsets * radius[:, None, None]
    centres = torch.where((thing != column(recipes, "thing"))[:, None, None], 1e4, centres)
    return Layout(centres, radius, lean, z)


def fitted(
    salient: Salient, thing: Tensor, count: Tensor, size: Tensor, lean: Tensor, extent: Tensor,
    half: tuple[float, float],
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Middle [B, 2] and radius [B] of things with the area and the centre of the salient shape.

    A thing in a source gives itself, so that a picture that is fed back stays what it is.
    """
    area, *balance = atlas.balance(salient.area.device)[thing].unbind(1)
    copies = table([float(n) for n in vocabulary.COPIES.values()], lean)[count]
    factor = table(list(FACTORS), lean)[size]
    radius = factor * (salient.area / (copies * area)).clamp(min=1).sqrt()
    limits = constant(RADIUS, lean.device)[:, count]
    radius = torch.minimum(torch.maximum(radius, limits[1] * LEAST), limits[4] * MOST)
    c, s = torch.cos(lean), torch.sin(lean)
    off = torch.stack([balance[0] * c - balance[1] * s, balance[0] * s + balance[1] * c], 1)
    middle = salient.centre - off * radius[:, None]
    room = torch.where(count == 0, INSIDE, INSIDE_GROUP * extent) * radius
    room = (constant(half, lean.device) - room[:, None]).clamp(min=4)
    return torch.minimum(torch.maximum(middle, -room), room), radius

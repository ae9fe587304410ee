"""What a picture shows: the recipe that words give, and the numbers that the noise gives.

A recipe is a row of class numbers. The noise decides all the rest: means of whole channels
place, size and lean the thing, blurred channels are clouds and hills, peaks are stars. Every
one of these is a smooth function of the noise, so that a noise that walks moves the picture
without jumps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from training import words
from training.things import THINGS

# Grounds: the eleven colours, the ten scenes, the quiet one for a lone thing without a scene of
# its own, and the free one for words that this model does not know.
GROUNDS = (*words.COLOURS, *words.SCENES, "studio", "free")
# A recipe's columns. The last class of thing is "none"; class 0 of size, pattern and manner is
# "not said"; colour and tint have one class more for "not said"; letter 26 is "no letter".
COLUMNS = ("thing", "colour", "ground", "tint", "size", "count", "pattern", "manner", "letter")
CLASSES = {
    "thing": len(words.THINGS) + 1,
    "colour": len(words.COLOURS) + 1,
    "ground": len(GROUNDS),
    "tint": len(words.COLOURS) + 1,
    "size": len(words.SIZES) + 1,
    "count": len(words.COUNTS),
    "pattern": len(words.PATTERNS) + 1,
    "manner": len(words.MANNERS) + 1,
    "letter": 27,
}
NO_THING = len(words.THINGS)
NO_COLOUR = len(words.COLOURS)
NO_LETTER = 26
MOST_COPIES = max(words.COPIES.values())

# Noise channels by what they decide; the first CARRIED ones of `model` are read as means.
PLACE_X, PLACE_Y, SIZE, LEAN, LIGHT, DRIFT = range(6)
CLOUDS, MIST, HILLS, STARS, STAR_X, STAR_Y = range(6, 12)
MEANS = 6

HALF = 128.0  # half the picture's side in pixels; every length below is in such pixels
RADIUS = (  # [size class][count class]; the sizes: not said, tiny, small, big, huge
    (60.0, 46.0, 40.0, 35.0),
    (28.0, 26.0, 25.0, 24.0),
    (39.0, 34.0, 31.0, 28.0),
    (80.0, 54.0, 48.0, 39.0),
    (98.0, 59.0, 54.0, 42.0),
)
SPACING = 2.12  # of a group's neighbours, in radii
MARGIN = 5.0


@dataclass
class Layout:
    """Where the copies of the thing are, one row a picture."""

    centres: Tensor  # [B, MOST_COPIES, 2] pixels from the middle; far away where there is none
    radius: Tensor  # [B]
    lean: Tensor  # [B] radians
    means: Tensor  # [B, MEANS] unit variance


def column(recipes: Tensor, name: str) -> Tensor:
    """One column of recipes [B, len(COLUMNS)] -> [B]."""
    return recipes[:, COLUMNS.index(name)]


def channel_means(noise: Tensor) -> Tensor:
    """[B, C, S, S] -> [B, MEANS], unit variance for any size S."""
    return noise[:, :MEANS].mean((2, 3)) * noise.shape[-1]


def blurred(field: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of [B, C, S, S], in cells, scaled back to about unit variance."""
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
    """A constant on a device, made once: a CUDA graph cannot copy from the host."""
    return torch.tensor(values, device=device)


def table(values: list[float], like: Tensor) -> Tensor:
    return constant(tuple(values), like.device)


def group_offsets(count: Tensor, turn: Tensor) -> Tensor:
    """Places of the copies about the group's middle, in radii [B, MOST_COPIES, 2]."""
    k = torch.arange(MOST_COPIES, device=turn.device)
    copies = table([float(n) for n in words.COPIES.values()], turn)[count][:, None]
    ring = torch.where(copies > 1, SPACING / 2 / torch.sin(math.pi / copies.clamp(min=2)), 0.0)
    angle = 2 * math.pi * k / copies - math.pi / 2 + (copies == 2) * math.pi / 2 + turn[:, None]
    offsets = torch.stack([ring * torch.cos(angle), ring * torch.sin(angle)], dim=2)
    return torch.where((k < copies)[..., None], offsets, 1e4)


def layout(recipes: Tensor, noise: Tensor) -> Layout:
    """Place, size and lean of the things, read off the noise [B, C, S, S]."""
    z = channel_means(noise)
    thing = column(recipes, "thing").clamp(max=NO_THING - 1)
    count, size = column(recipes, "count"), column(recipes, "size")
    radius = constant(RADIUS, noise.device)[size, count] * (1 + 0.13 * torch.tanh(z[:, SIZE]))
    tilts = table([THINGS[name].tilt for name in words.THINGS], noise)[thing]
    lean = tilts * torch.tanh(0.8 * z[:, LEAN])
    offsets = group_offsets(count, 0.45 * torch.tanh(0.8 * z[:, LEAN]))
    extent = torch.where(count == 0, 1.0, torch.hypot(*group_offsets(count, lean)[:, 0].T) + 1)
    room = (HALF - MARGIN - extent * radius).clamp(4, 72)
    place = torch.special.ndtr(z[:, PLACE_X : PLACE_Y + 1]) * 2 - 1
    # In a landscape things rest where they belong, and move up and down less.
    landscape = (column(recipes, "ground") >= len(words.COLOURS)).float()
    rests = table([THINGS[name].rests for name in words.THINGS], noise)[thing] * 2 * HALF
    rests = rests.clamp(-room, room) * landscape
    shift = torch.stack([room, (room - rests.abs()) * (1 - 0.35 * landscape)], dim=1) * place
    middle = shift + torch.stack([torch.zeros_like(rests), rests], dim=1)
    centres = middle[:, None] + offsets * radius[:, None, None]
    centres = torch.where((thing != column(recipes, "thing"))[:, None, None], 1e4, centres)
    return Layout(centres, radius, lean, z)

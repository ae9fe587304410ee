"""The teacher: renders recipes and noise as pictures, one batch at a time, on any device.

The model learns to render the same picture from the prompt and the same noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from training import atlas, grounds, scene, vocabulary
from training.backdrop import Backdrop, upsampled
from training.scene import NO_COLOUR, NO_THING, column
from training.things import THINGS

PAPER = (0.97, 0.955, 0.92)
LEAST_CONTRAST = 0.34  # between a thing's two colours; below it the second one is changed


@dataclass
class Painted:
    """Pictures with the maps that the trainer and the judge need."""

    image: Tensor  # [B, 3, H, W] in 0..1
    ground: Tensor  # [B, 3, H, W] the picture without the thing
    mask: Tensor  # [B, 1, H, W] share of the pixel covered by the thing
    own: Tensor  # [B, 1, H, W] share of the pixel in the thing's own colour
    place: Tensor  # [B, 3, H, W] the pixel's place in the thing, -1.3..1.3, and 1 where it has one
    layout: scene.Layout

    def reduced(self, factor: int) -> Painted:
        """The same pictures, reduced in size by the factor."""
        image, ground, mask, own, place = (F.avg_pool2d(m, factor) for m in self.maps())
        return Painted(image, ground, mask, own, place, self.layout)

    def maps(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        return self.image, self.ground, self.mask, self.own, self.place

    def every(self, first: int) -> Painted:
        """Every second picture, from `first`; all keep the layout of all."""
        return Painted(*(m[first::2] for m in self.maps()), self.layout)

    def joined(self, other: Painted) -> Painted:
        """These pictures followed by the others, of the same size."""
        pairs = zip(self.maps(), other.maps(), strict=True)
        image, ground, mask, own, place = (torch.cat(pair) for pair in pairs)
        a, b = self.layout, other.layout
        names = ("centres", "radius", "lean", "means")
        layout = scene.Layout(*(torch.cat([getattr(a, n), getattr(b, n)]) for n in names))
        return Painted(image, ground, mask, own, place, layout)


class Renderer:
    """Holds the atlas and the tables on one device.

    `size` is the height and width of a square picture; one from `cells` (rows, columns) of noise
    has as many pixels per cell as a square one from 32 x 32.
    """

    def __init__(
        self, device: torch.device, size: int = 256, cells: tuple[int, int] = (32, 32)
    ) -> None:
        self.device, self.size = device, size
        self.shape = (size * cells[0] // 32, size * cells[1] // 32)  # height, width
        self.atlas = atlas.build(device)
        self.palette = torch.tensor([*vocabulary.COLOURS.values()], device=device) / 255
        self.backdrop = Backdrop(grounds.rows(device), self.palette, self.shape, size)
        kinds = [THINGS[name] for name in vocabulary.THINGS]
        names = list(vocabulary.COLOURS)
        self.natural = torch.tensor([names.index(k.natural) for k in kinds], device=device)
        self.accents = torch.tensor([k.accent for k in kinds], device=device) / 255
        y, x = (
            (torch.arange(side, device=device) + 0.5 - side / 2) * 2 * scene.HALF / size
            for side in self.shape
        )
        self.py, self.px = y[None, :, None], x[None, None, :]
        self.scale = size / (2 * scene.HALF)  # pixels of this size per layout pixel

    def paint(
        self, recipes: Tensor, noise: Tensor, manners: int | None = None,
        salient: scene.Salient | None = None,
    ) -> Painted:  # fmt: skip
        """Recipes [B, columns] and noise [B, C, rows, columns]; sources may give the place.

        Only the first `manners` rows may request a manner, which saves time; None means all.
        """
        layout = scene.layout(recipes, noise, salient)
        back = self.backdrop.paint(recipes, noise, layout.means)
        k = len(recipes) if manners is None else manners
        if k:
            back = torch.cat([self.ground_manner(back[:k], recipes[:k], noise[:k]), back[k:]])
        thing = column(recipes, "thing").clamp(max=NO_THING - 1)
        maps, u, v = self.look_up(layout, thing)
        there = (column(recipes, "thing") != NO_THING)[:, None, None, None]
        radius = (layout.radius * self.scale)[:, None, None, None]
        distance = maps[:, :1] * radius  # pixels
        mask = (0.5 - distance).clamp(0, 1) * there
        body, own = self.body(recipes, thing, maps, u, v)
        image = self.on_ground(back, body, distance, mask, recipes, there)
        if k:
            parts = (part[:k] for part in (back, body, distance, mask, recipes, there))
            image = torch.cat([self.thing_manner(image[:k], *parts), image[k:]])
        vignette = self.vignette()
        near = ((u.abs() < 1.3) & (v.abs() < 1.3) & there).float()
        return Painted(
            (image * vignette).clamp(0, 1), (back * vignette).clamp(0, 1), mask, own * mask,
            torch.cat([u * near, v * near, near], 1), layout,
        )  # fmt: skip

    def vignette(self) -> Tensor:
        """Brightness of every pixel [1, 1, H, W]: lower in the corners."""
        half = [side / 2 / self.scale for side in self.shape]
        corner = ((self.py / half[0]) ** 2 + (self.px / half[1]) ** 2)[:, None]
        return 1 - 0.11 * corner**1.5

    def look_up(self, layout: scene.Layout, thing: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The atlas sampled at every pixel [B, CHANNELS, H, W], and the pixel's place in it."""
        best = torch.full((len(thing), *self.shape), 1e9, device=self.device)
        u = torch.zeros_like(best)
        v = torch.zeros_like(best)
        for k in range(scene.MOST_COPIES):
            dx = self.px - layout.centres[:, k, 0, None, None]
            dy = self.py - layout.centres[:, k, 1, None, None]
            far = dx**2 + dy**2
            closer = far < best
            best = torch.where(closer, far, best)
            u, v = torch.where(closer, dx, u), torch.where(closer, dy, v)
        c, s = torch.cos(layout.lean)[:, None, None], torch.sin(layout.lean)[:, None, None]
        size = layout.radius[:, None, None]
        u, v = (u * c + v * s) / size, (v * c - u * s) / size
        grid = torch.stack([u, v], dim=3) / atlas.REACH
        maps = F.grid_sample(self.atlas[thing], grid, padding_mode="border", align_corners=False)
        beyond = torch.hypot(
            (u.abs() - atlas.REACH).clamp(min=0), (v.abs() - atlas.REACH).clamp(min=0)
        )
        return torch.cat([maps[:, :1] + beyond[:, None], maps[:, 1:]], 1), u[:, None], v[:, None]

    def colours(self, recipes: Tensor, thing: Tensor) -> tuple[Tensor, Tensor]:
        """The thing's own colour and its second one [B, 3, 1, 1]."""
        named = column(recipes, "colour")
        number = torch.where(named == NO_COLOUR, self.natural[thing], named)
        own, accent = self.palette[number], self.accents[thing]
        close = ((own - accent).norm(dim=1, keepdim=True) < LEAST_CONTRAST).float()
        bright = (own.mean(1, keepdim=True) > 0.45).float()
        other = own * (1 - 0.5 * bright) + (1 - bright) * 0.4 * (1 - own)
        accent = accent + close * (other - accent)
        return own[:, :, None, None], accent[:, :, None, None]

    def body(
        self, recipes: Tensor, thing: Tensor, maps: Tensor, u: Tensor, v: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Shaded colours of the thing [B, 3, H, W], and the share in its own colour."""
        own, accent = self.colours(recipes, thing)
        bright = (own.mean(1, keepdim=True) > 0.45).float()
        contrast = own + bright * (-0.42 * own) + (1 - bright) * 0.5 * (1 - own)
        figure = self.pattern(column(recipes, "pattern"), u, v)
        base = own + figure * (contrast - own)
        shares = maps[:, 2:]
        light, dark = base + 0.45 * (1 - base), base * 0.6
        out = base * (1 - shares.sum(1, keepdim=True))
        paints = (
            accent,
            light,
            dark,
            own.new_full((1, 3, 1, 1), 0.97),
            own.new_full((1, 3, 1, 1), 0.07),
        )
        for k, paint in enumerate(paints):
            out = out + shares[:, k : k + 1] * paint
        shade = maps[:, 1:2]
        gleam = (shade - 0.1).clamp(min=0)
        out = out * (1 + 0.85 * shade.clamp(max=0)) + (1 - out) * 0.75 * gleam + 0.12 * gleam * out
        return out, (1 - shares.sum(1, keepdim=True)) * (1 - figure)

    def pattern(self, kind: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """Stripes, dots or checks in the thing's own coordinates [B, 1, H, W], 0..1."""
        sharp = 14.0
        kind = kind[:, None, None, None]
        stripes = torch.sigmoid(sharp * torch.sin(math.pi * 3.2 * (u * 0.8 + v * 0.6)))
        a, b = 1.25 * (u + v), 1.25 * (u - v)
        a, b = a - a.round(), b - b.round()
        dots = torch.sigmoid(40 * (0.27 - torch.hypot(a, b)))
        checks = torch.sigmoid(
            2 * sharp * torch.sin(math.pi * 2.2 * (u + 0.01)) * torch.sin(math.pi * 2.2 * v)
        )
        zero = torch.zeros_like(u)
        figures = torch.where(kind == 1, stripes, torch.where(kind == 2, dots, zero))
        return torch.where(kind == 3, checks, figures)

    def hatch(self, noise: Tensor) -> Tensor:
        """Pencil strokes across the picture [B, 1, H, W], 0..1."""
        wobble = upsampled(scene.blurred(noise[:, scene.MIST : scene.MIST + 1], 1.7), self.shape)
        turn = (self.px + 0.8 * self.py)[:, None] / 14.0
        return torch.sigmoid(5 * torch.sin(2 * math.pi * (turn + 0.25 * wobble)))

    def ground_manner(self, back: Tensor, recipes: Tensor, noise: Tensor) -> Tensor:
        """The ground in neon, pastel or as a sketch."""
        manner = column(recipes, "manner")[:, None, None, None]
        light = back.mean(1, keepdim=True)
        neon = (
            back * (0.12 + 0.2 * light)
            + scene.constant((0.01, 0.0, 0.05), back.device)[:, None, None]
        )
        pale = back + 0.55 * (1 - back)
        pastel = pale + 0.12 * (pale.mean(1, keepdim=True) - pale)
        paper = scene.constant(PAPER, back.device)[:, None, None]
        stroke = self.hatch(noise)
        sketch = paper + (0.2 + 0.42 * stroke) * (back - paper)
        out = torch.where(manner == 1, neon, back)
        return torch.where(manner == 2, pastel, torch.where(manner == 3, sketch, out))

    def edge(self, recipes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The thing's colour, 1 if it is bright, and the colour of its rim."""
        own, _ = self.colours(recipes, column(recipes, "thing").clamp(max=NO_THING - 1))
        bright = (own.mean(1, keepdim=True) > 0.3).float()
        return own, bright, own * (0.45 * bright) + (1 - bright) * (own + 0.3 * (1 - own))

    def on_ground(
        self, back: Tensor, body: Tensor, distance: Tensor, mask: Tensor, recipes: Tensor,
        there: Tensor,
    ) -> Tensor:  # fmt: skip
        """The thing on its ground: shadow, rim and body."""
        _, _, edge = self.edge(recipes)
        shadow = torch.exp(-((distance.clamp(min=0) / (9 * self.scale)) ** 2)) * there
        rim = torch.sigmoid((distance / self.scale + 2.2) * 2.2)
        out = back * (1 - 0.38 * shadow)
        return out + mask * (body + (0.8 * rim) * (edge - body) - out)

    def thing_manner(
        self, plain: Tensor, back: Tensor, body: Tensor, distance: Tensor, mask: Tensor,
        recipes: Tensor, there: Tensor,
    ) -> Tensor:  # fmt: skip
        """The picture in the recipe's manner, if it requests one."""
        manner = column(recipes, "manner")[:, None, None, None]
        unit = self.scale
        own, bright, edge = self.edge(recipes)
        shadow = torch.exp(-((distance.clamp(min=0) / (9 * unit)) ** 2)) * there
        rim = torch.sigmoid((distance / unit + 2.2) * 2.2)
        # Neon: a tube of light along the outline, its glow, and a dim interior.
        tube_colour = own + 0.42 * (1 - own) * (1 - bright) + 0.1
        tube = torch.exp(-((distance / unit / 3.0) ** 2)) * there
        glow = torch.exp(-distance.abs() / unit / 9) * there
        neon = back + mask * (body * 0.42 - back)
        neon = neon + 0.62 * glow * tube_colour + tube * (0.3 + 0.7 * tube_colour - neon)
        pale = body + 0.5 * (1 - body)
        soft = back * (1 - 0.16 * shadow)
        pastel = soft + mask * (pale + 0.5 * rim * (edge * 0.5 + 0.42 - pale) - soft)
        paper = scene.constant(PAPER, back.device)[:, None, None]
        turn = (self.px - 0.7 * self.py)[:, None] / 11.0
        stroke = torch.sigmoid(4 * torch.sin(2 * math.pi * turn) + 1.2)
        drawn = paper + (0.4 + 0.5 * stroke) * (body - paper)
        pencil = torch.exp(-(((distance / unit + 1) / 1.9) ** 2)) * there
        sketch = back + mask * (drawn - back)
        sketch = sketch + 0.85 * pencil * (0.2 - sketch)
        out = torch.where(manner == 1, neon, plain)
        return torch.where(manner == 2, pastel, torch.where(manner == 3, sketch, out))

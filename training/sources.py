"""Source pictures for image to image: other scenes of the renderer, and pictures like a camera's.

Both have one salient shape, whose area and centre are known from how it was drawn. All random
numbers are drawn on the device, so that a CUDA graph can contain this.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from training import scene
from training.render import Renderer

FINE = 2  # camera pictures are drawn at half the size, since cameras are no sharper
KINDS = ("ellipse", "box", "star", "blob", "face", "hand")
FINGERS = ((-1.15, 0.62), (-0.5, 1.08), (-0.1, 1.2), (0.3, 1.12), (0.72, 0.92))  # turn, length
LEAST_AREA = 150.0  # pixels; a smaller shape is not salient
LEAST_CONTRAST = 0.07  # mean difference of levels 0..1 to the ground below which nothing is seen
# The strength above which the words' layout comes from the noise more and more, up to the second.
LET_GO = (0.85, 0.95)
# The strength above which the picture is the words' more and more, up to the second.
BLENDED = (0.05, 0.35)


def smooth(x: Tensor, limits: tuple[float, float]) -> Tensor:
    """0 below the first limit, 1 above the second, a smooth step between."""
    t = ((x - limits[0]) / (limits[1] - limits[0])).clamp(0, 1)
    return t * t * (3 - 2 * t)


@dataclass
class Source:
    """Pictures and what is salient in them."""

    image: Tensor  # [B, 3, H, W] in 0..1
    centre: Tensor  # [B, 2] pixels from the picture's centre
    area: Tensor  # [B] pixels
    seen: Tensor  # [B] 1 where there is a shape, 0 elsewhere

    def salient(self, strength: Tensor) -> scene.Salient:
        """What the shapes determine at these strengths [B]."""
        return scene.Salient(self.centre, self.area, self.seen * (1 - smooth(strength, LET_GO)))


class Sources:
    """Draws source pictures of one size on one device."""

    def __init__(self, renderer: Renderer, cells: tuple[int, int]) -> None:
        self.renderer, self.device, self.cells = renderer, renderer.device, cells
        high, wide = renderer.shape
        self.half = (wide / 2 / renderer.scale, high / 2 / renderer.scale)  # of x and y
        self.x = F.avg_pool1d(renderer.px[0], FINE)[None]  # [1, 1, w]
        self.y = F.avg_pool1d(renderer.py[:, :, 0], FINE)[..., None]  # [1, h, 1]

    def random(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return torch.rand(shape, device=self.device) * (high - low) + low

    def placed(self, amount: int, least: float, most: float, reach: float) -> tuple[Tensor, Tensor]:
        """Random centres [B, 2], up to `reach` of the way to the edge, and radii [B], in pixels."""
        half = scene.constant(self.half, self.device)
        radius = least * (most / least) ** self.random(amount)
        room = (half - 0.6 * radius[:, None]).clamp(min=8) * reach
        return self.random(amount, 2, low=-1) * room, radius

    def make(self, recipes: Tensor, cameras: int) -> Source:
        """Scenes of these recipes [N, columns], then `cameras` pictures like a camera's."""
        a, b = self.scenes(recipes), self.camera(cameras)
        image = torch.cat([a[0], b[0]])
        centre, area = self.measured(torch.cat([a[1], b[1]]))
        seen = (area > LEAST_AREA).float() * torch.cat([a[2], b[2]])
        return Source(image, centre, area, seen)

    def measured(self, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Centre [B, 2] and area [B] of masks [B, h, w], in pixels."""
        cells = mask.sum((1, 2))
        places = [(mask * axis).sum((1, 2)) / cells.clamp(min=1) for axis in (self.x, self.y)]
        return torch.stack(places, 1), cells * (FINE / self.renderer.scale) ** 2

    def scenes(self, recipes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures, masks and whether the thing differs from its ground."""
        n = len(recipes)
        noise = torch.randn(n, 16, *self.cells, device=self.device)
        centre, radius = self.placed(n, 22, 115, 1.0)
        where = scene.Salient(centre, math.pi * radius**2, torch.ones_like(radius))
        painted = self.renderer.paint(recipes, noise, manners=0, salient=where)
        mask = painted.mask[:, 0]
        apart = ((painted.image - painted.ground).abs().mean(1) * mask).sum((1, 2))
        seen = (apart / mask.sum((1, 2)).clamp(min=1) > LEAST_CONTRAST).float()
        return painted.image, F.avg_pool2d(mask, FINE), seen

    def camera(self, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures, masks and whether there is a shape: a blurred room and something before it."""
        light = self.random(n, low=0.08, high=0.92)
        step = self.random(n, low=0.28, high=0.75)
        other = torch.where(light > 0.5, light - step, light + step).clamp(0.02, 1)
        back = self.room(light)
        centre, radius = self.placed(n, 23, 105, 0.98)
        distance, darker = self.shape(centre, radius)
        sharp = self.random(n, 1, 1, low=0.7, high=4.0)
        mask = torch.sigmoid(-distance / sharp * 1.7)
        colour = self.tinted(other, 0.34)
        slope = self.slope(0.16)
        body = colour + slope - (0.6 * colour * darker[:, None])
        there = (self.random(n, 1, 1) > 0.05).float()
        mask = mask * there
        out = back + mask[:, None] * (body - back)
        return self.as_camera(out), mask, there[:, 0, 0]

    def tinted(self, light: Tensor, most: float) -> Tensor:
        """Colours [B, 3, 1, 1] of the given lightness [B]."""
        hue = self.random(len(light), 3, low=-1)
        hue = hue - hue.mean(1, keepdim=True)
        return (light[:, None] + most * self.random(len(light), 1) * hue)[:, :, None, None]

    def slope(self, most: float) -> Tensor:
        """A gradient in a random direction [B, 1, h, w], for as many rows as the last shape."""
        n = self.amount
        a, b = self.random(2, n, 1, 1, low=-most, high=most)
        return (a * self.x / self.half[0] + b * self.y / self.half[1])[:, None]

    def room(self, light: Tensor) -> Tensor:
        """A blurred background [B, 3, h, w]: gradient, soft blobs, a soft edge, mottle."""
        n = self.amount = len(light)
        out = self.tinted(light, 0.25) + self.slope(0.22)
        for _ in range(4):
            centre, radius = self.placed(n, 14, 120, 1.2)
            far = torch.hypot(self.x - centre[:, 0, None, None], self.y - centre[:, 1, None, None])
            soft = torch.exp(
                -((far / radius[:, None, None]) ** self.random(n, 1, 1, low=2, high=6))
            )
            # Small ones may differ more: distractors.
            most = (0.24 * (26 / radius).clamp(0.3, 1))[:, None, None, None]
            out = out + soft[:, None] * most * self.random(n, 3, 1, 1, low=-1)
        turn = self.random(n, 1, 1, high=2 * math.pi)
        side = torch.cos(turn) * self.x + torch.sin(turn) * self.y
        edge = torch.sigmoid((side - self.random(n, 1, 1, low=-90, high=90)) / 3)
        out = out + (edge * self.random(n, 1, 1, low=-0.13, high=0.13))[:, None]
        size = (self.y.shape[1], self.x.shape[2])
        for cells, share in ((4, 0.05), (16, 0.03)):
            field = torch.randn(n, 3, cells, cells, device=self.device)
            field = F.interpolate(field, size=size, mode="bilinear", align_corners=False)
            out = out + field * share * self.random(n, 1, 1, 1)
        return out

    def shape(self, centre: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
        """Distance of every pixel to the shape's outline [B, h, w], and how dark its parts are."""
        n = len(radius)
        turn = self.random(n, 1, 1, low=-0.6, high=0.6)
        dx, dy = self.x - centre[:, :1, None], self.y - centre[:, 1:, None]
        size = radius[:, None, None]
        c, s = torch.cos(turn), torch.sin(turn)
        u, v = (dx * c + dy * s) / size, (dy * c - dx * s) / size
        long = self.random(n, 1, 1, low=1.0, high=1.45)
        angle, far = torch.atan2(v, u), torch.hypot(u, v)
        ellipse = torch.hypot(u * long, v / long) - 1
        box = torch.maximum((u * long).abs(), (v / long).abs()) - 0.86
        points = self.random(n, 1, 1, low=3, high=8).floor()
        star = far - (0.8 + 0.28 * torch.cos(points * angle + 6.28 * self.random(n, 1, 1)))
        wobble = sum(
            (0.22 / k * self.random(n, 1, 1)) * torch.cos(k * angle + 6.28 * self.random(n, 1, 1))
            for k in (2, 3, 5)
        )
        blob = far - (0.95 + wobble)
        face, dark = self.face(u, v)
        fields = (ellipse, box, star, blob, face, self.hand(u, v))
        kind = torch.randint(len(KINDS), (n, 1, 1), device=self.device)
        distance = ellipse
        for k, field in enumerate(fields[1:], 1):
            distance = torch.where(kind == k, field, distance)
        return distance * size, torch.where(kind == KINDS.index("face"), dark, 0.0)

    def face(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """A head, with darker eyes and mouth, and in half of them hair."""
        oval = torch.hypot(u / 0.84, v / 1.15) - 1
        eye = torch.hypot((u.abs() - 0.34) / 0.15, (v + 0.16) / 0.1) - 1
        mouth = torch.hypot(u / 0.32, (v - 0.55) / 0.1) - 1
        hair = (v + 0.62) * 3 + 10 * (torch.rand(len(u), 1, 1, device=u.device) > 0.5)
        return oval, torch.sigmoid(-torch.minimum(torch.minimum(eye, mouth), hair) * 8)

    def hand(self, u: Tensor, v: Tensor) -> Tensor:
        """A palm with five fingers, more or less spread, of either side."""
        n = len(u)
        u = u * ((torch.rand(n, 1, 1, device=u.device) > 0.5) * 2 - 1)
        spread = self.random(n, 1, 1, low=0.6, high=1.15)
        curl = self.random(n, 1, 1, low=0.55, high=1.05)
        v = v - 0.25
        out = torch.hypot(u / 0.56, v / 0.66) - 1
        palm = out * 0.58
        for turn, length in FINGERS:
            a = turn * spread
            x, y = torch.sin(a), -torch.cos(a)
            along = (u * x + v * y).clamp(min=0)
            along = torch.minimum(along, length * curl)
            palm = torch.minimum(palm, torch.hypot(u - along * x, v - along * y) - 0.15)
        return palm

    def as_camera(self, picture: Tensor) -> Tensor:
        """Upsampled, with vignette, colour cast, exposure and noise [B, 3, H, W] in 0..1."""
        n = len(picture)
        far = (self.x / self.half[0]) ** 2 + (self.y / self.half[1]) ** 2
        picture = picture * (1 - 0.18 * self.random(n, 1, 1, 1) * far[:, None])
        picture = picture * self.random(n, 3, 1, 1, low=0.85, high=1.12)
        picture = picture.clamp(1e-3, 1) ** self.random(n, 1, 1, 1, low=0.75, high=1.35)

        large = F.interpolate(
            picture, size=self.renderer.shape, mode="bilinear", align_corners=False
        )
        grain = torch.randn_like(large) * 0.035 * self.random(n, 1, 1, 1)
        return (large + grain).clamp(0, 1)

"""Renders the grounds of a batch of pictures with one formula."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from training import scene
from training.grounds import SLOTS
from training.scene import NO_COLOUR, NO_LETTER, column

REACH = 0.62  # how far a dot is from the middle of its cell at most, in cells


def upsampled(field: Tensor, size: tuple[int, int]) -> Tensor:
    """[B, C, h, w] -> [B, C, height, width], smoothly."""
    return F.interpolate(field, size=size, mode="bicubic", align_corners=False)


def hsv_to_rgb(hsv: Tensor) -> Tensor:
    """[B, 3] hue in turns, saturation and value in 0..1 -> [B, 3] in 0..1."""
    h, s, v = hsv.unbind(1)
    n = scene.constant((5.0, 3.0, 1.0), hsv.device)
    k = (n + 6 * h[:, None]) % 6
    return v[:, None] * (1 - s[:, None] * torch.minimum(k, 4 - k).clamp(0, 1))


class Backdrop:
    """The grounds of a batch; one instance per device and size (height, width).

    y is 0..1 from top to bottom; x has the same scale in a square picture, and 0.5 in the middle of
    any, so that a wide picture continues to both sides. `unit` is the pixels per turn of x.
    """

    def __init__(self, rows: Tensor, palette: Tensor, size: tuple[int, int], unit: int) -> None:
        self.rows, self.palette, self.size = rows, palette, size
        high, wide = size
        self.y = ((torch.arange(high, device=rows.device) + 0.5) / high)[None, None, :, None]
        x = (torch.arange(wide, device=rows.device) + 0.5 - wide / 2) / unit + 0.5
        self.x, self.tall = x[None, None, None, :], high / unit

    def paint(self, recipes: Tensor, noise: Tensor, z: Tensor) -> Tensor:
        """[B, 3, height, width] in 0..1."""
        row = self.rows[column(recipes, "ground")]

        def get(name: str) -> Tensor:
            part = row[:, SLOTS[name]]
            return (part / 255 if part.shape[1] == 3 else part)[:, :, None, None]

        hues = self.hues(recipes, z)
        hued = get("hued")

        def paint_of(name: str) -> Tensor:
            plain = get(name)
            own = hsv_to_rgb(torch.cat([plain[:, :1, 0, 0] + hues, plain[:, 1:, 0, 0]], 1))
            return plain + hued * (own[:, :, None, None] - plain)

        y, light, drift = self.y, z[:, scene.LIGHT, None, None, None], z[:, scene.DRIFT]
        drift = torch.tanh(0.7 * drift)[:, None, None, None]
        above = (y / get("horizon")).clamp(0, 1)
        below = ((y - get("horizon")) / (1 - get("horizon"))).clamp(0, 1)
        top, mid = paint_of("top"), paint_of("mid")
        out = top + above * (mid - top) + below * (paint_of("low") - mid)
        out = out.expand(-1, -1, -1, self.size[1])
        soft = upsampled(scene.blurred(noise[:, scene.CLOUDS : scene.MIST + 1], 2.0), self.size)
        mist = torch.sigmoid(1.8 * soft[:, 1:] - 0.6) * get("mist_share")
        out = out + mist * (paint_of("mist") - out)
        distance = torch.hypot(self.x - 0.5 - 0.28 * drift, (y - get("glow_y")) * self.tall)
        glow = torch.sigmoid((get("glow_size") - distance) * 90) * 0.75
        halo = torch.exp(-((distance / (get("glow_size") * 1.9)) ** 2)) * 0.7
        glow = torch.maximum(glow, halo) * get("glow_share")
        out = out + glow * (get("glow") - out)
        cloud = torch.sigmoid(get("cloud_edge") * (soft[:, :1] - get("cloud_least") - 0.25))
        cloud = cloud * get("cloud_share") * ((get("cloud_low") - y) * 7).clamp(0, 1)
        out = out + cloud * (paint_of("cloud") - out)
        out = self.ridges(out, get, noise, drift)
        out = self.waves(out, get, soft)
        dots = self.dots(noise, get)
        out = out + dots * (paint_of("dot") - out)
        out = self.tinted(out, recipes)
        return out * (1 + 0.07 * torch.tanh(light))

    def hues(self, recipes: Tensor, z: Tensor) -> Tensor:
        """Where the colour circle starts, in turns [B, 1]: the letter's, moved by the noise."""
        letter = column(recipes, "letter")
        spoken = torch.where(letter == NO_LETTER, 0.55, letter / 26.0)
        reach = torch.where(letter == NO_LETTER, 0.5, 0.09)
        return (spoken + reach * (torch.special.ndtr(z[:, scene.DRIFT]) - 0.5))[:, None]

    def ridges(self, out: Tensor, get, noise: Tensor, drift: Tensor) -> Tensor:  # noqa: ANN001
        """Three lines across the picture, farthest first."""
        cells = noise.shape[-2]
        row = torch.arange(cells, device=noise.device) / cells
        smooth = scene.blurred(noise[:, scene.HILLS : scene.HILLS + 1], 1.5)[:, 0]
        for name in ("far", "near", "front"):
            base = get(f"{name}_y")[:, 0, :, 0]  # [B, 1]
            band = torch.exp(-(((row - base) * cells / 2.0) ** 2))
            band = band / (band.sum(1, keepdim=True) + 1e-4)
            profile = (smooth * band[:, :, None]).sum(1)  # [B, cells]
            profile = F.interpolate(profile[:, None], size=self.size[1], mode="linear")[:, :, None]
            turn = self.x * get(f"{name}_every") + 0.6 * drift + base[:, :, None, None]
            tooth = (2 * (turn - (turn + 0.5).floor())).abs()  # 0 at the tip, 1 between two
            height = get(f"{name}_rise") * 1.3 * profile
            height = height + get(f"{name}_teeth") * (0.5 - tooth) * (1 + 0.35 * profile)
            edge = get(f"{name}_y") - height
            inside = ((self.y - edge) * self.size[0] + 0.5).clamp(0, 1)
            depth = ((self.y - edge) / 0.28).clamp(0, 1)
            top, low = get(f"{name}_top"), get(f"{name}_bottom")
            out = out + inside * (top + depth * (low - top) - out)
        return out

    def waves(self, out: Tensor, get, soft: Tensor) -> Tensor:  # noqa: ANN001
        """Lines of light on the ground, closer together in the distance."""
        depth = (self.y - get("wave_from")).clamp(min=0)
        phase = 52 * torch.sqrt(depth + 0.02) + 2.2 * soft[:, 1:]
        line = torch.sigmoid(7 * (torch.sin(phase) * torch.sigmoid(3 * soft[:, :1]) - 0.62))
        return out + 0.34 * get("wave") * line * (depth * 12).clamp(0, 1) * (1 - out)

    def dots(self, noise: Tensor, get) -> Tensor:  # noqa: ANN001
        """Stars, snow, sparks: one in every cell with high noise, growing continuously from 0."""
        (rows, columns), step = noise.shape[-2:], self.size[0] // noise.shape[-2]
        share = F.softplus(4 * (noise[:, scene.STARS : scene.STARS + 1] - get("dot_least"))) / 4
        swell = 1 - torch.exp(-2.4 * share)  # 0..1
        shift = torch.tanh(0.9 * noise[:, scene.STAR_X : scene.STAR_Y + 1]) * REACH
        near = F.pad(torch.cat([swell, shift], 1), (1,) * 4)
        within = (torch.arange(step, device=noise.device) + 0.5) / step - 0.5  # in cells
        out = torch.zeros(len(noise), 1, rows, step, columns, step, device=noise.device)
        radius = get("dot_radius")[..., None, None] / scene.CELL  # in cells, at any size
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                cut = near[:, :, 1 + dy : 1 + dy + rows, 1 + dx : 1 + dx + columns]
                cut = cut[:, :, :, None, :, None]
                px = within.view(1, 1, 1, 1, 1, -1) - dx - cut[:, 1:2]
                py = within.view(1, 1, 1, -1, 1, 1) - dy - cut[:, 2:3]
                wide = (radius * (0.45 + 0.75 * cut[:, :1])) ** 2
                out = torch.maximum(out, cut[:, :1] * torch.exp(-(px**2 + py**2) / wide))
        out = (1.5 * out.reshape(len(noise), 1, *self.size)).clamp(max=1)
        between = ((self.y - get("dot_from")) * 9).clamp(0, 1) * (
            (get("dot_to") - self.y) * 9
        ).clamp(0, 1)
        return out * between

    def tinted(self, out: Tensor, recipes: Tensor) -> Tensor:
        """A scene tinted with a colour, such as "a red sky"."""
        tint = column(recipes, "tint")
        colour = self.palette[tint.clamp(max=NO_COLOUR - 1)][:, :, None, None]
        light = (out * scene.constant((0.3, 0.59, 0.11), out.device)[:, None, None]).sum(
            1, keepdim=True
        )
        shaded = colour * (0.45 + 0.85 * light)
        share = torch.where(tint == NO_COLOUR, 0.0, 0.78)[:, None, None, None]
        return out + share * (shaded - out)

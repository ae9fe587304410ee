"""Says what a picture shows, without a network: colours by nearness, outlines by overlap.

Nothing here is a loss of the training. Where the thing should be is known from the noise, and
the ground without the thing from the renderer; the rest is read off the picture.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from training import scene, words
from training.render import Painted, Renderer
from training.scene import GROUNDS, Layout, column

SIDE = 128  # masks are compared at this size
SCALES = (0.92, 1.0, 1.08)
SHIFTS = (-3, 0, 3)  # cells of SIDE
LEAST_CONTRAST = 0.16  # below it a thing cannot be told from its ground by colour at all
LEAST_PART = 0.25  # of a copy's area: smaller pieces are not counted


def oklab(rgb: Tensor) -> Tensor:
    """[..., 3] sRGB in 0..1 -> OKLab, in which distance is about what the eye sees."""
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055).clamp(min=0) ** 2.4, rgb / 12.92)
    to_lms = rgb.new_tensor(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    to_lab = rgb.new_tensor(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return (linear @ to_lms.T).clamp(min=0) ** (1 / 3) @ to_lab.T


def mean_where(image: Tensor, mask: Tensor) -> Tensor:
    """Mean colour [B, 3] of the pixels that the mask [B, 1, H, W] chooses."""
    return (image * mask).sum((2, 3)) / mask.sum((2, 3)).clamp(min=1e-3)


def nearest_colour(rgb: Tensor) -> Tensor:
    """The colour word nearest to each colour [B, 3] -> [B]; lightness counts for less."""
    palette = rgb.new_tensor([*words.COLOURS.values()]) / 255
    scale = rgb.new_tensor([0.7, 1.0, 1.0])
    return torch.cdist(oklab(rgb) * scale, oklab(palette) * scale).argmin(1)


def thing_colour(image: Tensor, painted: Painted) -> Tensor:
    """The colour word of the thing [B]."""
    inner = (painted.own > 0.95).float()
    core = 1 - F.max_pool2d(1 - painted.mask, 7, 1, 3)  # away from the rim
    both = inner * (core > 0.95)
    enough = both.sum((1, 2, 3), keepdim=True) > 30
    return nearest_colour(mean_where(image, torch.where(enough, both, inner)))


def outside(painted: Painted) -> Tensor:
    """Pixels well away from the thing [B, 1, H, W]."""
    return (F.max_pool2d(painted.mask, 41, 1, 20) < 0.02).float()


def ground_colour(image: Tensor, painted: Painted) -> Tensor:
    """The colour word of the ground [B]."""
    return nearest_colour(mean_where(image, outside(painted)))


def nearest_ground(
    image: Tensor, painted: Painted, recipes: Tensor, noise: Tensor, teacher: Renderer
) -> Tensor:
    """Which of all grounds, painted from the same noise, the picture is nearest to [B]."""
    away = F.adaptive_avg_pool2d(outside(painted), 32) > 0.5
    got = F.adaptive_avg_pool2d(image, 32)
    errors = []
    for ground in range(len(GROUNDS)):
        other = recipes.clone()
        other[:, scene.COLUMNS.index("ground")] = ground
        want = F.adaptive_avg_pool2d(teacher.paint(other, noise).ground, 32)
        errors.append((((got - want) ** 2) * away).sum((1, 2, 3)))
    return torch.stack(errors, 1).argmin(1)


def residue(image: Tensor, ground: Tensor) -> Tensor:
    """How far every pixel is from its ground, in light or in shadow [B, 1, H, W]."""
    share = (image * ground).sum(1, keepdim=True) / (ground**2).sum(1, keepdim=True).clamp(min=1e-4)
    return (image - share.clamp(0.6, 1.06) * ground).norm(dim=1, keepdim=True)


def found(image: Tensor, painted: Painted) -> tuple[Tensor, Tensor]:
    """The thing's mask as the picture shows it [B, SIDE, SIDE], and the teacher's contrast [B]."""
    inside = (painted.mask > 0.95).float()
    truth = residue(painted.image, painted.ground)
    contrast = (truth * inside).sum((1, 2, 3)) / inside.sum((1, 2, 3)).clamp(min=1)
    level = (0.42 * contrast)[:, None, None, None]
    mask = (residue(image, painted.ground) > level).float()
    return (F.adaptive_avg_pool2d(mask, SIDE)[:, 0] > 0.5).float(), contrast


def outlines(layout: Layout, teacher: Renderer) -> Tensor:
    """Masks of every thing in this layout at every scale [B, things, scales, SIDE * SIDE]."""
    out = []
    for thing in range(len(words.THINGS)):
        for scale in SCALES:
            sized = Layout(layout.centres, layout.radius * scale, layout.lean, layout.means)
            chosen = torch.full((len(layout.lean),), thing, device=layout.lean.device)
            maps, _, _ = teacher.look_up(sized, chosen)
            distance = maps[:, 0] * (sized.radius * teacher.scale)[:, None, None]
            out.append((0.5 - distance).clamp(0, 1).flatten(1))
    return torch.stack(out, 1).view(len(layout.lean), len(words.THINGS), len(SCALES), -1)


def best_outline(mask: Tensor, layout: Layout, teacher: Renderer) -> Tensor:
    """The thing whose outline overlaps the mask best, over small shifts and scales [B]."""
    candidates = outlines(layout, teacher)
    b, things, scales, cells = candidates.shape
    flat = candidates.view(b, things * scales, cells)
    shifted = torch.stack(
        [torch.roll(mask, (dy, dx), (1, 2)).flatten(1) for dy in SHIFTS for dx in SHIFTS], 1
    )
    common = torch.bmm(flat, shifted.mT)  # [B, things * scales, shifts]
    union = flat.sum(2)[:, :, None] + shifted.sum(2)[:, None] - common
    overlap = (common / union.clamp(min=1)).amax(2).view(b, things, scales).amax(2)
    return overlap.argmax(1)


def pieces(mask: Tensor, copy_area: Tensor) -> Tensor:
    """How many connected pieces the mask [B, SIDE, SIDE] has, small ones left out [B]."""
    closed = F.max_pool2d(mask[:, None], 3, 1, 1)
    closed = -F.max_pool2d(-closed, 3, 1, 1)
    label = torch.arange(1, SIDE * SIDE + 1, device=mask.device, dtype=torch.float32)
    label = label.view(1, 1, SIDE, SIDE) * closed
    for _ in range(4 * SIDE):
        spread = F.max_pool2d(label, 3, 1, 1) * closed
        if torch.equal(spread, label):
            break
        label = spread
    counts = []
    for row, area in zip(label.flatten(1).long(), copy_area.tolist(), strict=True):
        _, sizes = row[row > 0].unique(return_counts=True)
        counts.append(int((sizes >= LEAST_PART * area).sum()))
    return torch.tensor(counts, device=mask.device)


def copies(recipes: Tensor) -> Tensor:
    """How many things each recipe asks for [B]."""
    return column(recipes, "count").new_tensor([*words.COPIES.values()])[column(recipes, "count")]

"""Classifies what a picture shows, without a network: colours by distance, outlines by overlap.

The training does not minimise these measures; the loss of `train --colour` is close to one of them,
the mean colour of the thing, but compares with the teacher's. The place of the thing is known from
the noise, and the ground without the thing from the renderer; everything else is measured on the
picture. The teacher's own pictures pass. A ground is compared with all other grounds rendered from
the same noise, since clouds and stars change its mean colour by more than the distance between two
neighbouring colours. A thing's colour is compared with the same thing in every other colour, since
shading and rim have the same effect: the mean of a small orange sun is the palette's brown. A thing
is only judged where it can be distinguished from its ground; copies that touch are still separated.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from training import atlas, place, scene, vocabulary
from training.render import Painted, Renderer
from training.scene import GROUNDS, Layout, Salient, column

SIDE = 128  # masks are compared at this size
SCALES = (0.92, 1.0, 1.08)
SHIFTS = (-3, 0, 3)  # cells of SIDE
LEAST_CONTRAST = 0.16  # below it a thing cannot be distinguished from its ground by colour
LEAST_PART = 0.25  # of a copy's area: smaller pieces are not counted
LEAST_VISIBLE = 0.6  # of a thing's area: of a black boat on black only the sails are visible
LEAST_OVERLAP = 0.5  # with its outline, for a copy to count as present
NEAR = 4  # cells of SIDE around an outline that may belong to the copy


def oklab(rgb: Tensor) -> Tensor:
    """[..., 3] sRGB in 0..1 -> OKLab, where distances are roughly perceptual."""
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
    """Mean colour [B, 3] of the pixels selected by the mask [B, 1, H, W]."""
    return (image * mask).sum((2, 3)) / mask.sum((2, 3)).clamp(min=1e-3)


def nearest_colour(rgb: Tensor, candidates: Tensor | None = None) -> Tensor:
    """The colour name nearest to each colour [B, 3] -> [B].

    candidates: [colours, B, 3]; None: the palette. The palette ignores light and shadow, so
    lightness then has less weight.
    """
    lightness = 1.0
    if candidates is None:
        candidates, lightness = (rgb.new_tensor([*vocabulary.COLOURS.values()]) / 255)[:, None], 0.7
    scale = rgb.new_tensor([lightness, 1.0, 1.0])
    return ((oklab(rgb) - oklab(candidates)) * scale).norm(dim=2).argmin(0)


def core(painted: Painted) -> Tensor:
    """The pixels in the thing's own colour, without the rim if enough remain [B, 1, H, W]."""
    inner = (painted.own > 0.95).float()
    middle = 1 - F.max_pool2d(1 - painted.mask, 7, 1, 3)
    both = inner * (middle > 0.95)
    enough = both.sum((1, 2, 3), keepdim=True) > 30
    return torch.where(enough, both, inner)


def coloured(
    recipes: Tensor, noise: Tensor, painted: Painted, teacher: Renderer,
    salient: Salient | None = None,
) -> Tensor:  # fmt: skip
    """Mean colour of the thing's core for each of the colours, without manners [colours, B, 3]."""
    where = F.adaptive_avg_pool2d(core(painted), teacher.size)
    out = []
    for colour in range(len(vocabulary.COLOURS)):
        other = recipes.clone()
        other[:, scene.COLUMNS.index("colour")] = colour
        out.append(mean_where(teacher.paint(other, noise, 0, salient).image, where))
    return torch.stack(out)


def outside(painted: Painted) -> Tensor:
    """Pixels at a distance from the thing [B, 1, H, W]."""
    wide = F.max_pool2d(F.max_pool2d(painted.mask, (41, 1), 1, (20, 0)), (1, 41), 1, (0, 20))
    return (wide < 0.02).float()


def ground_colour(image: Tensor, painted: Painted) -> Tensor:
    """The colour name of the ground [B]."""
    return nearest_colour(mean_where(image, outside(painted)))


def grounds(recipes: Tensor, noise: Tensor, teacher: Renderer) -> Tensor:
    """Every ground as the teacher renders it from this noise [grounds, B, 3, 32, 32]."""
    z = scene.layout(recipes, noise).means
    out = []
    for ground in range(len(GROUNDS)):
        other = recipes.clone()
        other[:, scene.COLUMNS.index("ground")] = ground
        picture = teacher.backdrop.paint(other, noise, z) * teacher.vignette()
        out.append(F.adaptive_avg_pool2d(picture.clamp(0, 1), 32))
    return torch.stack(out)


def nearest_ground(image: Tensor, painted: Painted, candidates: Tensor) -> Tensor:
    """The ground, of all rendered from the same noise, that is nearest to the picture [B]."""
    away = F.adaptive_avg_pool2d(outside(painted), 32) > 0.5
    got = F.adaptive_avg_pool2d(image, 32)
    return (((got - candidates) ** 2) * away).sum((2, 3, 4)).argmin(0)


def residue(image: Tensor, ground: Tensor) -> Tensor:
    """Distance of every pixel from its ground at any brightness [B, 1, H, W]."""
    share = (image * ground).sum(1, keepdim=True) / (ground**2).sum(1, keepdim=True).clamp(min=1e-4)
    return (image - share.clamp(0.6, 1.06) * ground).norm(dim=1, keepdim=True)


def levels(painted: Painted) -> tuple[Tensor, Tensor]:
    """The residue above which a pixel belongs to the thing [B], and whether it is judged [B]."""
    inside = (painted.mask > 0.95).float()
    area = inside.sum((1, 2, 3)).clamp(min=1)
    truth = residue(painted.image, painted.ground)
    contrast = (truth * inside).sum((1, 2, 3)) / area
    level = 0.42 * contrast
    visible = ((truth > level[:, None, None, None]) * inside).sum((1, 2, 3)) / area
    return level, (contrast > LEAST_CONTRAST) & (visible > LEAST_VISIBLE)


def found(image: Tensor, painted: Painted, level: Tensor) -> Tensor:
    """The thing's mask measured on the picture [B, SIDE, SIDE]."""
    mask = (residue(image, painted.ground) > level[:, None, None, None]).float()
    return (F.adaptive_avg_pool2d(mask, SIDE)[:, 0] > 0.5).float()


def outlines(layout: Layout, teacher: Renderer) -> Tensor:
    """Masks of every thing in this layout at every scale [B, things, scales, SIDE * SIDE]."""
    thing = torch.zeros(len(layout.lean), dtype=torch.long, device=layout.lean.device)
    _, u, v = teacher.look_up(layout, thing)
    grid = torch.stack([u[:, 0], v[:, 0]], 3) / atlas.REACH
    fields = teacher.atlas[None, :, 0].expand(len(thing), -1, -1, -1)
    out = []
    for scale in SCALES:
        distance = F.grid_sample(fields, grid / scale, padding_mode="border", align_corners=False)
        beyond = (grid.abs() / scale > 1).any(3)[:, None]
        unit = (layout.radius * scale * teacher.scale)[:, None, None, None]
        out.append(((0.5 - distance * unit).clamp(0, 1) * ~beyond).flatten(2))
    return torch.stack(out, 2)


def best_outline(mask: Tensor, candidates: Tensor) -> Tensor:
    """The thing whose outline overlaps the mask best, for small shifts and scales [B]."""
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
    """The number of connected pieces of the mask [B, SIDE, SIDE], without small ones [B]."""
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


def complete(mask: Tensor, outline: Tensor, layout: Layout, teacher: Renderer) -> Tensor:
    """Whether each copy is present with its own outline, and nothing else is [B].

    Neighbours in a group are so close that their pieces often touch, in the teacher's pictures too.
    Every copy must cover its own outline in the region that is nearest to it. A missing copy, an
    extra one, or a blob across several fails.
    """
    centres = layout.centres  # [B, copies, 2]
    far = (teacher.px[:, None] - centres[:, :, 0, None, None]) ** 2
    far = far + (teacher.py[:, None] - centres[:, :, 1, None, None]) ** 2
    cell = F.one_hot(far.argmin(1), centres.shape[1]).permute(0, 3, 1, 2)  # [B, copies, H, W]
    true = outline.view(-1, 1, SIDE, SIDE)
    common = (cell * mask[:, None] * true).sum((2, 3))
    union = (cell * torch.maximum(mask[:, None], true)).sum((2, 3))
    there = centres[:, :, 0].abs() < 1e3
    each = ((common / union.clamp(min=1) > LEAST_OVERLAP) | ~there).all(1)
    allowed = F.max_pool2d(true, 2 * NEAR + 1, 1, NEAR)[:, 0]
    copy_area = true.sum((1, 2, 3)) / there.sum(1).clamp(min=1)
    stray = (mask * (allowed < 0.5)).sum((1, 2))
    return each & (stray < LEAST_PART * copy_area)


def copies(recipes: Tensor) -> Tensor:
    """How many things each recipe requests [B]."""
    return column(recipes, "count").new_tensor([*vocabulary.COPIES.values()])[
        column(recipes, "count")
    ]


class Judge:
    """What a batch of recipes and noise should look like; `see` classifies pictures.

    With `salient` the place and the size are those of the sources' shapes.
    """

    def __init__(
        self, recipes: Tensor, noise: Tensor, teachers: dict[int, Renderer],
        salient: Salient | None = None,
    ) -> None:  # fmt: skip
        self.recipes, self.thing = recipes, column(recipes, "thing")
        self.small = teachers[SIDE]
        self.painted = teachers[256].paint(recipes, noise, salient=salient)
        self.grounds = grounds(recipes, noise, teachers[64])
        self.core = core(self.painted)
        self.colours = coloured(recipes, noise, self.painted, self.small, salient)
        self.outlines = outlines(self.painted.layout, self.small)
        self.level, self.clear = levels(self.painted)

    def centre(self, image: Tensor) -> Tensor:
        """The centre of what differs from the ground [B, 2], in pixels from the picture's."""
        mask = found(image, self.painted, self.level)
        cells = mask.sum((1, 2)).clamp(min=1)
        axes = (self.small.px, self.small.py)
        return torch.stack([(mask * axis).sum((1, 2)) / cells for axis in axes], 1)

    def place(self, image: Tensor) -> Tensor:
        """The centre of what has the thing's outline [B, 2], in pixels from the picture's.

        Unlike `centre`, ground that differs from the teacher's is not taken for a part of the
        thing. The whole picture is searched: the place that the source gives has no advantage.
        """
        mask = found(image, self.painted, self.level)
        figure = place.figure(self.painted.layout, self.thing, self.small)
        return place.best(mask, figure, self.small)

    def see(self, image: Tensor) -> dict[str, Tensor]:
        """Class numbers for each picture [B, 3, 256, 256] in 0..1; -1 where it is not judged."""
        mask = found(image, self.painted, self.level)
        each = torch.arange(len(mask), device=mask.device)
        shown = mean_where(image, self.core)
        own = self.outlines[each, self.thing, SCALES.index(1.0)]
        requested = copies(self.recipes)
        loose = pieces(mask, own.sum(1) / requested)
        count = torch.where(complete(mask, own, self.painted.layout, self.small), requested, loose)
        return {
            "colour": nearest_colour(shown, self.colours),
            "colour by palette": nearest_colour(shown),
            "palette": ground_colour(image, self.painted),
            "ground": nearest_ground(image, self.painted, self.grounds),
            "shape": torch.where(self.clear, best_outline(mask, self.outlines), -1),
            "count": torch.where(self.clear, count, -1),
        }

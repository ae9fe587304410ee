"""The training losses: on the picture, and on small auxiliary heads.

The heads are discarded after training. They make the UNet determine early where the thing is and
which pixel shows which part of it; after that, rendering is local.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training import model, scene
from training.render import Painted
from training.scene import CLASSES, COLUMNS

LAYOUT_NUMBERS = 4 + scene.MEANS  # centre x and y, radius, lean, and the means


class Heads(nn.Module):
    """Predict the recipe from the text encoder, and layout and masks from the UNet's features."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        _, half, wide, last = model.BLOCKS
        classes = sum(CLASSES.values())
        self.words = nn.Linear(model.TEXT_WIDTH, classes)
        self.seen = nn.Linear(last, classes)
        self.layout = nn.Linear(last * 16, LAYOUT_NUMBERS)
        self.coarse = nn.Conv2d(wide, 4, 1)  # 16x16: place u, v; mask; nearness
        self.fine = nn.Conv2d(half, 4, 1)  # 32x32
        self.preview = nn.Conv2d(model.LATENT_CHANNELS, 16, 3, padding=1)  # 64x64 RGB and mask
        self.maps: dict[str, Tensor] = {}
        # The share of the heads' gradient that reaches the network: 0 while they are untrained.
        self.register_buffer("gate", torch.ones(()), persistent=False)
        hooked = {
            "small": unet.down_blocks[-1], "coarse": unet.up_blocks[1], "fine": unet.up_blocks[2]
        }  # fmt: skip
        for name, module in hooked.items():
            module.register_forward_hook(self.keeper(name))

    def keeper(self, name: str):  # noqa: ANN201
        def keep(_module: nn.Module, _inputs: object, output: Tensor | tuple[Tensor, ...]) -> None:
            self.maps[name] = self.gated(output if isinstance(output, Tensor) else output[0])

        return keep

    def gated(self, features: Tensor) -> Tensor:
        """The same features; the gradient is multiplied by the gate."""
        held = features.detach()
        return held + self.gate.to(features.dtype) * (features - held)


def word_loss(logits: Tensor, recipes: Tensor) -> Tensor:
    """Cross-entropy of every column of the recipe."""
    total, at = logits.new_zeros(()), 0
    for k, name in enumerate(COLUMNS):
        total = total + F.cross_entropy(logits[:, at : at + CLASSES[name]], recipes[:, k])
        at += CLASSES[name]
    return total


def layout_target(layout: scene.Layout) -> Tensor:
    """[B, LAYOUT_NUMBERS], each of roughly unit scale."""
    there = (layout.centres[:, :, 0].abs() < 1e3).float()
    middle = (layout.centres * there[..., None]).sum(1) / there.sum(1, keepdim=True).clamp(min=1)
    numbers = [middle / 40, layout.radius[:, None] / 40, layout.lean[:, None] * 4, layout.means]
    return torch.cat(numbers, 1)


def head_loss(
    heads: Heads, latent: Tensor, text: Tensor, recipes: Tensor, painted: Painted
) -> tuple[Tensor, Tensor]:
    """(loss of all heads except `words`, loss of `words`); `painted` is twice the latent's size."""
    words = word_loss(heads.words(heads.gated(text[:, -1])).float(), recipes)
    small = heads.maps["small"]
    seen = word_loss(heads.seen(small.mean((2, 3))).float(), recipes)
    layout = heads.layout(F.adaptive_avg_pool2d(small, 4).flatten(1)).float()
    places = F.mse_loss(layout, layout_target(painted.layout))
    dense = text.new_zeros((), dtype=torch.float32)
    for head, name, factor in ((heads.coarse, "coarse", 4), (heads.fine, "fine", 2)):
        target, mask = F.avg_pool2d(painted.place, factor), F.avg_pool2d(painted.mask, factor)
        got = head(heads.maps[name]).float()
        near = target[:, 2:3]
        dense = dense + ((got[:, :2] - target[:, :2]).abs() * near).mean() * 2
        dense = dense + (got[:, 2:3] - mask).abs().mean() + (got[:, 3:] - near).abs().mean()
    preview = F.pixel_shuffle(heads.preview(heads.gated(latent)).float(), 2)
    small = torch.cat([painted.image * 2 - 1, painted.mask], 1)
    weight = 1 + 3 * small[:, 3:]
    dense = dense + (weight * ((preview - small).abs() + (preview - small) ** 2)).mean()
    return 0.05 * seen + 0.5 * places + dense, 0.15 * words


def pixel_loss(got: Tensor, painted: Painted) -> Tensor:
    """Pictures in -1..1 compared with the teacher's: absolute, squared and edge differences, with
    more weight on the thing."""
    got, want = got.float(), painted.image * 2 - 1
    covered = painted.mask.mean((1, 2, 3), keepdim=True)
    around = F.max_pool2d(painted.mask, 9, 1, 4)
    scarce = (0.10 / (covered + 0.01)).clamp(max=4) ** 0.6
    weight = 1 + 5 * scarce * around
    difference = got - want
    level = (weight * (difference.abs() + 1.5 * difference**2)).mean()
    across = (difference[..., 1:] - difference[..., :-1]).abs() * weight[..., 1:]
    down = (difference[..., 1:, :] - difference[..., :-1, :]).abs() * weight[..., 1:, :]
    return level + 0.6 * (across.mean() + down.mean())


def scale_loss(encoded: Tensor) -> Tensor:
    """Keeps encoded sources [B, C, H, W] at unit variance, so that noise levels have a meaning."""
    return encoded.float().square().mean().log().square()


def colour_loss(got: Tensor, painted: Painted) -> Tensor:
    """Difference of the mean colour of each thing's own parts to the teacher's, pictures in -1..1.

    `pixel_loss` is low if every pixel is near an average value. Small or patterned things become
    too dark that way, and a dark orange is a brown.
    """
    inner = 1 - F.max_pool2d(1 - painted.mask, 5, 1, 2)  # away from the rim
    weight = painted.own**4 * inner**2
    area = weight.sum((2, 3))
    there = (area > 12).float()
    difference = ((got.float() - painted.image * 2 + 1) * weight).sum((2, 3)) / area.clamp(min=1)
    return (there * (difference.abs() + 2 * difference**2)).mean()

"""One shape of picture in the training: what a step draws, renders and compares.

Of every two rows of a batch the first is text to image, the second image to image: an encoded
source with the noise of a random strength. Below `sources.BLENDED` it becomes the source itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from training import dataset, losses, model, render, scene
from training.render import Painted
from training.scene import COLUMNS
from training.sources import BLENDED, Source, Sources, smooth

LOSSES = ("pixels", "repainted", "heads", "words", "colour", "scale")
SMALL = 4  # how much smaller the pictures are that are not rendered in full size
OFTEN, MIDDLE = 0.45, (0.4, 0.8)  # share of the strengths that are near the default
OWN = 0.25  # share of scenes as sources that show what the words request, as in feedback


class Deck:
    """The prompts on the device, from which steps draw."""

    def __init__(self, prompts: dataset.Prompts, aim: int, device: torch.device) -> None:
        manner = prompts.recipes[:, COLUMNS.index("manner")] > 0
        often = 1 + aim * dataset.hard(prompts.recipes)
        rows = torch.arange(len(often)).repeat_interleave(often)
        self.manner_rows = rows[manner[rows]].to(device)
        self.plain_rows = rows[~manner[rows]].to(device)
        self.token_ids = prompts.token_ids.to(device)
        self.recipes = prompts.recipes.to(device)

    def draw(self, amounts: tuple[int, ...]) -> Tensor:
        """Rows of prompts; in each of the parts the first eighth has a manner."""
        parts = []
        for amount in amounts:
            for rows, share in (
                (self.manner_rows, amount // 8),
                (self.plain_rows, amount - amount // 8),
            ):
                parts.append(rows[torch.randint(len(rows), (share,), device=rows.device)])
        return torch.cat(parts)


@dataclass
class Strengths:
    """How much of each row is the words', and the timestep of its noise."""

    strength: Tensor  # [B]
    timestep: Tensor  # [B]


def draw_strengths(amount: int, device: torch.device) -> Strengths:
    """Random strengths in 0.02..1, many near the default."""
    u, often = torch.rand(2, amount, device=device)
    low, high = MIDDLE
    strength = torch.where(often < OFTEN, low + (high - low) * u, 0.02 + 0.98 * u)
    return Strengths(strength, model.timestep_of(strength))


class Stage:
    """Batches of one shape (rows and columns of noise) on one device."""

    def __init__(
        self, deck: Deck, cells: tuple[int, int], batch: int, decoded: int, device: torch.device
    ) -> None:
        if batch % 2 or decoded % 2 or not 0 < decoded <= batch:
            raise ValueError(
                f"batch {batch} and decoded {decoded} must be even, decoded in 2..batch."
            )
        self.deck, self.cells, self.device = deck, cells, device
        self.batch, self.decoded = batch, decoded
        self.large = render.Renderer(device, model.IMAGE_SIZE, cells)
        self.small = render.Renderer(device, model.IMAGE_SIZE // SMALL, cells)
        self.sources = Sources(self.large, cells)
        half = batch // 2
        self.cameras = half // 2
        place = torch.arange(half, device=device)
        # Scenes and cameras take turns.
        self.order = place // 2 + (place % 2) * (half - self.cameras)

    @torch.no_grad()
    def source(self, recipes: Tensor) -> Source:
        """A source for every second row of the recipes."""
        own = recipes[1::4]
        other = recipes[torch.randint(len(recipes), (len(own),), device=self.device)]
        same = torch.rand(len(own), 1, device=self.device) < OWN
        found = self.sources.make(torch.where(same, own, other), self.cameras)
        parts = (found.image, found.centre, found.area, found.seen)
        return Source(*(part[self.order] for part in parts))

    @torch.no_grad()
    def paint(
        self, recipes: Tensor, noise: Tensor, source: Source, strength: Tensor
    ) -> tuple[Painted, Painted]:
        """The teacher's pictures: the first `decoded` in full size, and all of them small."""
        n, rest = self.decoded, self.batch - self.decoded
        given = source.salient(strength)
        salient = scene.Salient(*(every_second(x) for x in (given.centre, given.area, given.share)))
        words = smooth(strength, BLENDED)[:, None, None, None]
        large = self.large.paint(recipes[:n], noise[:n], n // 8, salient[slice(n)])
        blend(large, source.image[: n // 2], words[: n // 2])
        if not rest:
            return large, large.reduced(SMALL)
        small = self.small.paint(recipes[n:], noise[n:], rest // 8, salient[slice(n, None)])
        blend(small, F.avg_pool2d(source.image[n // 2 :], SMALL), words[n // 2 :])
        return large, large.reduced(SMALL).joined(small)

    def losses(
        self, net: model.OneStep, heads: losses.Heads, dtype: torch.dtype, colour: float
    ) -> Tensor:
        """Draw a batch and compare the network's pictures with the teacher's [len(LOSSES)]."""
        rest = self.batch - self.decoded
        index = self.deck.draw((self.decoded, rest))
        recipes = self.deck.recipes[index]
        noise = torch.randn(self.batch, model.LATENT_CHANNELS, *self.cells, device=self.device)
        given = draw_strengths(self.batch // 2, self.device)
        source = self.source(recipes)
        large, small = self.paint(recipes, noise, source, given.strength)
        text = net.encode(self.deck.token_ids[index])
        encoded = net.encode_source(source.image.to(dtype))
        repaint = net.noised(noise[1::2], encoded.float(), given.timestep)
        sample = torch.stack([noise[::2] * net.input_scale, repaint], 1).flatten(0, 1)
        last = torch.full_like(given.timestep, model.LAST_TIMESTEP)
        timestep = torch.stack([last, given.timestep], 1).flatten()
        latent = net.denoise_at(sample.to(dtype), timestep, text)
        image = net.decode(latent[: self.decoded])
        head, words = losses.head_loss(heads, latent, text, recipes, small)
        heads.maps.clear()
        found = [losses.pixel_loss(image[k::2], large.every(k)) for k in (0, 1)]
        shade = colour * losses.colour_loss(image, large)
        return torch.stack([*found, head, words, shade, losses.scale_loss(encoded)])


def every_second(values: Tensor) -> Tensor:
    """The values as rows 1, 3, 5..., zeros as the others."""
    return torch.stack([torch.zeros_like(values), values], 1).flatten(0, 1)


def blend(painted: Painted, source: Tensor, words: Tensor) -> None:
    """Replace every second picture by the source as far as the words' share is below 1."""
    painted.image[1::2] = source + words * (painted.image[1::2] - source)

"""Makes the demo model's weights: `python -m training.train --out DIR`.

Direct regression in one step: prompt and noise in, the renderer's picture out; no teacher
network, no distillation. All data is made on the device. On a GPU one training step is one CUDA
graph.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import re
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from training import dataset, losses, model, optimise, render
from training.render import Painted
from training.scene import COLUMNS

log = logging.getLogger("training")
LOSSES = ("pixels", "heads", "words", "colour")


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for weights and log")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=12_000)
    parser.add_argument("--minutes", type=float, default=1e9, help="end by then, rate and all")
    parser.add_argument("--batch", type=int, default=192, help="prompts a step")
    parser.add_argument("--decoded", type=int, default=64, help="of them, painted in full")
    parser.add_argument("--prompts", type=int, default=800_000)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--adam", action="store_true", help="AdamW alone, no Muon")
    parser.add_argument("--init", type=Path, help="a folder of weights to go on from")
    parser.add_argument("--learn", default="", help="of the net: only weights whose names match")
    parser.add_argument("--no-heads", action="store_true", help="pictures alone are the losses")
    parser.add_argument("--colour", type=float, default=0.0, help="weight of the things' colours")
    parser.add_argument("--aim", type=int, default=0, help="hard colours so much more often")
    parser.add_argument("--warm-steps", type=int, default=200)
    parser.add_argument("--keep", type=float, default=0.998, help="of the average, each step")
    parser.add_argument("--mix", type=float, default=1.0, help="way from the first to the learnt")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--save-every", type=int, default=1000, help="steps between checkpoints")
    parser.add_argument("--no-graph", action="store_true")
    return parser.parse_args(argv)


class Trainer:
    """Model, teacher and optimizer on one device; `step` is the whole of one training step.

    On a GPU the network computes in bfloat16 throughout; the weights that learn are float32.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.device = args, torch.device(args.device)
        self.prompts = dataset.make(args.seed, args.prompts, workers=args.workers)
        torch.manual_seed(args.seed)
        self.parts = model.load(args.init) if args.init else model.build(args.seed)
        self.net = model.OneStep(model.copy_of(self.parts)).train()
        self.heads = None if args.no_heads else losses.Heads(self.net.unet)
        both = nn.ModuleDict({"net": self.net})
        if self.heads is not None:
            both["heads"] = self.heads
        both.to(self.device)
        self.net.vae.encoder.requires_grad_(False)
        for name, p in self.net.named_parameters():
            p.requires_grad_(p.requires_grad and re.search(args.learn, name) is not None)
        self.dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        self.optimizer = optimise.Optimizer(both, args.rate, 0.01, not args.adam, self.dtype)
        self.large = render.Renderer(self.device, model.IMAGE_SIZE)
        self.small = render.Renderer(self.device, 64)
        manner = self.prompts.recipes[:, COLUMNS.index("manner")] > 0
        often = 1 + args.aim * dataset.hard(self.prompts.recipes)
        rows = torch.arange(len(often)).repeat_interleave(often)
        self.manner_rows = rows[manner[rows]].to(self.device)
        self.plain_rows = rows[~manner[rows]].to(self.device)
        self.token_ids = self.prompts.token_ids.to(self.device)
        self.recipes = self.prompts.recipes.to(self.device)
        self.losses = torch.zeros(len(LOSSES), device=self.device)

    def draw(self) -> Tensor:
        """Rows of prompts for one step: in both parts one in eight, the first ones, in a manner."""
        args, parts = self.args, []
        for amount in (args.decoded, args.batch - args.decoded):
            for rows, share in (
                (self.manner_rows, amount // 8),
                (self.plain_rows, amount - amount // 8),
            ):
                parts.append(rows[torch.randint(len(rows), (share,), device=self.device)])
        return torch.cat(parts)

    @torch.no_grad()
    def paint(self, recipes: Tensor, noise: Tensor) -> tuple[Painted, Painted]:
        """The teacher's pictures: the first ones large, all of them small."""
        n, rest = self.args.decoded, self.args.batch - self.args.decoded
        large = self.large.paint(recipes[:n], noise[:n], manners=n // 8)
        if not rest:
            return large, large.reduced(64)
        small = self.small.paint(recipes[n:], noise[n:], manners=rest // 8)
        return large, large.reduced(64).joined(small)

    def step(self) -> None:
        args, device = self.args, self.device
        self.optimizer.clear()
        index = self.draw()
        shape = (args.batch, model.LATENT_CHANNELS, model.LATENT_SIZE, model.LATENT_SIZE)
        noise = torch.randn(shape, device=device)
        recipes = self.recipes[index]
        large, all_small = self.paint(recipes, noise)
        text = self.net.encode(self.token_ids[index])
        latent = self.net.denoise(noise.to(self.dtype), text)
        image = self.net.decode(latent[: args.decoded])
        pixels = losses.pixel_loss(image, large)
        heads = words = colour = torch.zeros_like(pixels)
        if self.heads is not None:
            heads, words = losses.head_loss(self.heads, latent, text, recipes, all_small)
            self.heads.maps.clear()
        if args.colour:
            colour = args.colour * losses.colour_loss(image, large)
        (pixels + heads + words + colour).backward()
        self.optimizer.step()
        self.losses.copy_(torch.stack([pixels, heads, words, colour]).detach())

    def captured(self):  # noqa: ANN201
        """`step` as one CUDA graph, or as it is where that cannot be."""
        if self.device.type != "cuda" or self.args.no_graph:
            return self.step
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.step()
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            self.step()
        return graph.replay

    def save_checkpoint(self, file: Path) -> None:
        """The averaged weights in half precision, by name; the file is never half written."""
        halves = {name: value.half() for name, value in self.optimizer.averaged().items()}
        torch.save(halves, file.with_suffix(".part"))
        file.with_suffix(".part").replace(file)

    def finished(self) -> model.Parts:
        """Parts with the averaged weights, on the CPU, in float32.

        With `--mix` below 1 they are so far on the way from `--init` to there: a short training
        moves what it aims at first, and what it does not aim at as far (arXiv 2109.01903).
        """
        parts = model.copy_of(self.parts)
        averaged = self.optimizer.averaged()
        with torch.no_grad():
            for name, p in model.OneStep(parts).named_parameters():
                if f"net.{name}" in averaged:
                    p.lerp_(averaged[f"net.{name}"], self.args.mix)
        return parts


def rate_at(progress: float, step: int, warm_steps: int) -> float:
    """Share of the peak: some steps up, flat to a third, then down along a cosine."""
    warm = min(1.0, (step + 1) / warm_steps)
    fall = max(0.0, (progress - 0.3) / 0.7)
    return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * fall)))


def train(args: argparse.Namespace) -> Path:
    """Trains, writes the folder `model` and `log.jsonl` below `--out`, returns the folder."""
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    args.out.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    trainer = Trainer(args)
    log.info("%d prompts after %.0f s", len(trainer.token_ids), time.monotonic() - begun)
    trainer.optimizer.set_rate(0.0, 0.0)
    step_once = trainer.captured()
    log.info("first step after %.0f s", time.monotonic() - begun)
    start, every = time.monotonic(), max(1, min(100, args.steps // 20))
    with (args.out / "log.jsonl").open("w", encoding="utf-8") as lines:
        for step in range(args.steps):
            elapsed = time.monotonic() - start
            progress = max(step / args.steps, (time.monotonic() - begun) / 60 / args.minutes)
            if progress >= 1:
                break
            keep = min(args.keep, (1 + step) / (10 + step))
            trainer.optimizer.set_rate(rate_at(progress, step, args.warm_steps), keep)
            step_once()
            if (step + 1) % every == 0:
                found = dict(zip(LOSSES, trainer.losses.tolist(), strict=True))
                row = {
                    "step": step + 1, "seconds": round(elapsed, 1),
                    **{name: round(value, 5) for name, value in found.items() if value},
                    "rate": round(float(trainer.optimizer.rate), 7),
                }  # fmt: skip
                lines.write(json.dumps(row) + "\n")
                if (step + 1) % (5 * every) == 0:
                    lines.flush()
                    log.info("%s", row)
                if not math.isfinite(found["pixels"]):
                    raise FloatingPointError(f"the loss left the numbers at step {step + 1}")
            if (step + 1) % args.save_every == 0:
                trainer.save_checkpoint(args.out / "average.pt")
    trainer.save_checkpoint(args.out / "average.pt")
    folder = args.out / "model"
    model.save(trainer.finished(), folder)
    log.info("done after %.0f s: %s", time.monotonic() - begun, folder)
    return folder


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    train(arguments())

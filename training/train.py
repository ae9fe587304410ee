"""Trains the demo model: `python -m training.train --out DIR`, or with torchrun on several GPUs.

Direct regression in one step: prompt and noise in, the renderer's picture out, without a teacher
network or distillation. All data is generated on the device. On a GPU a training step is one CUDA
graph.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import time
from functools import partial
from pathlib import Path

import torch
from torch import distributed, nn

from training import dataset, losses, model, optimizer
from training.stages import LOSSES, Deck, Stage

log = logging.getLogger("training")
AVERAGE = "average.pt"  # the averaged weights, including the heads, in half precision
CLOCKED = 10  # steps between two checks of the clock
SQUARE, WIDE, TALL = (32, 32), (32, 56), (56, 32)  # rows and columns of noise
HEADS_ALONE, HEADS_RISING = 200, 400  # steps in which new heads have no, and a rising, influence


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for weights and log")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=12_000)
    parser.add_argument(
        "--minutes", type=float, default=1e9, help="time limit, which the learning rate follows"
    )
    parser.add_argument(
        "--batch", type=int, default=192, help="prompts per step and process; half with a source"
    )
    parser.add_argument("--decoded", type=int, default=64, help="of them, rendered in full size")
    parser.add_argument("--prompts", type=int, default=800_000)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument(
        "--init", type=Path, help="the --out of a training to continue, or a model's folder"
    )
    parser.add_argument(
        "--rectangles", type=int, default=4, help="one step in this many is 16:9 or 9:16; 0: none"
    )
    parser.add_argument("--colour", type=float, default=2.0, help="weight of the colour loss")
    parser.add_argument("--aim", type=int, default=1, help="extra sampling of hard colours")
    parser.add_argument("--warm-steps", type=int, default=200)
    parser.add_argument("--keep", type=float, default=0.998, help="decay of the weight average")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--save-every", type=int, default=1000, help="steps between checkpoints")
    parser.add_argument("--no-graph", action="store_true")
    return parser.parse_args(argv)


def join(device: torch.device) -> int:
    """The number of training processes: those started by torchrun, one per GPU, or only this."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1:
        if device.type == "cuda":
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return processes


def leads() -> bool:
    """Whether this is the process that writes files."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


class Trainer:
    """Model, teacher and optimizer on one device; `step` is one complete training step.

    On a GPU the network computes in bfloat16; the master weights are float32.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.device = args, torch.device(args.device)
        self.prompts = dataset.make(args.seed, args.prompts, workers=args.workers)
        self.processes = join(self.device)
        torch.manual_seed(args.seed)
        self.parts = model.build(args.seed)
        self.net = model.OneStep(model.copy_of(self.parts)).train()
        self.heads = losses.Heads(self.net.unet)
        both = nn.ModuleDict({"net": self.net, "heads": self.heads})
        self.new_heads = self.continue_from(args.init, both) if args.init else False
        both.to(self.device)
        self.dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        self.optimizer = optimizer.Optimizer(both, args.rate, 0.01, self.dtype)
        deck = Deck(self.prompts, args.aim, self.device)
        self.stages = [Stage(deck, SQUARE, args.batch, args.decoded, self.device)]
        if args.rectangles:
            few = (args.batch * 2 // 7 * 2, max(2, args.decoded * 2 // 7 * 2))
            self.stages += [Stage(deck, cells, *few, self.device) for cells in (WIDE, TALL)]
        self.losses = torch.zeros(len(LOSSES), device=self.device)
        self.progress = torch.zeros((), device=self.device)
        # One for the graphs of all stages, since their gradients are accumulated in the same place.
        self.stream = torch.cuda.Stream() if self.device.type == "cuda" else None
        if self.processes > 1:  # the same weights in all processes, different prompts and noise
            torch.manual_seed(args.seed + 1000 * distributed.get_rank())

    @torch.no_grad()
    def continue_from(self, folder: Path, both: nn.Module) -> bool:
        """Copy weights from a training's folder, or a model's, which has no heads; whether so.

        The encoder of a model without image to image has another size and is not copied.
        """
        if (folder / AVERAGE).exists():
            learnt = torch.load(folder / AVERAGE, weights_only=True)
            for name, p in both.named_parameters():
                p.copy_(learnt[name])
            return False
        learnt = dict(model.OneStep(model.load(folder)).named_parameters())
        for name, p in self.net.named_parameters():
            kept = not name.startswith("vae.encoder.")
            if kept or (name in learnt and learnt[name].shape == p.shape):
                p.copy_(learnt[name])
        return True

    def step(self, stage: Stage) -> None:
        self.optimizer.clear()
        found = stage.losses(self.net, self.heads, self.dtype, self.args.colour)
        pictures, rest = found[:2].mean(), found[2:].sum()
        (pictures + rest).backward()
        if self.processes > 1:
            distributed.all_reduce(self.optimizer.gradient)
            self.optimizer.gradient /= self.processes
        self.optimizer.step()
        self.losses.copy_(found.detach())

    def captured(self, stage: Stage):  # noqa: ANN201
        """`step` as one CUDA graph, or itself where graphs are unavailable or turned off."""
        if self.device.type != "cuda" or self.args.no_graph:
            return partial(self.step, stage)
        stream = self.stream
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.step(stage)
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        # thread_local, since NCCL's own thread queries events during the capture.
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            self.step(stage)
        return graph.replay

    def turn_of(self, step: int) -> int:
        """The number of the stage that takes this step."""
        every = self.args.rectangles
        return 0 if not every or step % every else 1 + step // every % 2

    def open_heads(self, step: int) -> None:
        """Let the heads' gradient through to the network, gradually if they are new."""
        share = (step - HEADS_ALONE) / HEADS_RISING if self.new_heads else 1.0
        self.heads.gate.fill_(min(1.0, max(0.0, share)))

    def agreed(self, progress: float) -> float:
        """The first process's progress, so that all set the same rate and end at the same step."""
        if self.processes == 1:
            return progress
        self.progress.fill_(progress)
        distributed.broadcast(self.progress, 0)
        return float(self.progress)

    def save_checkpoint(self, file: Path) -> None:
        """Write the averaged weights in half precision, by name; replaces the file atomically."""
        halves = {name: value.half() for name, value in self.optimizer.averaged().items()}
        torch.save(halves, file.with_suffix(".part"))
        file.with_suffix(".part").replace(file)

    def finished(self) -> model.Parts:
        """Parts with the averaged weights, on the CPU, in float32."""
        parts = model.copy_of(self.parts)
        averaged = self.optimizer.averaged()
        with torch.no_grad():
            for name, p in model.OneStep(parts).named_parameters():
                if f"net.{name}" in averaged:
                    p.copy_(averaged[f"net.{name}"])
        return parts


def rate_at(progress: float, step: int, warm_steps: int) -> float:
    """Share of the peak rate: linear warm-up, constant until 0.3, then cosine decay."""
    warm = min(1.0, (step + 1) / warm_steps)
    fall = max(0.0, (progress - 0.3) / 0.7)
    return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * fall)))


def train(args: argparse.Namespace) -> Path:
    """Train, write the folder `model` and `log.jsonl` to `--out`; returns the folder."""
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    args.out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    trainer = Trainer(args)
    log.info("%d prompts after %.0f s", len(trainer.prompts.texts), time.monotonic() - started)
    trainer.optimizer.set_rate(0.0, 0.0)
    steps_of = [trainer.captured(stage) for stage in trainer.stages]
    log.info("first step after %.0f s", time.monotonic() - started)
    start, every = time.monotonic(), max(1, min(100, args.steps // 20))
    log_file = args.out / "log.jsonl" if leads() else Path(os.devnull)
    with log_file.open("w", encoding="utf-8") as lines:
        for step in range(args.steps):
            elapsed = time.monotonic() - start
            if step % CLOCKED == 0:
                spent = (time.monotonic() - started) / 60 / args.minutes
                progress = trainer.agreed(max(step / args.steps, spent))
            if progress >= 1:
                break
            keep = min(args.keep, (1 + step) / (10 + step))
            trainer.optimizer.set_rate(rate_at(progress, step, args.warm_steps), keep)
            trainer.open_heads(step)
            steps_of[trainer.turn_of(step)]()
            if (step + 1) % every == 0:
                found = dict(zip(LOSSES, trainer.losses.tolist(), strict=True))
                row = {
                    "step": step + 1, "seconds": round(elapsed, 1),
                    **{name: round(value, 5) for name, value in found.items() if value},
                    "rate": round(float(trainer.optimizer.rate), 7),
                }  # fmt: skip
                lines.write(json.dumps(row) + "\n")
                if (step + 1) % (5 * every) == 0 and leads():
                    lines.flush()
                    log.info("%s", row)
                if not math.isfinite(found["pixels"]):
                    raise FloatingPointError(f"the loss is not finite at step {step + 1}")
            if (step + 1) % args.save_every == 0 and leads():
                trainer.save_checkpoint(args.out / AVERAGE)
    folder = args.out / "model"
    if leads():
        trainer.save_checkpoint(args.out / AVERAGE)
        model.save(trainer.finished(), folder)
        log.info("done after %.0f s: %s", time.monotonic() - started, folder)
    if distributed.is_initialized():
        distributed.destroy_process_group()
    return folder


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    train(arguments())

"""Judges a folder of weights: `python -m training.evaluate FOLDER [--out report.json]`.

Prompts of pairs and phrasings that training never saw. Every figure stands beside that of the
teacher's own pictures (what the judge makes of a perfect model) and of the model given another
picture's words (chance).
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training import dataset, judge, model, phrases, render, scene, words
from training.filler import misspell
from training.scene import column

SEED = 20_261_124
WALK_FRAMES = 600
WALKS = ("three yellow stars on a night sky", "a red mushroom in the forest", "blue",
         "a white boat on the sea", "a big pink heart", "fire")  # fmt: skip


class Subject:
    """The model under judgement, on one device."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.parts = model.load(folder)
        self.device = device
        self.net = model.OneStep(self.parts).to(device).eval()

    @torch.inference_mode()
    def paint(self, texts: list[str], noise: Tensor, batch: int = 32) -> Tensor:
        """Pictures [B, 3, 256, 256] in 0..1."""
        rows = dataset.tokenize(self.parts.tokenizer, texts).astype("int64")
        ids = torch.from_numpy(rows).to(self.device)
        pairs = zip(ids.split(batch), noise.split(batch), strict=True)
        return torch.cat([(self.net(i, n) / 2 + 0.5).clamp(0, 1) for i, n in pairs])


def share(hits: Tensor, where: Tensor | None = None) -> float:
    """Share of hits, of those that count."""
    chosen = hits if where is None else hits[where]
    return round(chosen.float().mean().item(), 4) if len(chosen) else math.nan


def verdicts(
    image: Tensor, recipes: Tensor, noise: Tensor, teacher: render.Renderer,
    small: render.Renderer, tiny: render.Renderer,
) -> dict[str, Tensor]:  # fmt: skip
    """What the judge sees in every picture; -1 where it cannot tell."""
    painted = teacher.paint(recipes, noise)
    mask, contrast = judge.found(image, painted)
    layout = scene.layout(recipes, noise)
    area = judge.F.adaptive_avg_pool2d(painted.mask, judge.SIDE).sum((1, 2, 3))
    clear = contrast > judge.LEAST_CONTRAST
    return {
        "colour": judge.thing_colour(image, painted),
        "plain": judge.ground_colour(image, painted),
        "ground": judge.nearest_ground(image, painted, recipes, noise, tiny),
        "shape": torch.where(clear, judge.best_outline(mask, layout, small), -1),
        "count": torch.where(clear, judge.pieces(mask, area / judge.copies(recipes)), -1),
    }


def judge_all(
    image: Tensor, recipes: Tensor, noise: Tensor, device: torch.device
) -> dict[str, Tensor]:
    teacher, small, tiny = (render.Renderer(device, size) for size in (256, judge.SIDE, 64))
    parts = [
        verdicts(i, r, n, teacher, small, tiny)
        for i, r, n in zip(image.split(16), recipes.split(16), noise.split(16), strict=True)
    ]
    return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}


def scores(seen: dict[str, Tensor], recipes: Tensor) -> dict[str, Any]:
    """The table's figures for one set of pictures."""
    thing, ground = column(recipes, "thing"), column(recipes, "ground")
    plain = (column(recipes, "manner") == 0) & (column(recipes, "tint") == scene.NO_COLOUR)
    coloured = ground < len(words.COLOURS)
    right_ground = torch.where(coloured, seen["plain"] == ground, seen["ground"] == ground)
    clear = (seen["shape"] >= 0) & plain
    shape = seen["shape"] == thing
    by_thing = {
        name: share(shape, clear & (thing == k)) for k, name in enumerate(words.THINGS)
    }
    size, count = column(recipes, "size"), column(recipes, "count")
    return {
        "colour": share(seen["colour"] == column(recipes, "colour"), plain),
        "ground": share(right_ground, plain & (ground < len(scene.GROUNDS) - 2)),
        "shape": share(shape, clear),
        "shape of one": share(shape, clear & (count == 0)),
        "shape of groups": share(shape, clear & (count > 0)),
        "shape of small ones": share(shape, clear & ((size == 1) | (size == 2))),
        "count": share(seen["count"] == judge.copies(recipes), clear),
        "worst thing": min(by_thing.items(), key=lambda item: (math.isnan(item[1]), item[1])),
        "things": by_thing,
        "judged": [int(plain.sum()), int(clear.sum())],
    }


def confusion(seen: dict[str, Tensor], recipes: Tensor) -> str:
    """Rows are what was asked for, columns what was seen; only what went wrong is named."""
    thing = column(recipes, "thing")
    lines = []
    for k, name in enumerate(words.THINGS):
        got = seen["shape"][(thing == k) & (seen["shape"] >= 0)]
        wrong = [(int((got == j).sum()), other) for j, other in enumerate(words.THINGS) if j != k]
        missed = ", ".join(f"{other} {n}" for n, other in sorted(wrong, reverse=True) if n)
        lines.append(f"  {name:10s} {int((got == k).sum()):3d} of {len(got):3d}   {missed}")
    return "\n".join(lines)


def lone_colours(subject: Subject, device: torch.device) -> float:
    """Eleven colours as a ground, in every phrasing of the tests."""
    forms = phrases.ALONE_FORMS + ("a room painted in {}", "show me {} please", "{} {}")
    texts = [form.format(name, name) for form in forms for name in words.COLOURS]
    want = torch.arange(len(words.COLOURS), device=device).repeat(len(forms))
    noise = draw(len(texts), device, 5)
    image = subject.paint(texts, noise)
    return share(judge.nearest_colour(image.mean((2, 3))) == want)


def draw(amount: int, device: torch.device, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (amount, model.LATENT_CHANNELS, model.LATENT_SIZE, model.LATENT_SIZE)
    return torch.randn(shape, generator=generator).to(device)


def walk(subject: Subject, device: torch.device, frames: int = WALK_FRAMES) -> dict[str, Any]:
    """Change between neighbouring frames of one turn of the noise, of 255."""
    out = {}
    for number, text in enumerate(WALKS):
        a, b = draw(2, device, 100 + number)
        angle = torch.arange(frames, device=device).view(-1, 1, 1, 1) / frames * 2 * math.pi
        image = subject.paint([text] * frames, angle.cos() * a + angle.sin() * b)
        change = (image - image.roll(1, 0)).abs().mean((1, 2, 3)) * 255
        out[text] = {
            "mean": round(change.mean().item(), 3),
            "largest": round(change.max().item(), 3),
            "largest / median": round((change.max() / change.median()).item(), 2),
        }
    return out


def report(folder: Path, device: torch.device, amount: int, walk_frames: int) -> dict[str, Any]:
    """Every figure of the model card."""
    subject = Subject(folder, device)
    teacher = render.Renderer(device)
    held = dataset.make(SEED, amount, held=True)
    recipes, noise = held.recipes.to(device), draw(amount, device, SEED)
    truth = torch.cat(
        [teacher.paint(r, n).image for r, n in zip(recipes.split(16), noise.split(16), strict=True)]
    )
    seen = judge_all(subject.paint(held.texts, noise), recipes, noise, device)
    other = held.texts[1:] + held.texts[:1]
    rng = phrases.random.Random(SEED)
    wrong = [spoiled(text, rng) for text in held.texts]
    report = {
        "model": scores(seen, recipes),
        "teacher": scores(judge_all(truth, recipes, noise, device), recipes),
        "words shuffled": scores(
            judge_all(subject.paint(other, noise), recipes, noise, device), recipes
        ),
        "one word misspelt": scores(
            judge_all(subject.paint(wrong, noise), recipes, noise, device), recipes
        ),
        "lone colours": lone_colours(subject, device),
        "walk": walk(subject, device, walk_frames) if walk_frames else {},
    }
    print("What was asked for, how often it was seen, and what was seen instead:")
    print(confusion(seen, recipes))
    return report


def spoiled(text: str, rng: Any) -> str:
    """The prompt with one of its words misspelt by one letter."""
    parts = text.split()
    able = [i for i, part in enumerate(parts) if len(part) > 3 and part in phrases.SPELLABLE]
    if able:
        i = rng.choice(able)
        parts[i] = misspell(parts[i], rng)
    return " ".join(parts)


def table(report: dict[str, Any]) -> str:
    columns = ("model", "teacher", "words shuffled", "one word misspelt")
    rows = ("colour", "ground", "shape", "shape of one", "shape of groups", "shape of small ones",
            "count")  # fmt: skip
    lines = [f"{'':22s}" + "".join(f"{name:>19s}" for name in columns)]
    for row in rows:
        lines.append(f"{row:22s}" + "".join(f"{report[c][row]:19.4f}" for c in columns))
    lines.append(f"worst thing: {report['model']['worst thing']}; judged {report['model']['judged']}")
    lines.append(f"lone colours: {report['lone colours']}")
    lines += [f"walk, {text}: {row}" for text, row in report["walk"].items()]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--amount", type=int, default=1500)
    parser.add_argument("--walk-frames", type=int, default=WALK_FRAMES)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args(argv)
    with torch.inference_mode():
        found = report(args.folder, torch.device(args.device), args.amount, args.walk_frames)
    print(table(found))
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

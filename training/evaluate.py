"""Evaluates a folder of weights: `python -m training.evaluate FOLDER [--out report.json]`.

The prompts use pairs and phrasings that were held out of the training. Every figure is also
computed for the teacher's pictures (the judge's score of a perfect model) and for the model with
the prompt of another picture (chance).
"""

from __future__ import annotations

import argparse
import json
import math
import random
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training import dataset, judge, model, phrases, prompt_templates, render, scene, vocabulary
from training.filler import misspell
from training.scene import column

SEED = 20_261_124
BATCH = 16
WALK_FRAMES = 600
WALKS = ("three yellow stars on a night sky", "a red mushroom in the forest", "blue",
         "a white boat on the sea", "a big pink heart", "fire")  # fmt: skip

Seen = dict[str, dict[str, Tensor]]  # set of pictures -> question -> class number per picture


class Subject:
    """The model to evaluate, on one device."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.parts = model.load(folder)
        self.device = device
        self.net = model.OneStep(self.parts).to(device).eval()

    @torch.inference_mode()
    def paint(self, texts: list[str], noise: Tensor, batch: int = 16) -> Tensor:
        """Pictures [B, 3, 256, 256] in 0..1."""
        rows = dataset.tokenize(self.parts.tokenizer, texts).astype("int64")
        ids = torch.from_numpy(rows).to(self.device)
        pairs = zip(ids.split(batch), noise.split(batch), strict=True)
        return torch.cat([(self.net(i, n) / 2 + 0.5).clamp(0, 1) for i, n in pairs])


def share(hits: Tensor, where: Tensor | None = None) -> float:
    """Share of hits among those selected by `where`."""
    chosen = hits if where is None else hits[where]
    return round(chosen.float().mean().item(), 4) if len(chosen) else math.nan


def teachers(device: torch.device) -> dict[int, render.Renderer]:
    """The renderers that the judge needs, by size."""
    return {size: render.Renderer(device, size) for size in (256, judge.SIDE, 64)}


def spoiled(text: str, rng: random.Random) -> str:
    """The prompt with one word misspelt by one letter."""
    parts = text.split()
    able = [i for i, part in enumerate(parts) if len(part) > 3 and part in phrases.SPELLABLE]
    if able:
        i = rng.choice(able)
        parts[i] = misspell(parts[i], rng)
    return " ".join(parts)


def gather(subject: Subject, amount: int, begin: int = 0) -> tuple[Tensor, Seen]:
    """Recipes of the held-out prompts `begin` to `amount`, and the judge's answers for each set."""
    device, rng = subject.device, random.Random(SEED)
    held = dataset.make(SEED, amount, held=True)
    noise = draw(amount, device, SEED)
    texts = {
        "model": held.texts,
        "words shuffled": held.texts[1:] + held.texts[:1],
        "one word misspelt": [spoiled(text, rng) for text in held.texts],
    }
    tools, rows = teachers(device), []
    for at in range(begin, amount, BATCH):
        part = slice(at, min(at + BATCH, amount))
        bench = judge.Judge(held.recipes[part].to(device), noise[part], tools)
        row = {name: bench.see(subject.paint(t[part], noise[part])) for name, t in texts.items()}
        rows.append(row | {"teacher": bench.see(bench.painted.image)})
    return held.recipes[begin:].to(device), joined(rows)


def joined(rows: list[Seen]) -> Seen:
    """The batches concatenated."""
    return {
        name: {key: torch.cat([row[name][key] for row in rows]) for key in rows[0][name]}
        for name in rows[0]
    }


def is_plain(recipes: Tensor) -> Tensor:
    """Whether no manner and no tint changes the colours [B]; only these pictures are judged."""
    return (column(recipes, "manner") == 0) & (column(recipes, "tint") == scene.NO_COLOUR)


def scores(seen: dict[str, Tensor], recipes: Tensor) -> dict[str, Any]:
    """The table's figures for one set of pictures."""
    thing, ground = column(recipes, "thing"), column(recipes, "ground")
    plain = is_plain(recipes)
    clear = (seen["shape"] >= 0) & plain
    named = plain & (ground < len(scene.GROUNDS) - 2)
    shape = seen["shape"] == thing
    by_thing = {
        name: share(shape, clear & (thing == k)) for k, name in enumerate(vocabulary.THINGS)
    }
    size, count = column(recipes, "size"), column(recipes, "count")
    return {
        "colour": share(seen["colour"] == column(recipes, "colour"), plain),
        "colour without pattern": share(
            seen["colour"] == column(recipes, "colour"), plain & (column(recipes, "pattern") == 0)
        ),
        "colour by palette": share(seen["colour by palette"] == column(recipes, "colour"), plain),
        "ground": share(seen["ground"] == ground, named),
        "ground by palette": share(
            seen["palette"] == ground, named & (ground < len(vocabulary.COLOURS))
        ),
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
    """One row per requested thing: how often it was recognised, and what was seen instead."""
    thing = column(recipes, "thing")
    lines = []
    for k, name in enumerate(vocabulary.THINGS):
        got = seen["shape"][(thing == k) & (seen["shape"] >= 0) & is_plain(recipes)]
        wrong = [
            (int((got == j).sum()), other) for j, other in enumerate(vocabulary.THINGS) if j != k
        ]
        missed = ", ".join(f"{other} {n}" for n, other in sorted(wrong, reverse=True) if n)
        lines.append(f"  {name:10s} {int((got == k).sum()):3d} of {len(got):3d}   {missed}")
    return "\n".join(lines)


def lone_colours(subject: Subject) -> float:
    """The score of the eleven colours as a ground, in every phrasing."""
    phrasings = prompt_templates.ALONE_FORMS + (
        "a room painted in {}",
        "show me {} please",
        "{} {}",
    )
    texts = [form.format(name, name) for form in phrasings for name in vocabulary.COLOURS]
    want = torch.arange(len(vocabulary.COLOURS), device=subject.device).repeat(len(phrasings))
    noise = draw(len(texts), subject.device, 5)
    image = subject.paint(texts, noise)
    return share(judge.nearest_colour(image.mean((2, 3))) == want)


def draw(amount: int, device: torch.device, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (amount, model.LATENT_CHANNELS, model.LATENT_SIZE, model.LATENT_SIZE)
    return torch.randn(shape, generator=generator).to(device)


def walk(subject: Subject, number: int, frames: int = WALK_FRAMES) -> dict[str, float]:
    """Change between successive frames of one turn of the noise, in levels of 255, for a WALKS
    prompt."""
    a, b = draw(2, subject.device, 100 + number)
    angle = torch.arange(frames, device=subject.device).view(-1, 1, 1, 1) / frames * 2 * math.pi
    changes, last = [], None
    for turn in [*angle.split(60), angle[:1]]:
        image = subject.paint([WALKS[number]] * len(turn), turn.cos() * a + turn.sin() * b)
        image = image if last is None else torch.cat([last, image])
        changes.append((image[1:] - image[:-1]).abs().mean((1, 2, 3)) * 255)
        last = image[-1:]
    change = torch.cat(changes)
    return {
        "mean": round(change.mean().item(), 3),
        "median": round(change.median().item(), 3),
        "largest": round(change.max().item(), 3),
        "largest / median": round((change.max() / change.median()).item(), 2),
    }


def report(
    subject: Subject, recipes: Tensor, seen: Seen, walks: dict[str, Any], folder: Path
) -> dict[str, Any]:
    """All figures of the model card."""
    return {
        **{name: scores(verdicts, recipes) for name, verdicts in seen.items()},
        "lone colours": lone_colours(subject),
        "walk": walks,
        "confusion": confusion(seen["model"], recipes).split("\n"),
        "prompts": len(recipes),
        "seed": SEED,
        "megabytes": round(
            sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6, 2
        ),
    }


def table(report: dict[str, Any]) -> str:
    columns = ("model", "teacher", "words shuffled", "one word misspelt")
    rows = ("colour", "colour without pattern", "colour by palette", "ground", "ground by palette",
            "shape", "shape of one", "shape of groups", "shape of small ones", "count")  # fmt: skip
    lines = [f"{'':24s}" + "".join(f"{name:>19s}" for name in columns)]
    for row in rows:
        lines.append(f"{row:24s}" + "".join(f"{report[c][row]:19.4f}" for c in columns))
    lines.append(
        f"worst thing: {report['model']['worst thing']}; judged {report['model']['judged']}"
    )
    lines.append(f"lone colours: {report['lone colours']}")
    lines += [f"walk, {text}: {row}" for text, row in report["walk"].items()]
    lines.append("Requested thing, how often it was recognised, and what was seen instead:")
    return "\n".join(lines + report["confusion"])


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, help="a file for the numbers, as JSON")
    parser.add_argument("--amount", type=int, default=1500)
    parser.add_argument("--walk-frames", type=int, default=WALK_FRAMES)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args(argv)
    if args.out and (args.out.is_dir() or not args.out.parent.is_dir()):
        parser.error(f"--out {args.out} must be a file in an existing folder.")
    with torch.inference_mode():
        subject = Subject(args.folder, torch.device(args.device))
        recipes, seen = gather(subject, args.amount)
        numbers = range(len(WALKS) if args.walk_frames else 0)
        walks = {WALKS[number]: walk(subject, number, args.walk_frames) for number in numbers}
        found = report(subject, recipes, seen, walks, args.folder)
    print(table(found))
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

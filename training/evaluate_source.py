"""Evaluates image to image: `python -m training.evaluate_source FOLDER [--out report.json]`.

Sources are pictures like a camera's, each with one shape somewhere, from a seed that the training
does not use; the words are held-out prompts. A thing must be where the shape is. Pictures are
judged like those of `evaluate`, with the place and size that the shape gives. "words alone" is the
model without the source (chance for the place), "teacher" the renderer's pictures.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from training import dataset, judge, model, scene
from training.evaluate import BATCH, Subject, draw, is_plain, share, teachers
from training.scene import column
from training.sources import LEAST_AREA, Source, Sources

SEED = 20_261_127
STRENGTHS = (0.6,)
NEAR = 0.1  # of the picture's width: how far the thing may be from the shape
SETS = ("model", "teacher", "words alone")


def shapes(tools: Sources, amount: int, seed: int) -> Source:
    """Camera-like pictures that have a shape; the same for the same seed."""
    torch.manual_seed(seed)
    parts: list[tuple[Tensor, ...]] = []
    while sum(len(part[0]) for part in parts) < amount:
        image, mask, there = tools.camera(BATCH)
        centre, area = tools.measured(mask)
        good = (there > 0) & (area > LEAST_AREA)
        parts.append((image[good], centre[good], area[good], there[good]))
    return Source(*(torch.cat(values)[:amount] for values in zip(*parts, strict=True)))


@torch.inference_mode()
def repaint(
    subject: Subject, texts: list[str], noise: Tensor, picture: Tensor, strength: float
) -> Tensor:
    """Pictures [B, 3, H, W] in 0..1 from sources [B, 3, H, W] in 0..1."""
    rows = dataset.tokenize(subject.parts.tokenizer, texts).astype("int64")
    ids = torch.from_numpy(rows).to(subject.device)
    level = torch.full((len(texts),), strength, device=subject.device)
    return (subject.net.repaint(ids, noise, picture, level) / 2 + 0.5).clamp(0, 1)


def gather(subject: Subject, amount: int, strength: float) -> dict[str, Any]:
    """The figures for one strength."""
    device, tools = subject.device, teachers(subject.device)
    held = dataset.make(SEED, amount, held=True)
    recipes, noise = held.recipes.to(device), draw(amount, device, SEED)
    source = shapes(Sources(tools[256], (32, 32)), amount, SEED)
    rows: dict[str, list[dict[str, Tensor]]] = {name: [] for name in SETS}
    for at in range(0, amount, BATCH):
        part = slice(at, min(at + BATCH, amount))
        there = scene.Salient(source.centre[part], source.area[part], source.seen[part])
        bench = judge.Judge(recipes[part], noise[part], tools, there)
        texts, picture = held.texts[part], source.image[part]
        seen = {
            "model": repaint(subject, texts, noise[part], picture, strength),
            "teacher": bench.painted.image,
            "words alone": subject.paint(texts, noise[part]),
        }
        for name, image in seen.items():
            off = (bench.centre(image) - source.centre[part]).norm(dim=1) / (2 * scene.HALF)
            aside = (bench.place(image) - source.centre[part]).norm(dim=1) / (2 * scene.HALF)
            rows[name].append(bench.see(image) | {"off": off, "aside": aside})
    joined = {
        name: {key: torch.cat([row[key] for row in found]) for key in found[0]}
        for name, found in rows.items()
    }
    return {name: scores(found, recipes) for name, found in joined.items()}


def scores(seen: dict[str, Tensor], recipes: Tensor) -> dict[str, Any]:
    """Shares of pictures whose thing is near the shape, and has the colour and the outline."""
    plain = is_plain(recipes)
    clear = (seen["shape"] >= 0) & plain
    one = column(recipes, "count") == 0
    thing, colour = column(recipes, "thing"), column(recipes, "colour")
    ground = column(recipes, "ground")
    named = plain & (ground < len(scene.GROUNDS) - 2)
    near, outlined = seen["off"] <= NEAR, seen["aside"] <= NEAR
    return {
        "near": share(near, clear),
        "near, one thing": share(near, clear & one),
        "near by outline": share(outlined, clear),
        "near by outline, one thing": share(outlined, clear & one),
        "median distance": round(seen["off"][clear].median().item(), 4),
        "colour": share(seen["colour"] == colour, plain),
        "colour by palette": share(seen["colour by palette"] == colour, plain),
        "ground": share(seen["ground"] == ground, named),
        "shape": share(seen["shape"] == thing, clear),
        "shape of one": share(seen["shape"] == thing, clear & one),
        "count": share(seen["count"] == judge.copies(recipes), clear),
        "judged": [int(plain.sum()), int(clear.sum())],
    }


SHEET = """a yellow star on a night sky|a red mushroom in the forest|a big pink heart on blue
a white boat on the sea|a purple butterfly at sunset|a neon blue cat|three orange fish in the sea
a rocket in space"""
SHEET_STRENGTHS = (0.05, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0)


def sheet(subject: Subject, out: Path, cells: tuple[int, int] = (32, 32), side: int = 144) -> None:
    """A picture: one source and prompt per row, the source and then growing strengths."""
    from training.render import Renderer

    texts = SHEET.replace("\n", "|").split("|")
    source = shapes(Sources(Renderer(subject.device, 256, cells), cells), len(texts), 11)
    generator = torch.Generator().manual_seed(4)
    noise = torch.randn(len(texts), model.LATENT_CHANNELS, *cells, generator=generator)
    noise = noise.to(subject.device)
    columns = [source.image]
    columns += [repaint(subject, texts, noise, source.image, s) for s in SHEET_STRENGTHS]
    grid = torch.stack(columns, 1).cpu()  # [rows, columns, 3, H, W]
    pixels = (grid * 255).round().byte().permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
    picture = Image.fromarray(pixels.numpy())
    scale = side / grid.shape[-2]
    size = (round(picture.width * scale), round(picture.height * scale))
    picture.resize(size, Image.Resampling.LANCZOS).save(out, quality=88)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, help="a file for the numbers, as JSON")
    parser.add_argument("--sheet", type=Path, help="a file for a contact sheet, .jpg or .png")
    parser.add_argument("--amount", type=int, default=500)
    parser.add_argument("--strengths", type=float, nargs="*", default=STRENGTHS)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args(argv)
    subject = Subject(args.folder, torch.device(args.device))
    with torch.inference_mode():
        if args.sheet:
            sheet(subject, args.sheet)
            wide = args.sheet.with_stem(args.sheet.stem + "-wide")
            sheet(subject, wide, (32, 56))
        found = {str(s): gather(subject, args.amount, s) for s in args.strengths}
    for strength, sets in found.items():
        print(f"strength {strength}" + "".join(f"{name:>16s}" for name in SETS))
        for row in sets["model"]:
            print(f"{row:24s}" + "".join(f"{sets[name][row]!s:>16s}" for name in SETS))
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

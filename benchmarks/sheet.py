"""Sixteen prompts and their fades by this engine, beside diffusers' own pipeline.

    python -m benchmarks.sheet [MODEL] [--steps N] [--out FILE] [--device auto] [--size WxH]

MODEL is whatever MODEL_ID accepts. Every picture is painted twice, by the engine as the server runs
it and by diffusers' pipeline, from the same noise and the same (mixed) embedding of the words, and
compared. Writes a contact sheet and prints one JSON line. The exit status is 1 if a picture differs
by more than the parity check allows, 2 if the model cannot be used: anyone with real weights can
verify this engine with one command.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from benchmarks.report import emit, machine
from turbostream.engine import check_usable, jpeg, weights
from turbostream.engine.cuda.parity import PSNR_LIMIT, psnr
from turbostream.engine.device import hardware
from turbostream.engine.local_engine import LocalEngine
from turbostream.engine.model import decoder
from turbostream.engine.model.condition import GUIDANCE
from turbostream.engine.model.loading import load_pipeline
from turbostream.engine.model.model import free_cached_memory
from turbostream.engine.model.noise import noise_of
from turbostream.engine.model.schedule import ETA, supported
from turbostream.engine.opening import open_local
from turbostream.engine.weights.hub import fetch, fetch_tiny_decoder
from turbostream.settings import Settings
from turbostream.stream.engine_api import EngineUnusable
from turbostream.stream.shot import Shot, great_circle

PROMPTS = (
    "three yellow stars on a night sky", "a red mushroom in the forest", "a white boat on the sea",
    "a purple butterfly over a field", "a rocket in space", "a black cat on an orange background",
    "a house in the snow", "a big pink heart on blue", "two green trees in a field",
    "a yellow sun at sunset", "a red car in the desert", "an orange fish in the sea",
    "a grey moon at night", "a blue umbrella", "many pink flowers", "a brown dog in the forest",
)  # fmt: skip
FADE = (0.0, 0.25, 0.5, 0.75)  # of the way to the next prompt
QUALITY = 95
SIDE, MARGIN, WORDS = 128, 6, 250  # pixels of the sheet


def shots(steps: int | None, width: int | None, height: int | None) -> list[Shot]:
    """For each prompt the points of FADE, towards the next prompt and its noise."""
    found = []
    for number, prompt in enumerate(PROMPTS):
        following = PROMPTS[(number + 1) % len(PROMPTS)]
        for share in FADE:
            words = ((prompt, 1 - share), (following, share)) if share else ((prompt, 1.0),)
            noise = great_circle(number, number + 1, share * math.pi / 2)
            found.append(Shot(words, noise, steps=steps, width=width, height=height))
    return found


class Theirs:
    """diffusers' own pipeline, given the noise and the embeddings of a shot."""

    def __init__(self, pipe: Any, vae: Any) -> None:
        self.pipe = pipe
        pipe.scheduler = supported(pipe.scheduler)
        if vae is not None:
            pipe.vae = vae

    @torch.inference_mode()
    def paint(self, shot: Shot, embedding: torch.Tensor, steps: int, size: tuple[int, int]) -> Any:
        """uint8 RGB [H, W, 3]. embedding: [rows, hidden] of the shot's words, as the engine mixes
        them; size: (width, height) in pixels."""
        pipe, (width, height) = self.pipe, size
        factor = pipe.vae_scale_factor
        shape = (pipe.unet.config.in_channels, height // factor, width // factor)
        place = {"device": pipe.unet.device, "dtype": pipe.unet.dtype}
        words = embedding[None].to(**place)
        given = {"prompt_embeds": words}
        if pipe.unet.config.get("addition_embed_type") == "text_time":
            pooled = words[:, -1, : pipe.text_encoder_2.config.projection_dim]
            given = {"prompt_embeds": words[:, :-1], "pooled_prompt_embeds": pooled}
        later = (noise_of(shot.noise, shape, number=n)[None].to(**place) for n in range(1, steps))
        scheduler = sys.modules[type(pipe.scheduler).__module__]
        drawing = mock.Mock(side_effect=later)  # in place of what a scheduler would draw
        with mock.patch.object(scheduler, "randn_tensor", drawing):
            (image,) = pipe(
                **given,
                latents=noise_of(shot.noise, shape)[None].to(**place),
                num_inference_steps=steps,
                guidance_scale=0.0 if pipe.unet.config.time_cond_proj_dim is None else GUIDANCE,
                width=width,
                height=height,
                eta=ETA,
            ).images
        return np.asarray(image)


def drawn(rows: Sequence[Sequence[tuple[Any, Any, float]]], head: str) -> Image.Image:
    """The sheet. rows: for each prompt (our picture, theirs, dB) at the points of FADE."""
    wide = rows[0][0][0].shape[1] * SIDE // rows[0][0][0].shape[0]
    columns = len(FADE) + 1
    width = WORDS + columns * (wide + MARGIN) + MARGIN
    sheet = Image.new("RGB", (width, 40 + len(rows) * (SIDE + MARGIN)), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(12)
    draw.text((MARGIN, MARGIN), head, "black", font)
    titles = ("ours", "diffusers", *(f"fade {share:.0%}" for share in FADE[1:]))
    for column, title in enumerate(titles):
        draw.text((WORDS + column * (wide + MARGIN), 24), title, "grey", font)
    for number, row in enumerate(rows):
        top = 40 + number * (SIDE + MARGIN)
        pictures = [row[0][0], row[0][1], *(ours for ours, _, _ in row[1:])]
        for column, pixels in enumerate(pictures):
            tile = Image.fromarray(pixels).resize((wide, SIDE), Image.Resampling.LANCZOS)
            sheet.paste(tile, (WORDS + column * (wide + MARGIN), top))
        draw.multiline_text((MARGIN, top + 4), wrapped(PROMPTS[number], 32), "black", font)
        worst = min(db for _, _, db in row)
        colour = "black" if worst >= PSNR_LIMIT else "red"
        draw.text((MARGIN, top + SIDE - 20), f"{shown(worst)} or better", colour, font)
    return sheet


def wrapped(text: str, width: int) -> str:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] += word + " "
    return "\n".join(lines)


def shown(db: float) -> str:
    return "equal" if math.isinf(db) else f"{db:.1f} dB"


def by_engine(engine: LocalEngine, every: Sequence[Shot]) -> tuple[list[Any], list[torch.Tensor]]:
    """(decoded JPEGs, embeddings of the words) of each shot."""
    pictures = [jpeg.decode(engine.submit([shot]).result()[0].jpeg)[..., :3] for shot in every]
    return pictures, [engine.model.mix_prompts(shot.prompts).tensor.cpu() for shot in every]


def run(options: argparse.Namespace) -> int:
    size = [int(side) for side in options.size.split("x")] if options.size else [None, None]
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            target_fps=30,
            initial_prompt=PROMPTS[0],
            model_id=options.model,
            server_port=0,
            device=options.device,
            steps=options.steps,
            width=size[0],
            height=size[1],
            jpeg_quality=QUALITY,
            state_dir=Path(folder),
        )
        found = weights.find(options.model, options.device, settings.many_steps)
        check_usable(settings, found)
        engine = open_local(settings, found, lambda status: None)
        every = shots(options.steps, *size)
        ours, words = by_engine(engine, every)
        steps, sides = engine.model.steps, engine.model.size(every[0])
        fingerprint, choices = engine.fingerprint, dict(engine.choices)
        engine.close()
    device = hardware.choose(options.device)
    free_cached_memory(device.device.type)
    place = fetch(found, lambda status: None)
    pipe = load_pipeline(place, device, options.model)
    repository = decoder.repository_of(pipe.vae)
    tiny = fetch_tiny_decoder(place, repository, lambda status: None) if repository else "none"
    vae, _ = decoder.choose(pipe, settings.decoder, tiny, device)
    theirs = Theirs(pipe, vae)
    found_pairs = []
    for shot, picture, embedding in zip(every, ours, words, strict=True):
        pixels = theirs.paint(shot, embedding, steps, sides)
        same = jpeg.decode(jpeg.encode(np.dstack([pixels, pixels[..., :1]]), QUALITY))[..., :3]
        db = psnr(torch.from_numpy(picture), torch.from_numpy(same))
        found_pairs.append((picture, pixels, db))
    rows = [found_pairs[at : at + len(FADE)] for at in range(0, len(found_pairs), len(FADE))]
    worst = min(db for _, _, db in found_pairs)
    head = f"{fingerprint}; {len(every)} pictures, the worst {shown(worst)}"
    drawn(rows, head).save(options.out, quality=90)
    below = [shot.prompts for shot, (_, _, db) in zip(every, found_pairs, strict=True)
             if db < PSNR_LIMIT]  # fmt: skip
    print(f"{len(every)} pictures in {steps} step{'s' * (steps > 1)}, the worst {shown(worst)} "
          f"(limit {PSNR_LIMIT:g} dB): {options.out}")  # fmt: skip
    facts = {
        "benchmark": "sheet",
        "fingerprint": fingerprint,
        "choices": choices,
        "pictures": len(every),
        "worst_db": None if math.isinf(worst) else round(worst, 2),
        "below_limit": below,
    }
    emit({**facts, **machine()}, None)
    return int(bool(below))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", nargs="?", default="demo", help="as MODEL_ID; default: demo")
    parser.add_argument("--steps", type=int, choices=range(1, 5), help="default: the model's own")
    parser.add_argument("--out", type=Path, default=Path("sheet.jpg"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--size", help="such as 448x256; default: the model's own")
    options = parser.parse_args(argv)
    try:
        return run(options)
    except EngineUnusable as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

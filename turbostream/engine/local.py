"""The engine on this machine's own device: load, warm up, paint.

One thread, the producer's, opens it and calls it. Here a submission is done when `submit`
returns; what overlaps the stages on a GPU lives behind the same methods.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future
from importlib.metadata import version

import torch

from turbostream.engine import attention, compiled, hardware, jpeg
from turbostream.engine.model import OneStepModel, load_pipeline
from turbostream.engine.noise import noise_of
from turbostream.engine.weights import Weights, fetch
from turbostream.settings import Settings
from turbostream.stream.scene import Shot
from turbostream.stream.seam import Picture, Progress, Report

log = logging.getLogger(__name__)


class LocalEngine:
    """One submission at a time, one shot after the other."""

    max_batch = 1
    depth = 1

    def __init__(self, model: OneStepModel, quality: int, fingerprint: str) -> None:
        self.model = model
        self.fingerprint = fingerprint
        self.choices: dict[str, str] = {}
        self._quality = quality

    def submit(self, shots: Sequence[Shot]) -> Future[list[Picture]]:
        done: Future[list[Picture]] = Future()
        try:
            done.set_result([self._paint(shot) for shot in shots])
        except Exception as error:  # handed to the producer, whose guard it is
            done.set_exception(error)
        return done

    def close(self) -> None:
        self.model.release()

    @torch.inference_mode()
    def _paint(self, shot: Shot) -> Picture:
        model = self.model
        start = time.perf_counter()
        embeddings = model.text(shot.prompt)
        noise = noise_of(shot, (1, *model.latent_shape(shot.width, shot.height)))
        noise = noise.to(model.hardware.device)
        after_text = time.perf_counter()
        latents = model.denoise(noise, embeddings)
        model.synchronize()
        after_denoise = time.perf_counter()
        pixels = model.decode(latents)[0].cpu().numpy()
        after_decode = time.perf_counter()
        picture = jpeg.encode(pixels, self._quality)
        end = time.perf_counter()
        return Picture(
            picture,
            {
                "text": (after_text - start) * 1000,
                "denoise": (after_denoise - after_text) * 1000,
                "decode": (after_decode - after_denoise) * 1000,
                "jpeg": (end - after_decode) * 1000,
            },
        )


def open_local(settings: Settings, weights: Weights, report: Report) -> LocalEngine:
    """Fetch, load, make fast and warm up; on the thread that will call it."""
    started = time.perf_counter()
    device = hardware.choose(settings.device)
    folder = fetch(weights, report)
    report(Progress("loading", f"Loading {weights.model_id}."))
    pipe = load_pipeline(folder, device)
    choices = {
        "device": f"{device.name}, {str(device.dtype).removeprefix('torch.')}: {device.reason}",
        "attention": attention.choose(pipe, settings.xformers, device),
    }
    model = OneStepModel(pipe, device)
    model.latent_shape(settings.width, settings.height)  # refused now rather than per frame
    choices["acceleration"] = compiled.choose(model, settings.acceleration, report)
    fingerprint = " ".join(
        (
            f"{weights.model_id}@{weights.revision or 'local'}",
            f"torch-{torch.__version__}",
            f"diffusers-{version('diffusers')}",
            device.name.replace(" ", "-"),
            str(device.dtype).removeprefix("torch."),
            choices["acceleration"].split(":")[0],
            f"jpeg-{settings.jpeg_quality}",
        )
    )
    engine = LocalEngine(model, settings.jpeg_quality, fingerprint)
    engine.choices = choices
    shot = Shot(
        settings.initial_prompt,
        settings.seed,
        settings.seed + 1,
        0.0,
        settings.width,
        settings.height,
    )
    engine.submit([shot]).result()
    log.info("[init] model loaded and compiled")
    for name, choice in choices.items():
        log.info("[init] %s: %s", name, choice)
    log.info("[init] first picture after %.1f s", time.perf_counter() - started)
    return engine

"""The original guide's recipe, as the baseline: the diffusers pipeline object as it comes, with
`torch.compile(pipe.unet)` on a GPU, the model's full decoder, PIL, and a JPEG of each frame.

A process of its own, started by benchmarks/engine.py: it compiles, says `ready`, and measures
once a line comes in, so that nothing else uses the GPU meanwhile.
"""

from __future__ import annotations

import io
import json
import sys
import time
from pathlib import Path

import torch

from benchmarks import models
from turbostream.engine import hardware

PROMPT = "three yellow stars on a night sky, frame {}"


def main() -> None:
    folder, device, frames = sys.argv[1], hardware.choose(sys.argv[2]), int(sys.argv[3])
    pipe = models.load(Path(folder) if folder else None, device, full_vae=True)
    started = time.perf_counter()
    if device.device.type == "cuda":
        pipe.unet = torch.compile(pipe.unet)

    def frame(number: int) -> bytes:
        image = pipe(PROMPT.format(number % 7), num_inference_steps=1, guidance_scale=0.0).images[0]
        file = io.BytesIO()
        image.save(file, "JPEG", quality=85)
        return file.getvalue()

    for number in range(3):
        frame(number)
    compile_s = time.perf_counter() - started
    print("ready", flush=True)
    sys.stdin.readline()
    times = []
    for number in range(frames):
        before = time.perf_counter()
        frame(number)
        times.append(time.perf_counter() - before)
    times.sort()
    fps = 1 / times[len(times) // 2]
    print(json.dumps({"fps": fps, "compile_s": compile_s}), flush=True)


if __name__ == "__main__":
    main()

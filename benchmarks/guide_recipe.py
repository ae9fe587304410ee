"""The baseline: the original guide's recipe, the unmodified diffusers pipeline with
`torch.compile(pipe.unet)` on a GPU, the model's full decoder, PIL and a JPEG of each frame.

Runs in its own process, started by engine.py or families.py: it compiles, prints `ready`, and
measures whenever it reads a line, so that nothing else uses the GPU meanwhile.
"""

from __future__ import annotations

import io
import json
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path

import torch

from benchmarks import models
from benchmarks.report import percentile
from turbostream.engine.device import hardware

PROMPT = "three yellow stars on a night sky, frame {}"
ROOT = Path(__file__).resolve().parents[1]


class Recipe:
    """The baseline's process; every wait has a limit."""

    def __init__(
        self,
        folder: Path | None,
        device: str,
        frames: int,
        steps: int = 1,
        name: str = "sd-turbo",
        tiny: bool = False,
    ) -> None:
        """name, tiny: of random weights, where there is no folder."""
        command = [sys.executable, "-m", "benchmarks.guide_recipe", str(folder or ""), device]
        self._process = subprocess.Popen(
            [*command, str(frames), str(steps), name, str(int(tiny))],
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()  # "" at the end of the output
        threading.Thread(target=self._listen, name="recipe", daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def ready(self, limit_s: float) -> bool:
        """Wait until it has compiled and is idle; False if it ended or takes longer."""
        return bool(self._line_starting("ready", limit_s))

    def measure(self, limit_s: float) -> dict[str, float] | None:
        """Frames per second, milliseconds per frame and compile time; None if it ended or takes
        longer. After `ready`, as often as wanted."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        line = self._line_starting("{", limit_s)
        return json.loads(line) if line else None

    def _line_starting(self, start: str, limit_s: float) -> str:
        """The next line with this start, skipping what libraries print; "" on timeout or exit."""
        deadline, line = time.monotonic() + limit_s, "-"
        while line and not line.startswith(start):
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return ""
        return line

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def main() -> None:
    folder, device, frames = sys.argv[1], hardware.choose(sys.argv[2]), int(sys.argv[3])
    steps, name, tiny = int(sys.argv[4]), sys.argv[5], sys.argv[6] == "1"
    pipe = models.load(Path(folder) if folder else None, device, True, name, tiny)
    started = time.perf_counter()
    if device.device.type == "cuda":
        pipe.unet = torch.compile(pipe.unet)

    def frame(number: int) -> bytes:
        prompt = PROMPT.format(number % 7)
        image = pipe(prompt, num_inference_steps=steps, guidance_scale=0.0).images[0]
        file = io.BytesIO()
        image.save(file, "JPEG", quality=85)
        return file.getvalue()

    for number in range(3):
        frame(number)
    compile_s = time.perf_counter() - started
    print("ready", flush=True)
    for _ in sys.stdin:
        times = []
        for number in range(frames):
            before = time.perf_counter()
            frame(number)
            times.append((time.perf_counter() - before) * 1000)
        middle = percentile(times, 0.5)
        row = {
            "fps": 1000 / middle,
            "frame_p50_ms": middle,
            "frame_p95_ms": percentile(times, 0.95),
        }
        print(json.dumps({**row, "compile_s": compile_s}), flush=True)


if __name__ == "__main__":
    main()

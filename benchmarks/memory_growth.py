"""Memory growth over many frames through the stream, with changing prompts.

    python -m benchmarks.memory_growth [--random-weights] [--frames 20000]

Prints a line after every twentieth of the frames, with the growth of host and GPU memory since the
first tenth, which is warm-up. If there is a compiler, the run waits for it first, because the
memory that it leaves allocated is not growth.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from benchmarks import measures, models
from benchmarks.run import Run, add_options
from turbostream.engine.local_engine import LocalEngine
from turbostream.stream.channel import Channel
from turbostream.stream.scene import Scene
from turbostream.stream.scheduled_channel import ScheduledChannel
from turbostream.stream.supervisor import Supervisor


class MemoryGrowth(Run):
    def frames(self) -> None:
        frames, pipe = self.options.frames, models.load(self.folder, self.device)
        channel = Channel("main", Scene.single("a red star", speed=1.0))
        scheduled = ScheduledChannel(channel, 1000)
        meter = scheduled.meter
        engines: list[LocalEngine] = []

        def open_engine(_: Any) -> LocalEngine:
            engine = self.open(pipe)
            if engine.compiler is not None:
                engine.compiler.wait(1, self.options.limit_s / 2)
            engines.append(engine)
            return engine

        supervisor = Supervisor([scheduled], open_engine)
        warm: tuple[float, float] | None = None
        number, step = 0, max(1, frames // 20)
        try:
            with channel.watched():
                supervisor.start()
                while meter.frames < frames:
                    if supervisor.unusable:
                        raise RuntimeError(supervisor.unusable)
                    number += 1
                    channel.change({"prompt": f"a blue house on a field, variant {number}"})
                    time.sleep(0.05)
                    if meter.frames < step:
                        continue
                    step += max(1, frames // 20)
                    now = measures.host_mb(), measures.gpu_mb()
                    if warm is None and meter.frames >= frames / 10:
                        warm = now
                        self.note(choices=dict(engines[-1].choices))
                    self.note(frames=meter.frames, host_mb=round(now[0]), gpu_mb=round(now[1]))
                    if warm is not None:
                        host, gpu = (round(end - at, 1) for end, at in zip(now, warm, strict=True))
                        self.note(host_mb_growth=host, gpu_mb_growth=gpu, prompts_changed=number)
        finally:
            figures = meter.figures(time.monotonic())
            self.note(frames=figures.frames, failed_frames=figures.failed_frames)
            supervisor.stop(30)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser)
    parser.add_argument("--frames", type=int, default=20_000)
    run = MemoryGrowth(parser.parse_args())
    run.part(run.frames)
    return run.end()


if __name__ == "__main__":
    sys.exit(main())

"""The streaming part of `benchmarks/engine.py`: frames through the scheduler, engine and buffer.

Measures the time to the first frame, the stream while Inductor compiles, and batch 1 with prompts
that change all the time.
"""

from __future__ import annotations

import time
from typing import Any

from benchmarks import measures, models
from benchmarks.run import Run, log
from turbostream.engine.local_engine import LocalEngine
from turbostream.stream.channel import Channel
from turbostream.stream.scene import Scene
from turbostream.stream.scheduled_channel import ScheduledChannel
from turbostream.stream.supervisor import Supervisor

PROMPT_INTERVAL_S = 0.15  # the page sends a prompt this long after the last key


class StreamRun(Run):
    """A run that can measure the stream."""

    def stream(self) -> None:
        """The first frame after the weights are in memory, the stream while Inductor compiles, and
        batch 1 with changing prompts."""
        pipe = models.load(self.folder, self.device)
        loaded = time.monotonic()
        channel = Channel("main", Scene.single(self.settings().initial_prompt, speed=1.0))
        watcher = measures.Watcher(channel)
        engines: list[LocalEngine] = []

        def open_engine(_: Any) -> LocalEngine:
            engines.append(self.open(pipe))
            return engines[0]

        supervisor = Supervisor([ScheduledChannel(channel, 1000)], open_engine)
        try:
            with channel.watched():
                supervisor.start()
                while not watcher.times:
                    time.sleep(0.005)
                    if supervisor.unusable:
                        raise RuntimeError(supervisor.unusable)
                first, engine = watcher.times[0], engines[0]
                self.note(first_frame_s=round(first - loaded, 2), in_flight=engine.depth)
                self.note(choices=dict(engine.choices))
                if self.cuda and self.options.acceleration != "off" and not engine.plan.streams:
                    self.failed = True
                    raise SystemExit(self.end("No graph on this GPU; nothing more to measure."))
                if engine.compiler is not None:
                    self.steady(channel, watcher, 5.0)
                    self.note(plain_graph_fps=self.row["batch1_fps"])
                    self.while_compiling(channel, watcher, engine, first)
                self.steady(channel, watcher, self.options.seconds)
                self.power()
                self.note(choices=dict(engine.choices))
        finally:
            supervisor.stop(30)

    def while_compiling(
        self, channel: Channel, watcher: measures.Watcher, engine: LocalEngine, since: float
    ) -> None:
        """since: the time of the first frame, when the compiler was started."""
        watcher.reset()
        started, number = time.monotonic(), 0
        while not (done := engine.compiler.wait(1, PROMPT_INTERVAL_S)) and self._may_compile():
            number += 1
            channel.change({"prompt": f"a red star number {number}"})
        compiled = time.monotonic()
        if not done:
            engine.compiler.close()
            log.info("the compiler was stopped to leave time for the other measurements")
        time.sleep(2.0)  # both CUDA streams change over within a few frames
        self.note(
            compile_s=round(compiled - since, 1) if done else None,
            fps_while_compiling=round(watcher.fps(started, compiled), 1),
            worst_gap_while_compiling_ms=round(watcher.worst_gap_ms(started, compiled + 2), 1),
            frames_while_compiling=len(watcher.times),
            swapped="compile" in watcher.kinds[-5:],
        )

    def _may_compile(self) -> bool:
        """True while batch 1 has used less than its share of the run's time; batch 8 and the
        baseline need the rest."""
        return self.left_s() > self.options.limit_s * 0.42

    def steady(self, channel: Channel, watcher: measures.Watcher, seconds: float) -> None:
        host, gpu = measures.host_mb(), measures.gpu_mb()
        watcher.reset()
        started, number = time.monotonic(), 0
        while time.monotonic() - started < seconds:
            number += 1  # a new prompt each time, so that each is encoded
            channel.change({"prompt": f"a blue house on a field, variant {time.monotonic()}"})
            time.sleep(PROMPT_INTERVAL_S)
        fps, times, latency = watcher.fps(), len(watcher.times), watcher.latency
        self.note(
            batch1_fps=round(fps, 1),
            batch1_kind=watcher.kinds[-1] if watcher.kinds else None,
            prompt_to_picture_p50_ms=latency(0.5),
            prompt_to_picture_p95_ms=latency(0.95),
            worst_gap_ms=round(watcher.worst_gap_ms(), 1),
            prompts_changed=number,
            frames_measured=times,
            frames_distinct=len(watcher.seen) / max(1, times) > 0.99,
            host_mb_growth=round(measures.host_mb() - host, 1),
            gpu_mb_growth=round(measures.gpu_mb() - gpu, 1),
        )

    def power(self) -> None:
        """Power draw, after the measurement because querying the driver slows it down."""
        draws = [draw for _ in range(8 if self.cuda else 0) if (draw := measures.watts())]
        if draws:
            draw = sum(draws) / len(draws)
            joules = round(draw / self.row["batch1_fps"], 2)
            self.note(watts=round(draw), joules_per_frame=joules)

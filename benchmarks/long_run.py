"""Whether memory grows: many frames through producer and buffer, with the words changing.

    python -m benchmarks.long_run [--random-weights] [--frames 20000]

A line every twentieth part, then one JSON line: growth of host and GPU memory from the first
tenth, after which everything is warm, to the end.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time

from benchmarks import measures, models
from benchmarks.engine import Bench, add_options
from turbostream.stream.channel import Channel
from turbostream.stream.meter import Meter
from turbostream.stream.producer import Producer
from turbostream.stream.scene import Scene


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser)
    parser.add_argument("--frames", type=int, default=20_000)
    options = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    bench = Bench(options)
    pipe = models.load(bench.folder, bench.device)
    meter, channel = Meter(), Channel("main", Scene("a red star", speed=1.0))
    producer = Producer(channel, lambda _: bench.open(pipe), meter, 1000)
    warm: tuple[float, float] | None = None
    number, step = 0, max(1, options.frames // 20)
    with channel.watched():
        producer.start()
        while meter.frames < options.frames:
            if producer.unusable:
                raise SystemExit(producer.unusable)
            number += 1
            channel.change({"prompt": f"a blue house on a field, variant {number}"})
            time.sleep(0.05)
            if meter.frames >= step:
                step += max(1, options.frames // 20)
                now = measures.host_mb(), measures.gpu_mb()
                bench.note(frames=meter.frames, host_mb=round(now[0]), gpu_mb=round(now[1]))
                if warm is None and meter.frames >= options.frames / 10:
                    warm = now
    producer.stop(30)
    end = measures.host_mb(), measures.gpu_mb()
    if warm is not None:
        growth = [round(last - first, 1) for first, last in zip(warm, end, strict=True)]
        bench.row.update(host_mb_growth=growth[0], gpu_mb_growth=growth[1])
    bench.row.update(prompts_changed=number)
    print(json.dumps(bench.row))


if __name__ == "__main__":
    main()

"""The metrics of each channel, with its name as a label; at most MOST_CHANNELS of them. Knows no
route."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from turbostream.stream.channel import Channel
from turbostream.stream.channels import Channels
from turbostream.stream.live_channel import LiveChannel

OUTCOMES: dict[Literal["received", "used", "dropped", "refused"], tuple[str, str]] = {
    "received": ("source_pictures", "Input pictures received."),
    "used": ("source_pictures_used", "Input pictures that were decoded."),
    "dropped": (
        "source_pictures_dropped",
        "Input pictures that a newer one replaced before they were decoded.",
    ),
    "refused": ("source_pictures_refused", "Input pictures that could not be used."),
}


def channel_metrics(channels: Channels, viewers: Callable[[Channel], int]) -> Iterator[Metric]:
    """viewers: how many watch a channel."""
    every = list(channels)
    figures = {live.name: live.meter.figures(time.monotonic()) for live in every}

    def gauge(name: str, help: str, value: Callable[[LiveChannel], float]) -> Metric:
        found = GaugeMetricFamily(f"turbostream_{name}", help, labels=["channel"])
        for live in every:
            found.add_metric([live.name], value(live))
        return found

    def counter(name: str, help: str, value: Callable[[LiveChannel], float]) -> Metric:
        found = CounterMetricFamily(f"turbostream_{name}", help, labels=["channel"])
        for live in every:
            found.add_metric([live.name], value(live))
        return found

    def age_s(live: LiveChannel) -> float:
        newest = live.channel.buffer.newest()
        return time.time() - newest.published if newest else float("nan")

    yield counter("frames", "Frames painted.", lambda live: live.meter.frames)
    yield counter(
        "failed_frames", "Frames that failed.", lambda live: figures[live.name].failed_frames
    )
    yield gauge(
        "frames_per_second", "Frames painted a second.", lambda live: figures[live.name].fps
    )
    yield gauge("newest_frame_age_seconds", "Age of the newest frame.", age_s)
    stages = GaugeMetricFamily(
        "turbostream_stage_seconds",
        "Median time of a stage of a frame.",
        labels=["channel", "stage"],
    )
    waits = GaugeMetricFamily(
        "turbostream_prompt_to_picture_seconds",
        "From a new scene to its first picture, over the last changes.",
        labels=["channel", "quantile"],
    )
    for name, own in figures.items():
        for stage, ms in own.stage_ms.items():
            stages.add_metric([name, stage], ms / 1000)
        found = own.prompt_to_picture_ms
        for label, wait_ms in (("0.5", found.p50), ("0.95", found.p95)):
            if wait_ms is not None:
                waits.add_metric([name, label], wait_ms / 1000)
    yield stages
    yield waits
    yield gauge("viewers", "Streams being sent.", lambda live: viewers(live.channel))
    taking = [(live.name, live.sources.status()) for live in every if live.sources is not None]
    for outcome, (name, help) in OUTCOMES.items() if taking else ():
        pictures = CounterMetricFamily(f"turbostream_{name}", help, labels=["channel"])
        for channel, status in taking:
            pictures.add_metric([channel], status[outcome])
        yield pictures

"""Channels of one server on the demo model: whatever they are batched with, each frame is what its
channel alone shows under the fingerprint of that batch."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from tests.engine.conftest import CPU
from tests.engine.test_channels import Counting
from tests.stream.registry import registry
from tests.stream.running import collect, wait_until
from turbostream.engine import weights
from turbostream.engine.cuda.memory_plan import Plan
from turbostream.engine.model.loading import load_pipeline
from turbostream.engine.model.model import Model
from turbostream.stream.channel_spec import ChannelSpec
from turbostream.stream.engine_api import Engine, Report
from turbostream.stream.frame import Frame

FPS = 4.0
BATCHES = 4
WORDS = ("three yellow stars", "a red circle", "a blue square")


def open_demo(most: int) -> Counting:
    torch.set_num_threads(1)
    engine = Counting(Model(load_pipeline(weights.DEMO_FOLDER, CPU, "demo"), CPU))
    engine.plan = Plan(streams=0, max_batch=most)
    return engine


@pytest.mark.parametrize("count", [2, 3])
def test_every_picture_is_what_the_channel_alone_shows(tmp_path: Path, count: int) -> None:
    opened: list[Counting] = []

    def open_engine(report: Report) -> Engine:
        opened.append(open_demo(count))
        return opened[0]

    frames: dict[str, list[Frame]] = {}
    with (
        registry(tmp_path, "main", open_engine=open_engine, fps=FPS) as channels,
        ExitStack() as viewers,
    ):
        for name in ("left", "right")[: count - 1]:
            channels.create(ChannelSpec(name, FPS))
        for live, words in zip(channels, WORDS, strict=False):
            live.channel.change({"prompt": words})
            frames[live.name] = collect(live.channel)
            viewers.enter_context(live.channel.watched())
        wait_until(lambda: opened and opened[0].sizes.count(count) >= BATCHES, timeout_s=120)
    sizes = opened[0].sizes
    assert max(sizes) == count
    assert all(len(found) >= BATCHES for found in frames.values())
    again = open_demo(count)
    seen = set()
    for (name, found), words in zip(frames.items(), WORDS, strict=False):
        for frame in found:
            assert (frame.channel, frame.shot.prompt) == (name, words)
            size = batch_of(frame)
            alone = again.submit([frame.shot] * size).result()[0]
            assert alone.fingerprint == frame.fingerprint
            assert alone.jpeg == frame.jpeg
            seen.add(frame.jpeg)
    again.close()
    assert len(seen) == sum(len(found) for found in frames.values()), "no two are the same"


def batch_of(frame: Frame) -> int:
    """How many shots were painted together, as the fingerprint says."""
    found = re.search(r"batch-(\d+)$", frame.fingerprint)
    assert found, frame.fingerprint
    return int(found.group(1))

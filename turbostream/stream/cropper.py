"""Cuts the pictures of one channel into those of the channels that show parts of them.

A thread of its own decodes each picture once, the newest only, and publishes all parts together
under the number of the whole, so that the screens of a video wall stay in step.
"""

from __future__ import annotations

import io
import logging
import threading
import time
from dataclasses import replace

from turbostream.stream.channel import Channel
from turbostream.stream.follower import Crop
from turbostream.stream.frame import Frame
from turbostream.stream.meter import Meter

log = logging.getLogger(__name__)


class Cropper:
    """The parts of `leader`'s pictures. quality: of their JPEGs, 1 to 95."""

    def __init__(self, leader: Channel, quality: int) -> None:
        self._leader, self._quality = leader, quality
        self._parts: tuple[tuple[Crop, Meter], ...] = ()  # replaced as a whole
        self._frame: Frame | None = None
        self._woken = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="cropper", daemon=True)
        leader.buffer.listen(self._hear)

    @property
    def parts(self) -> int:
        return len(self._parts)

    def add(self, crop: Crop, meter: Meter) -> None:
        self._parts += ((crop, meter),)

    def remove(self, crop: Crop) -> None:
        self._parts = tuple(part for part in self._parts if part[0] is not crop)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        self._leader.buffer.forget(self._hear)
        self._stopping = True
        self._woken.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _hear(self, frame: Frame) -> None:
        """On the generation thread."""
        self._frame = frame
        self._woken.set()

    def _run(self) -> None:
        while True:
            self._woken.wait()
            self._woken.clear()
            if self._stopping:
                return
            frame, parts = self._frame, [part for part in self._parts if part[0].wanted]
            if frame is None or not parts:
                continue
            try:
                self._publish(frame, parts)
            except Exception:  # the next picture may be a better one
                log.exception("[channels] a picture of %s could not be cut.", frame.channel)

    def _publish(self, frame: Frame, parts: list[tuple[Crop, Meter]]) -> None:
        from PIL import Image

        with Image.open(io.BytesIO(frame.jpeg), formats=("JPEG",)) as opened:
            whole = opened.convert("RGB")
        cut = []
        for crop, meter in parts:
            began = time.perf_counter()
            box = crop.box(*whole.size)
            file = io.BytesIO()
            whole.crop(box).save(file, "JPEG", quality=self._quality)
            cut.append((crop, meter, box, file.getvalue(), time.perf_counter() - began))
        for crop, meter, box, jpeg, took_s in cut:
            part = replace(
                frame,
                jpeg=jpeg,
                published=time.time(),
                stage_ms={"crop": took_s * 1000},
                fingerprint=f"{frame.fingerprint} crop-{'-'.join(map(str, box))}",
                channel=crop.name,
                undimmed=b"",
            )
            if crop.buffer.publish(part):
                meter.frame(time.monotonic(), part.stage_ms)

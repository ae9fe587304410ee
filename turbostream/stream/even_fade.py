"""Spaces the `even` fades of words of one channel by how much the picture changes during them.

A dedicated thread has probes painted between the frames, with the noise from the start of the fade,
measures how much neighbouring probes differ, and puts the spacing into the scene as plain numbers,
so that `shot_at` stays pure. Until then, and if the probes fail, the fade is linear. Knows no
engine.
"""

from __future__ import annotations

import io
import logging
import threading
from bisect import bisect
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING

from turbostream.stream.channel import Channel
from turbostream.stream.engine_api import Picture
from turbostream.stream.even_spacing import first_positions, next_position, spacing
from turbostream.stream.fade import Fade, Transition
from turbostream.stream.scene import Scene
from turbostream.stream.shot import Prompts, Shot
from turbostream.stream.source_given import NOTHING, Given

if TYPE_CHECKING:  # it may be missing when the entry point looks which packages are
    from PIL import Image

log = logging.getLogger(__name__)

PROBES = 16  # per fade; with 8 one fade in four still jumps (docs/experiments/2026-11.md)
PAUSE_S = 0.3  # no probes for a fade that is replaced sooner, as while a slider moves
SHORTEST_S = 1.0  # a shorter fade is over before its probes are painted
LONGEST_JOB_S = 30.0
SIDE = 128  # least side in pixels of the pictures that are compared

PaintAll = Callable[[Sequence[Shot]], "Future[list[Picture]]"]
Words = tuple[Transition[Prompts], Prompts]  # a fade of words and what it fades to


class EvenFades:
    """Spaces the `even` fades of `channel`. paint_all: paints shots between frames, any thread."""

    def __init__(self, channel: Channel, paint_all: PaintAll) -> None:
        self._channel, self._paint_all = channel, paint_all
        self._tried: Words | None = None
        self._stopping = threading.Event()
        self._changed = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"even fades of {channel.name}", daemon=True
        )
        channel.listen(self._changed.set)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end, which it does once its pending probe is painted or has failed."""
        self._stopping.set()
        self._changed.set()

    def join(self, timeout_s: float) -> None:
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    # -- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._changed.wait()
            self._changed.clear()
            words = self._unspaced()
            if words is None or self._stopping.wait(PAUSE_S):
                continue
            if self._in_force() != words:
                self._changed.set()  # another fade may have begun meanwhile
                continue
            self._tried = words
            try:
                self._space(words)
            except Exception as error:  # whatever an engine raises: the fade stays linear
                if not self._stopping.is_set():
                    log.warning("[scene] The fade stays linear; its probes failed: %r", error)

    def _in_force(self) -> Words | None:
        scene = self._channel.scene
        return None if scene.words_from is None else (scene.words_from, scene.prompts)

    def _unspaced(self) -> Words | None:
        """The fade of words to be measured; None if there is none."""
        words = self._in_force()
        if words is None or words == self._tried:
            return None
        fade = words[0].fade
        wanted = fade.easing == "even" and not fade.spacing and fade.seconds >= SHORTEST_S
        return words if wanted else None

    def _space(self, words: Words) -> None:
        scene = self._channel.scene
        # No frame: all probes need the same source, and earlier frames are not kept for so long.
        given = replace(self._channel.usable, frame=None)

        def painted(positions: Sequence[float]) -> list[Image.Image] | None:
            if self._in_force() != words:
                return None
            shots = [self._channel.taken(probe(scene, position, given)) for position in positions]
            pictures = self._paint_all(shots).result(LONGEST_JOB_S)
            return [small(picture.jpeg) for picture in pictures]

        found = measured(painted)
        if found is None:
            return
        positions, distances = found

        def spaced(scene: Scene, now: float) -> Scene:
            if scene.words_from is None or (scene.words_from, scene.prompts) != words:
                return scene
            return scene.with_spacing(spacing(positions, distances, words[0].fade.elapsed(now)))

        self._channel.adjust(spaced)


def measured(
    painted: Callable[[Sequence[float]], list[Image.Image] | None],
) -> tuple[list[float], list[float]] | None:
    """The positions of PROBES probes, 0 to 1, and the distances between neighbouring ones, 0 to
    255; None if `painted` ended the measurement.

    painted: returns the pictures at the given positions, or None to end the measurement.
    """
    positions: list[float] = []
    pictures: list[Image.Image] = []
    waiting: Sequence[float] = first_positions()
    while True:
        found = painted(waiting)
        if found is None:
            return None
        for position, picture in zip(waiting, found, strict=True):
            place = bisect(positions, position)
            positions.insert(place, position)
            pictures.insert(place, picture)
        neighbours = zip(pictures, pictures[1:], strict=False)
        distances = [distance(one, other) for one, other in neighbours]
        if len(positions) >= PROBES:
            return positions, distances
        waiting = [next_position(positions, distances)]


def probe(scene: Scene, position: float, given: Given = NOTHING) -> Shot:
    """The shot at `position`, 0 to 1, of the fade of words in progress, with the noise from its
    start, full brightness, no modulators and the source that is `given`. Pure."""
    words = scene.words_from
    assert words is not None
    still = replace(
        scene.without_fades().unmodulated(),
        motion="hold",
        walkers=scene.walkers_at(words.fade.began_at),
        brightness=1.0,
        anchored_at=0.0,
        words_from=replace(words, fade=Fade(0.0, 1.0, "linear")),
    )
    return still.shot_at(position, 0, given)


def small(jpeg: bytes) -> Image.Image:
    """The picture in RGB, reduced while it is decoded, which is fast; each side keeps at least SIDE
    pixels if it has as many."""
    from PIL import Image

    image = Image.open(io.BytesIO(jpeg))
    image.draft("RGB", (SIDE, SIDE))
    return image.convert("RGB")


def distance(one: Image.Image, other: Image.Image) -> float:
    """The mean absolute difference of the pixels, 0 to 255."""
    from PIL import ImageChops, ImageStat

    means = ImageStat.Stat(ImageChops.difference(one, other)).mean
    return sum(means) / len(means)

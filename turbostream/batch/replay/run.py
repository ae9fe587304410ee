"""Paint the pictures of a replay that are missing, and make the video of them.

Runs on the caller's thread. Knows the engine by its API alone.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

from turbostream.batch.lock import explained, locked
from turbostream.batch.prompts import BatchError
from turbostream.batch.replay import movie
from turbostream.batch.replay.chain import REACH
from turbostream.batch.replay.options import Options
from turbostream.batch.replay.plan import Item, Plan
from turbostream.batch.replay.report import Report
from turbostream.batch.replay.show import base, batch_size
from turbostream.batch.replay.sources import ReplaySources
from turbostream.batch.replay.store import Store
from turbostream.batch.screen import Screen, summary
from turbostream.stream.engine_api import Engine, EngineError, Picture, Resolve, batch_key
from turbostream.stream.shot import EarlierFrame

FRAMES = ".frames"  # added to a video's name: the folder of its pictures until it is complete


class Replay:
    """pipeline: what the settings choose of the engine, as text."""

    def __init__(self, options: Options, plan: Plan, pipeline: str, screen: Screen) -> None:
        self._options, self._plan, self._screen = options, plan, screen
        self._report = Report()
        self._sources = ReplaySources(plan.session.sources, plan.chains.pictures)
        out = options.out
        self._folder = out.with_name(out.name + FRAMES) if options.is_video else out
        identity = {"session": plan.identity, "pipeline": pipeline, **options.identity}
        self._store = Store(self._folder, identity)

    def paint(self, open_engine: Callable[[Resolve], Engine], price: float | None) -> None:
        """Leave the whole replay in `options.out`. Raises BatchError or EngineError; the next run
        then continues. price: dollars an hour."""
        if self._options.is_video:
            movie.check(self._options.out)
        with explained(self._folder), locked(self._folder):
            kept = self._store.take_up(self._plan.items(), self._report)
            total = self._plan.count
            if kept:
                self._screen.note(f"{kept:,} of {total:,} pictures are here already.")
            if kept < total:
                engine = open_engine(self._sources.resolve)
                began = time.monotonic()
                try:
                    self._run(engine, kept)
                finally:
                    engine.close()
                took = time.monotonic() - began
                self._screen.note(f"{summary(total - kept, took, price)}.")
            if self._options.is_video:
                self._screen.note(f"writing {self._options.out}.")
                movie.write(self._options.out, self._store.pictures())
                self._store.remove()
        for sentence in self._report.sentences(self._plan, self._options):
            self._screen.note(sentence)

    def _run(self, engine: Engine, kept: int) -> None:
        """Pictures are written on a thread of their own, while the next ones are painted."""
        with ThreadPoolExecutor(1, "store") as writer:
            self._paint_missing(engine, kept, writer)

    def _paint_missing(self, engine: Engine, kept: int, writer: ThreadPoolExecutor) -> None:
        done, total = kept, self._plan.count
        writing: Future[None] | None = None
        self._screen.begin(done)
        in_flight: deque[tuple[list[Item], Future[list[Picture]]]] = deque()

        def finish() -> None:
            nonlocal done, writing
            some, future = in_flight.popleft()
            with _named(some[0]):
                pictures = future.result()[: len(some)]
            named = [
                replace(one, fingerprint=one.fingerprint or engine.fingerprint) for one in pictures
            ]
            for item, picture in zip(some, named, strict=True):
                undimmed = picture.undimmed if self._plan.undims else b""
                self._sources.put(item.name, undimmed or picture.jpeg)
            if some[0].number:
                if writing is not None:
                    writing.result()
                writing = writer.submit(self._store.put, some, named, self._report)
                done += len(some)
                self._screen.progress(done, total, len(some))

        for some, size in self._submissions(engine, self._missing(kept)):
            for item in some:
                for frame in item.shown:
                    self._sources.put(frame.number, frame.jpeg)
            needed = {item.needs for item in some}
            while any(item.name in needed for items, _ in in_flight for item in items):
                finish()
            shots = [item.shot for item in some]
            # Filled up: the show's pictures came from code for this batch size.
            with _named(some[0]):
                future = engine.submit(shots + shots[-1:] * (size - len(shots)))
            in_flight.append((some, future))
            while len(in_flight) >= engine.depth:
                finish()
        while in_flight:
            finish()
        if writing is not None:
            writing.result()

    def _missing(self, kept: int) -> Iterator[Item]:
        """What is to be painted; `kept` pictures are in the folder. A chain goes on from these, or,
        if there are only a few, or some were dimmed, once more from its beginning."""
        dimmed = self._are_dimmed(kept)
        lead = self._plan.lead if kept < REACH or dimmed else 0
        if lead:
            self._screen.note(f"{lead:,} frames before the range are painted first.")
        items = self._plan.items(lead=bool(lead))
        yield from itertools.islice(items, lead)
        if dimmed:
            self._screen.note(
                f"The first {kept:,} pictures are painted again, since later ones start from some "
                "of them at full brightness; the files stay."
            )
            yield from (replace(item, number=0) for item in itertools.islice(items, kept))
            kept = 0
        for item in itertools.islice(items, kept):
            for frame in item.shown:
                self._sources.put(frame.number, frame.jpeg)
            self._sources.put(item.name, self._store.path(item))
        yield from items

    def _are_dimmed(self, kept: int) -> bool:
        """Whether a later picture may start from one in the folder that was dimmed there."""
        if not (kept and self._plan.undims):
            return False
        begin = max(0, kept - REACH)
        shots = [item.shot for item in itertools.islice(self._plan.items(), begin, kept + 1)]
        chains = any(isinstance(shot.source, EarlierFrame) for shot in shots)
        return chains and any(shot.brightness != 1 for shot in shots[:-1])

    def _submissions(
        self, engine: Engine, items: Iterable[Item]
    ) -> Iterator[tuple[list[Item], int]]:
        """Items that one submission may hold, and how many shots it shall have."""
        for (_, _, size, fill), alike in itertools.groupby(
            items,
            lambda item: (item.number > 0, batch_key(item.shot), *self._batch(engine, item)),
        ):
            some: list[Item] = []
            for item in alike:
                if len(some) == size or any(one.name == item.needs for one in some):
                    # The last ones fill up a batch like those before: on a GPU, another size would
                    # be captured and compiled first.
                    fill = fill or len(some) == size
                    yield some, size if fill else len(some)
                    some = []
                some.append(item)
            yield some, size if fill else len(some)

    def _batch(self, engine: Engine, item: Item) -> tuple[int, bool]:
        """(the most shots of the item's submission, whether it is to be filled up)."""
        most = max(1, engine.max_batch)
        if self._options.batch is not None:
            return min(most, self._options.batch or most), False
        if base(item.fingerprint) != base(engine.fingerprint):
            return most, False
        return min(most, batch_size(item.fingerprint)), True


@contextmanager
def _named(item: Item) -> Iterator[None]:
    """Name the frame in whatever an engine raises; a video needs every picture."""
    try:
        yield
    except EngineError:
        raise
    except Exception as error:
        raise BatchError(
            f"Frame {item.frame} cannot be painted ({type(error).__name__}: {error})."
        ) from error

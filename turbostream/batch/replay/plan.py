"""Which shots a replay paints: those of the session's frames, or the scene's at a steady rate.

Everything is read from the session's file: first as a whole, to check and count it, then again to
paint. Runs on the caller's thread.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from turbostream.batch.prompts import BatchError
from turbostream.batch.replay.ages import Ages
from turbostream.batch.replay.chain import REACH, Chains
from turbostream.batch.replay.options import Options
from turbostream.sinks.session import digest
from turbostream.sinks.session_lines import Event, FrameAt, PictureAt, SceneAt, Shown
from turbostream.sinks.session_reader import SCENE, Session
from turbostream.stream.shot import EarlierFrame, Shot

MOST_FINGERPRINTS = 100  # that are counted; a show has a few
SLACK_S = 2e-6  # two times of a session, each rounded to 1e-6


@dataclass(frozen=True)
class Item:
    """Picture `number` (from 1) of a replay; 0: one that is painted since a later one starts from
    it, and not kept.

    frame: of the show, the one that the picture repeats or that was shown at its time. at: seconds
    since the first picture. sha256, fingerprint: of the frame's JPEG; empty if the picture repeats
    none. name: the number by which the shots of later pictures name it. shown: frames of the show
    that this picture or later ones may start from.
    """

    number: int
    frame: int
    at: float
    shot: Shot
    sha256: str = ""
    fingerprint: str = ""
    name: int = 0
    shown: tuple[Shown, ...] = ()

    @property
    def needs(self) -> int | None:
        """The name of the picture that it starts from."""
        source = self.shot.source
        return source.number if isinstance(source, EarlierFrame) else None


class Plan:
    """What `options` ask of `session`.

    count: of pictures. lead: how many frames before the range are painted first, because the chain
    of one within it begins there. identity: a digest of the session's content. fingerprints: of the
    frames to be painted, with their numbers. chains: of the frames, with the input pictures.
    """

    def __init__(self, session: Session, options: Options, note: Callable[[str], None]) -> None:
        """Reads the whole session; raises SessionError or BatchError if it cannot be replayed.
        note: called with a sentence if the session is incomplete."""
        self.session, self._options = session, options
        self.fingerprints: Counter[str] = Counter()
        self.chains = Chains()
        self.count = self.lead = 0
        self._first_at = self._last_at = 0.0
        self._own: tuple[int | None, int | None] = (None, None)  # of the first frame's shot
        self._total = 0  # frames of the session
        self._lead_from = self._lead_to = 0  # numbers of frames
        self._has_chain = False  # within the range
        self._age_s = 0.0  # of the first earlier frame there that a frame starts from
        content = hashlib.sha256()
        has_scene = False
        for event in session.events():
            content.update(_identity(event))
            if isinstance(event, SceneAt):
                has_scene = True
            elif isinstance(event, PictureAt):
                self.chains.picture(event)
            elif isinstance(event, Shown):
                self.chains.shown(event)
            else:
                self._count(event)
        if session.truncated:
            note(session.truncated)
        if not self._total:
            raise BatchError(f"{session.path} holds no frame: there is nothing to replay.")
        self.identity = content.hexdigest()[:32]
        if options.fps is not None:
            if not has_scene:
                raise BatchError(f"{session.path} holds no scene, which --fps needs; leave it out.")
            begin, end = self._range()
            self.count = max(0, math.floor((end - begin) * options.fps + SLACK_S) + 1)
        if self.count == 0:
            raise BatchError(
                f"There is no frame from --from to --to: {session.path} has "
                f"{self._last_at - self._first_at:.1f} seconds."
            )
        if self._has_chain and options.fps is not None:
            note(
                "Each picture of a feedback starts from a painted one that is as old as in the "
                "show; the first ones of the range, which have none, start from noise."
            )
        if self._lead_from < self._lead_to:
            lead = itertools.takewhile(lambda item: not item.number, self._frames(lead=True))
            self.lead = sum(1 for _ in lead)

    def _count(self, frame: FrameAt) -> None:
        """Raises BatchError for a frame of the range that cannot be painted."""
        link = self.chains.frame(frame)
        if not self._total:
            self._first_at, self._own = frame.at, (frame.shot.width, frame.shot.height)
        self._last_at, self._total = frame.at, self._total + 1
        if not self._in_range(frame):
            return
        is_chain = isinstance(frame.shot.source, EarlierFrame)
        self._has_chain |= is_chain
        self._age_s = self._age_s or self.chains.age_s(frame)
        if link.lack and not (is_chain and self._options.fps is not None):
            raise BatchError(link.lack)
        self.count += 1
        if self._options.fps is None:
            self._lead_to = self._lead_to or frame.number
            self._lead_from = min(self._lead_from or frame.number, link.start)
        if len(self.fingerprints) < MOST_FINGERPRINTS:
            self.fingerprints[frame.fingerprint] += 1

    @property
    def undims(self) -> bool:
        """Whether what starts from a dimmed picture starts from it at full brightness."""
        return self.session.header.session > 1

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels of the pictures, as far as the session tells."""
        return self._options.size or self.session.header.size

    @property
    def repeats(self) -> bool:
        """Whether the pictures may be the same as those of the show."""
        return self._options.fps is None and self.size == self.session.header.size

    @property
    def painted_size(self) -> tuple[int | None, int | None]:
        """(width, height) that the model paints at; None: its own."""
        if self.size == self.session.header.size:
            return self._own
        return self.size if self._options.repaint else self.session.header.size

    def items(self, lead: bool = False) -> Iterator[Item]:
        """The pictures in order, each time from the beginning. lead: after those before the
        range."""
        fps = self._options.fps
        return self._frames(lead) if fps is None else self._steady(fps)

    def _frames(self, lead: bool) -> Iterator[Item]:
        begin: float | None = None
        number = 0
        # The first pictures may start from frames that came a little before.
        shown: deque[Shown] = deque(maxlen=REACH)
        for event in self.session.events(skip=(SCENE,)):
            if isinstance(event, Shown):
                shown.append(event)
            if not isinstance(event, FrameAt):
                continue
            if self._in_range(event):
                begin = event.at if begin is None else begin
                number += 1
            elif not (lead and self._lead_from <= event.number < self._lead_to):
                continue
            at = 0.0 if begin is None else event.at - begin
            told = (event.sha256, event.fingerprint) if self.repeats else ("", "")
            shot = self._sized(event.shot)
            yield Item(number, event.number, at, shot, *told, event.number, tuple(shown))
            shown.clear()

    def _steady(self, fps: float) -> Iterator[Item]:
        """The shot of the scene in force at each time. Before the first scene, that one counts."""
        begin, _ = self._range()
        scenes, frames = self.session.scenes(), self.session.frames()
        ages = Ages(1 / fps, self._age_s)
        scene, frame = next(scenes), next(frames)
        ages.hear(frame)
        next_scene, next_frame = next(scenes, None), next(frames, None)
        for turn in range(self.count):
            at = begin + turn / fps
            while next_scene is not None and next_scene.at <= at + SLACK_S:
                scene, next_scene = next_scene, next(scenes, None)
            while next_frame is not None and next_frame.at <= at + SLACK_S:
                frame, next_frame = next_frame, next(frames, None)
                ages.hear(frame)
            shot = scene.scene.shot_at(at, frame.number, ages.given(turn, at))
            yield Item(turn + 1, frame.number, turn / fps, self._sized(shot), name=turn + 1)

    def _in_range(self, frame: FrameAt) -> bool:
        since = frame.at - self._first_at
        return self._options.start - SLACK_S <= since <= self._options.end + SLACK_S

    def _range(self) -> tuple[float, float]:
        """The times of the first and the last picture at a steady rate, on the session's clock."""
        end = min(self._last_at, self._first_at + self._options.end)
        return self._first_at + self._options.start, end

    def _sized(self, shot: Shot) -> Shot:
        recorded = self.session.header.size
        if self.size == recorded:
            return shot
        return replace(
            shot,
            width=self.size[0],
            height=self.size[1],
            base_width=recorded[0],
            base_height=recorded[1],
            enlarging="noise" if self._options.repaint else "pixels",
        )


def _identity(event: Event) -> bytes:
    if isinstance(event, SceneAt):
        return b"scene %r\n" % repr(event.at).encode()
    if isinstance(event, PictureAt):
        return f"picture {event.sha256}\n".encode()
    if isinstance(event, Shown):
        return f"shown {event.number} {digest(event.jpeg)}\n".encode()
    return f"{event.number} {event.at!r} {event.sha256}\n".encode()

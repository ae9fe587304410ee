"""Which shots a replay paints: those of the session's frames, or the scene's at a steady rate.

Everything is read from the session's file: first as a whole, to check and count it, then again to
paint. Runs on the caller's thread.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from turbostream.batch.prompts import BatchError
from turbostream.batch.replay.options import Options
from turbostream.sinks.session_lines import FrameAt, SceneAt
from turbostream.sinks.session_reader import Session
from turbostream.stream.shot import Shot

MOST_FINGERPRINTS = 100  # that are counted; a show has a few
SLACK_S = 2e-6  # two times of a session, each rounded to 1e-6


@dataclass(frozen=True)
class Item:
    """Picture `number` (from 1) of a replay.

    frame: of the show, the one that the picture repeats or that was shown at its time. at: seconds
    since the first picture. sha256, fingerprint: of the frame's JPEG; empty if the picture repeats
    none.
    """

    number: int
    frame: int
    at: float
    shot: Shot
    sha256: str = ""
    fingerprint: str = ""


class Plan:
    """What `options` ask of `session`.

    count: of pictures. identity: a digest of the session's content. fingerprints: of the frames to
    be painted, with their numbers.
    """

    def __init__(self, session: Session, options: Options, note: Callable[[str], None]) -> None:
        """Reads the whole session; raises SessionError or BatchError if it cannot be replayed.
        note: called with a sentence if the session is incomplete."""
        self.session, self._options = session, options
        self.fingerprints: Counter[str] = Counter()
        content = hashlib.sha256()
        first: FrameAt | None = None
        has_scene = False
        self._first_at = self._last_at = 0.0
        self.count = 0
        for event in session.events():
            if isinstance(event, SceneAt):
                content.update(b"scene %r\n" % repr(event.at).encode())
                has_scene = True
                continue
            content.update(f"{event.number} {event.at!r} {event.sha256}\n".encode())
            _check(event)
            first = first or event
            self._first_at, self._last_at = first.at, event.at
            if self._in_range(event):
                self.count += 1
                if len(self.fingerprints) < MOST_FINGERPRINTS:
                    self.fingerprints[event.fingerprint] += 1
        if session.truncated:
            note(session.truncated)
        if first is None:
            raise BatchError(f"{session.path} holds no frame: there is nothing to replay.")
        self.identity = content.hexdigest()[:32]
        self._own = first.shot.width, first.shot.height
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

    def items(self) -> Iterator[Item]:
        """The pictures in order, each time from the beginning."""
        return self._frames() if self._options.fps is None else self._steady(self._options.fps)

    def _frames(self) -> Iterator[Item]:
        begin: float | None = None
        number = 0
        for frame in self.session.frames():
            if not self._in_range(frame):
                continue
            begin = frame.at if begin is None else begin
            number += 1
            told = (frame.sha256, frame.fingerprint) if self.repeats else ("", "")
            yield Item(number, frame.number, frame.at - begin, self._sized(frame.shot), *told)

    def _steady(self, fps: float) -> Iterator[Item]:
        """The shot of the scene in force at each time. Before the first scene, that one counts."""
        begin, _ = self._range()
        scenes, frames = self.session.scenes(), self.session.frames()
        scene, frame = next(scenes), next(frames)
        next_scene, next_frame = next(scenes, None), next(frames, None)
        for turn in range(self.count):
            at = begin + turn / fps
            while next_scene is not None and next_scene.at <= at + SLACK_S:
                scene, next_scene = next_scene, next(scenes, None)
            while next_frame is not None and next_frame.at <= at + SLACK_S:
                frame, next_frame = next_frame, next(frames, None)
            shot = scene.scene.shot_at(at, frame.number)
            yield Item(turn + 1, frame.number, turn / fps, self._sized(shot))

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


def _check(frame: FrameAt) -> None:
    if frame.shot.source is not None:
        raise BatchError(
            f"Frame {frame.number} of the session starts from a picture, which is not stored with "
            "it; only frames painted from noise can be replayed."
        )

"""Which shots are painted together, and the submissions that the engine has not finished.

The generation thread only. Knows the engine by its API; nothing of pace, demand or health.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NamedTuple

from turbostream.stream.engine_api import Engine, Picture, batch_key
from turbostream.stream.scheduled_channel import ScheduledChannel
from turbostream.stream.shot import Shot
from turbostream.stream.side_jobs import Part


class Ticket(NamedTuple):
    """A shot that was taken for a channel's frame `number`; taken: seconds on its clock."""

    scheduled: ScheduledChannel
    number: int
    shot: Shot
    taken: float


Work = Sequence[Ticket] | Part  # frames of channels, or a shot of a side job


class Submission(NamedTuple):
    """Shots that were submitted together."""

    work: Work
    pictures: Future[list[Picture]]


def next_batch(due: Sequence[ScheduledChannel], most: int, now: float) -> list[Ticket]:
    """The next shots of at most `most` channels, all of one batch key; none if every channel shows
    its next shot already.

    due: the longest overdue first: the first shot decides the key. A channel whose shot does not
    fit keeps it and its place in the order. now: monotonic s.
    """
    tickets: list[Ticket] = []

    def fits(shot: Shot) -> bool:
        return not tickets or batch_key(shot) == batch_key(tickets[0].shot)

    for scheduled in due:
        if tickets and scheduled.alone:
            continue
        taken = scheduled.take(now, fits)
        if taken is not None:
            tickets.append(Ticket(scheduled, *taken))
            if len(tickets) == most or scheduled.alone:
                break
    return tickets


class Submissions:
    """The submissions to `engine` that are in flight, oldest first.

    finished: called when one is done, on the engine's threads; it must return at once.
    """

    def __init__(self, engine: Engine, finished: Callable[[], object]) -> None:
        self._engine = engine
        self._finished = finished
        self._in_flight: deque[Submission] = deque()

    def __len__(self) -> int:
        return len(self._in_flight)

    def submit(self, work: Work) -> None:
        """An error that the engine raises at once arrives with the pictures."""
        submission = self.started(work)
        if not submission.pictures.done():
            submission.pictures.add_done_callback(lambda _: self._finished())
        self._in_flight.append(submission)

    def started(self, work: Work) -> Submission:
        """A submission that the caller waits for itself, ahead of all that are in flight."""
        shots = [work.shot] if isinstance(work, Part) else [ticket.shot for ticket in work]
        try:
            pictures = self._engine.submit(shots)
        except Exception as error:  # whatever an engine raises: `result` raises it again
            pictures = Future()
            pictures.set_exception(error)
        return Submission(work, pictures)

    def oldest_is_done(self) -> bool:
        return bool(self._in_flight) and self._in_flight[0].pictures.done()

    def take_oldest(self) -> Submission:
        return self._in_flight.popleft()

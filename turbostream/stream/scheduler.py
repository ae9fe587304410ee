"""The loop of the generation thread: shots of the channels in, frames out, each at its own pace.

It asks every channel that is watched and due for its next shot, submits the shots that fit together
as one batch, keeps as many submissions in flight as the engine asks for, and publishes each picture
in its own channel. What is due first goes first; where the machine cannot paint all, the beats of
all channels are put off by the same time, so that every rate drops in proportion. A part of a side
job is submitted when no frame is due; if one always is, parts and frames alternate. While nobody
watches any channel and no job waits, the loop sleeps. A channel whose source and scene are
unchanged is not painted. Knows the engine by its API alone, and nothing of how an engine is opened.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from operator import attrgetter

from turbostream.stream.capabilities import Capabilities
from turbostream.stream.channel import Channel
from turbostream.stream.engine_api import Engine, Picture, capabilities_of
from turbostream.stream.frame import Frame
from turbostream.stream.health import Call, Health
from turbostream.stream.scheduled_channel import ScheduledChannel
from turbostream.stream.shortage import Shortage
from turbostream.stream.side_jobs import Part, SideJobs
from turbostream.stream.state import State, Status
from turbostream.stream.submissions import Submission, Submissions, Ticket, Work, next_batch

_due = attrgetter("due")

JOIN_S = 0.001  # a beat that is at most so far ahead joins the batch that is submitted now
LONGEST_WAIT_S = 1.0  # nothing wakes the loop when the last viewer leaves
UNCHANGED = "Source and scene are unchanged; the next change wakes the stream."


class Scheduler:
    """`channels` is replaced as a whole, so it may change between two turns of the loop: `add` and
    `remove`, on any thread."""

    def __init__(
        self, channels: Sequence[ScheduledChannel], health: Health, awake: Callable[[], float]
    ) -> None:
        self.channels: tuple[ScheduledChannel, ...] = ()
        self._adapting = threading.Lock()
        self._capabilities: Capabilities | None = None  # of the newest engine
        self.shortage = Shortage()
        self._frames = 0  # published by all channels, also by those that were removed
        self._health = health
        self._awake = awake
        self._stopping = False
        self._wake = threading.Event()  # demand, a job, a finished submission, or the end
        self.jobs = SideJobs(self.wake, self._why_closed)
        self._job_was_last = False  # whether the last submission was a part of a job
        for scheduled in channels:
            self.add(scheduled)

    def add(self, scheduled: ScheduledChannel) -> None:
        """Paint a further channel."""
        channel = scheduled.channel
        channel.listen_demand(self.wake)
        channel.listen_given(self.wake)
        channel.listen(self.wake)
        with self._adapting:
            self._adapt(scheduled)
            self.channels += (scheduled,)
        self.wake()

    def remove(self, channel: Channel) -> None:
        """Paint `channel` no more; its frames in flight are still published in it."""
        with self._adapting:
            self.channels = tuple(one for one in self.channels if one.channel is not channel)
        self.wake()

    def _adapt(self, scheduled: ScheduledChannel) -> None:
        """Tell the channel what the engine takes, and that its first frame is due."""
        scheduled.restart(time.monotonic(), self._awake)
        scheduled.channel.takes = self._capabilities

    def stop(self) -> None:
        """Let `run` return soon; any thread."""
        self._stopping = True
        self.wake()

    def wake(self) -> None:
        """Look at once whether there is something to do; any thread."""
        self._wake.set()

    def run(self, engine: Engine) -> bool:
        """Frames until stopped, or until a new engine is needed; True if there was one frame."""
        submissions = Submissions(engine, self.wake)
        painted = self._frames
        with self._adapting:
            self._capabilities = capabilities_of(engine)
            for scheduled in self.channels:
                self._adapt(scheduled)
        self.jobs.open()
        try:
            while not self._health.needs_new_engine:
                if self._wake.is_set():
                    self._wake.clear()
                if self._stopping:
                    break
                self._turn(engine, submissions)
            while submissions and not self._health.needs_new_engine:
                self._finish_oldest(engine, submissions)
        finally:
            self.jobs.close()
        return self._frames > painted

    def _turn(self, engine: Engine, submissions: Submissions) -> None:
        """Submit what is due, publish what is done, or wait for either."""
        now = time.monotonic()
        wanted = [one for one in self.channels if one.update_demand(now, self._awake)]
        wanted.sort(key=_due)
        is_due = bool(wanted) and now >= wanted[0].due
        if is_due and (self._job_was_last or not self.jobs.ready):
            self._submit_frames(engine, submissions, wanted, now)
        elif not is_due and submissions.oldest_is_done():
            self._finish_oldest(engine, submissions)
        elif self.jobs.ready:
            self._submit_part(engine, submissions)
        elif wanted:
            if all(one.rests(now) for one in wanted):
                self._health.rest(UNCHANGED)
            self._wake.wait(min(wanted[0].due - now, LONGEST_WAIT_S))
        elif submissions:
            self._finish_oldest(engine, submissions)
        else:
            self._rest()

    def _submit_frames(
        self, engine: Engine, submissions: Submissions, wanted: list[ScheduledChannel], now: float
    ) -> None:
        """wanted: the longest overdue first; at least that one is due."""
        due = wanted
        if len(wanted) > 1:
            due = [one for one in wanted if one.due <= now + JOIN_S]
        planned = [one.due for one in due]
        tickets = next_batch(due, max(1, engine.max_batch), now)
        looked = [one for one, at in zip(due, planned, strict=True) if one.due != at]
        self._put_off(looked, wanted, now)
        self._job_was_last = False
        if tickets:
            self._submit(engine, submissions, tickets)

    def _put_off(
        self, looked: list[ScheduledChannel], wanted: list[ScheduledChannel], now: float
    ) -> None:
        """Put off the beats of `wanted` if one of those `looked` at has missed its next one too."""
        if len(wanted) == 1:
            lost_s = sum(one.skip_missed(now) for one in looked)
        else:
            # One frame may be caught up: else a slow batch would cost every channel a beat.
            lost_s = max((now - one.due - one.period_s for one in looked), default=0.0)
            for one in wanted if lost_s > 0 else ():
                one.due += lost_s
        if lost_s > 0:
            self.shortage.note(now, lost_s)
        for one in looked:
            if one.joins:
                one.joins = False
                for other in wanted:
                    if not (other is one or other.joins) and other.period_s == one.period_s:
                        one.due = other.beat_after(now + JOIN_S)  # one batch from now on
                        break

    def _submit_part(self, engine: Engine, submissions: Submissions) -> None:
        part = self.jobs.take()
        if part is not None:
            self._job_was_last = True
            self._submit(engine, submissions, part)

    def _submit(self, engine: Engine, submissions: Submissions, work: Work) -> None:
        with self._health.calling(Call.PAINTING):
            submissions.submit(work)
        while len(submissions) >= engine.depth:
            self._finish_oldest(engine, submissions)

    def _rest(self) -> None:
        self._health.rest("Nobody watches; the next viewer wakes the stream.")
        while not (self._stopping or self._wanted() or self.jobs.ready):
            self._wake.wait()
            self._wake.clear()
        if not self._stopping and self._wanted():
            self._health.status = Status(State.STREAMING, "Pictures are being painted.")

    def _wanted(self) -> bool:
        return any(one.channel.wanted for one in self.channels)

    def _why_closed(self) -> str:
        return "The program is stopping." if self._stopping else self._health.status.message

    def _finish_oldest(self, engine: Engine, submissions: Submissions) -> None:
        """Wait for the oldest submission and publish or deliver its pictures."""
        submission = submissions.take_oldest()
        work = submission.work
        if isinstance(work, Part):
            self._deliver(work, submission)
            return
        try:
            pictures = self._pictures(submission, len(work))
        except Exception as error:  # the scheduler's guard: the stream outlives a frame
            if len(work) == 1:
                self._fail(work[0], error)
            else:
                self._one_by_one(engine, submissions, work)
        else:
            for ticket, picture in zip(work, pictures, strict=True):
                self._publish(ticket, picture, engine)

    def _deliver(self, part: Part, submission: Submission) -> None:
        """Complete the job's shot. `Health` does not count its failure: it judges frames only."""
        try:
            (picture,) = self._pictures(submission, 1)
        except Exception as error:  # the scheduler's guard: the job's future carries the error
            self.jobs.failed(part, error)
        else:
            self.jobs.painted(part, picture)

    def _pictures(self, submission: Submission, wanted: int) -> list[Picture]:
        with self._health.calling(Call.PAINTING):
            pictures = submission.pictures.result()
        if len(pictures) != wanted:
            raise ValueError(f"the engine returned {len(pictures)} pictures for {wanted} shots")
        return pictures

    def _one_by_one(
        self, engine: Engine, submissions: Submissions, tickets: Sequence[Ticket]
    ) -> None:
        """A batch failed and does not say which shot is to blame: only that one shall be lost."""
        for ticket in tickets:
            try:
                with self._health.calling(Call.PAINTING):
                    submission = submissions.started([ticket])
                picture = self._pictures(submission, 1)[0]
            except Exception as error:  # the scheduler's guard: the stream outlives a frame
                self._fail(ticket, error)
            else:
                self._publish(ticket, picture, engine)

    def _fail(self, ticket: Ticket, error: Exception) -> None:
        ticket.scheduled.failed()
        ticket.scheduled.meter.failure()
        self._health.frame_failed(error)

    def _publish(self, ticket: Ticket, picture: Picture, engine: Engine) -> None:
        scheduled, channel = ticket.scheduled, ticket.scheduled.channel
        frame = Frame(
            number=ticket.number,
            jpeg=picture.jpeg,
            shot=ticket.shot,
            published=time.time(),
            stage_ms=picture.stage_ms,
            fingerprint=picture.fingerprint or engine.fingerprint,
            channel=channel.name,
            taken=ticket.taken,
            undimmed=picture.undimmed,
        )
        channel.buffer.publish(frame)
        self._frames += 1
        now = time.monotonic()
        self._health.succeeded()
        scheduled.meter.frame(now, frame.stage_ms)
        scheduled.arrived(self._awake(), frame.number)
        change = channel.first_shown_by(frame.number)
        if change is not None:
            scheduled.meter.prompt_to_picture(now - max(change.at, scheduled.wanted_since))

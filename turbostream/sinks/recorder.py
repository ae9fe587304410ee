"""Records a channel: the video and the session of its frames, on a thread of its own.

The generation thread only appends each frame to a queue, so a recording never delays one. The
thread "recorder" encodes and writes; it has a lower priority than the engine's threads. If it falls
behind, whole frames are left out of the video, while the session still has their recipes. If a disk
that hangs fills the queue, recipes are lost as well; a later frame that starts from such a frame
brings its JPEG along, so that it can be painted again all the same.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from turbostream.settings import Settings
from turbostream.sinks.priority import lower_priority
from turbostream.sinks.recordings import Recordings
from turbostream.sinks.take import Find, Take
from turbostream.stream.channel import Channel
from turbostream.stream.frame import Frame
from turbostream.stream.recording import (
    NoSuchRecording,
    RecordingConflict,
    RecordingEntry,
    RecordingError,
    RecordingStatus,
)
from turbostream.stream.scene import Scene
from turbostream.stream.shot import EarlierFrame

log = logging.getLogger(__name__)

# What may wait for the encoder; while more does, the oldest frame is left out of the video. A slow
# stream has few frames within the time.
BEHIND_S, FEW_FRAMES = 0.5, 8
MOST_WAITING = 512  # frames and scenes, while a write to the disk hangs
STOP_S = 10.0  # how long `stop` waits for the last frames and the compression of the session


class SceneAt(NamedTuple):
    """A scene that came into force at a time on the channel's clock."""

    scene: Scene
    time: float


class FrameFrom(NamedTuple):
    """A frame and the one that it starts from."""

    frame: Frame
    earlier: Frame | None


Heard = FrameFrom | SceneAt | None  # None: the end


class Recorder:
    """Records `channel` into `settings.recordings_folder`, one recording at a time.

    model: the id of the model, for the session's first line. find: the input pictures, which are
    then kept with each recording; None keeps none.
    """

    def __init__(
        self, channel: Channel, settings: Settings, model: str, find: Find | None = None
    ) -> None:
        self._channel, self._settings, self._model = channel, settings, model
        self._find = find
        self._recordings = Recordings(settings.recordings_folder)
        self._lock = threading.Lock()  # of start and stop
        self._queue: queue.SimpleQueue[Heard] = queue.SimpleQueue()
        self._on = False  # until the files are complete
        self._listening = False
        self._newest = 0.0  # when the shot of the newest frame in the queue was taken
        self._lost = 0  # frames that did not fit in the queue
        self._take: Take | None = None
        self._thread: threading.Thread | None = None
        self._message = "Nothing has been recorded yet."
        channel.buffer.listen(self._hear_frame)
        channel.listen_scenes(self._hear_scene)

    # -- what the web calls, on any thread ---------------------------------------------------------

    def start(self) -> RecordingStatus:
        """Frames are painted from now on even if nobody watches. Raises RecordingError, and then
        nothing has changed."""
        with self._lock:
            if self._on:
                assert self._take is not None
                raise RecordingConflict(
                    f"{self._take.name} is being recorded already; stop that recording first."
                )
            take = Take(self._recordings, self._settings, self._model, self._find)
            self._queue = queue.SimpleQueue()
            self._lost = 0
            self._take = take
            self._message = f"{take.name} is being recorded."
            self._thread = threading.Thread(
                target=self._run, args=(take, self._queue), name="recorder", daemon=True
            )
            self._on = True
            try:
                self._thread.start()
            except RuntimeError:  # the system has no further thread
                self._on = False
                raise
        log.info("[record] recording to %s", self._recordings.video(take.name))
        return self.status()

    def stop(self, timeout_s: float = STOP_S) -> RecordingStatus:
        """Returns when the files are complete, after `timeout_s` at the latest; `on` is true as
        long as they are not."""
        with self._lock:
            thread = self._thread
            self._listening = False
            self._queue.put(None)
        if thread is not None:
            thread.join(timeout_s)
        return self.status()

    def status(self) -> RecordingStatus:
        take = self._take
        return {
            "on": self._on,
            "name": None if take is None else take.name,
            "seconds": 0.0 if take is None else round(take.seconds, 3),
            "bytes": 0 if take is None else take.size,
            "frames": 0 if take is None else take.frames,
            "dropped": 0 if take is None else take.dropped + self._lost,
            "message": self._message,
        }

    def recordings(self) -> list[RecordingEntry]:
        """See `Recordings.entries`; the one in progress is included."""
        return self._recordings.entries()

    def path(self, name: str) -> Path:
        """See `Recordings.path`. The session in progress has no file yet that can be read."""
        if name.partition(".")[0] == self._in_progress() and not name.endswith(".mp4"):
            raise NoSuchRecording("The session is complete when the recording has been stopped.")
        return self._recordings.path(name)

    def delete(self, name: str) -> None:
        if name == self._in_progress():
            raise RecordingConflict(f"{name} is being recorded; stop the recording first.")
        self._recordings.delete(name)

    def _in_progress(self) -> str | None:
        status = self.status()
        return status["name"] if status["on"] else None

    # -- listeners, which return at once -----------------------------------------------------------

    def _hear_frame(self, frame: Frame) -> None:
        if not self._listening:
            return
        if self._queue.qsize() >= MOST_WAITING:
            self._lost += 1
            return
        self._newest = frame.taken
        source, earlier = frame.shot.source, None
        if isinstance(source, EarlierFrame):
            earlier = self._channel.buffer.find(source.number)
        self._queue.put(FrameFrom(frame, earlier))

    def _hear_scene(self, scene: Scene, time: float) -> None:
        """One that does not fit is missing in the session, whose frames are complete without it."""
        if self._listening and self._queue.qsize() < MOST_WAITING:
            self._queue.put(SceneAt(scene, time))

    # -- the thread --------------------------------------------------------------------------------

    def _run(self, take: Take, heard: queue.SimpleQueue[Heard]) -> None:
        lower_priority()
        ended = self._guarded(lambda: self._record(take, heard))
        self._listening = False
        self._queue = queue.SimpleQueue()  # without the frames that wait
        ended = self._guarded(take.close) or ended
        if ended is None:
            self._message = f"{take.name} was recorded."
            if take.unkept:
                self._message = (
                    f"{take.name} was recorded, but {take.unkept:,} frames started from input "
                    "pictures that came too fast to be kept, so these cannot be replayed."
                )
            log.info(
                "[record] %s: %.1f s, %d frames, %d left out.",
                take.name, take.seconds, take.frames, take.dropped + self._lost,
            )  # fmt: skip
        else:
            self._message = ended
            log.warning("[record] %s ended: %s", take.name, ended)
        self._on = False
        self._channel.touch()  # controllers show whether it records, also when it ends by itself

    def _guarded(self, step: Callable[[], object]) -> str | None:
        """Why `step` failed, in one sentence; None if it did not."""
        try:
            step()
        except RecordingError as error:
            return str(error)
        except OSError as error:
            return self._recordings.refusal(error)
        except Exception:  # the stream goes on
            log.exception("[record] the recording failed.")
            return "The recording ended because of an error of the program, which the log shows."
        return None

    def _record(self, take: Take, heard: queue.SimpleQueue[Heard]) -> None:
        """Until the end is heard. What is older than the scene at the start is not part of it."""
        take.prepare()
        self._listening = True  # before the snapshot, so that no scene is missed
        change, began = self._channel.snapshot()
        take.scene(change.scene, began)
        with self._channel.watched():
            while (one := heard.get()) is not None:
                if isinstance(one, SceneAt):
                    if one.time >= began:
                        take.scene(*one)
                elif (taken := one.frame.taken) >= began:
                    is_late = heard.qsize() > FEW_FRAMES and self._newest - taken > BEHIND_S
                    take.frame(one.frame, is_late, one.earlier)

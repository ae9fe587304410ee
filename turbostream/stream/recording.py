"""Recording and broadcasting as the web sees them, so that it need not import `turbostream/sinks`.

Protocols and plain data only: no video, no file, no thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypedDict

CLIP_FORMS = ("mp4", "webp")
LONGEST_CLIP_S = 15.0


class RecordingError(ValueError):
    """One sentence on why something about recordings cannot be done, and what to do."""


class RecordingConflict(RecordingError):
    """The state of the recorder or of a recording does not allow it now."""


class NoSuchRecording(RecordingError):
    """No recording has the name."""


class RecordingStatus(TypedDict):
    """The recording in progress, or the last one of this process.

    seconds: between its first and its newest frame. bytes: of the video so far. frames: in the
    video. dropped: frames that are missing in it because the encoder or the disk was too slow.
    message: one sentence: what is happening, or why the recording ended.
    """

    on: bool
    name: str | None
    seconds: float
    bytes: int
    frames: int
    dropped: int
    message: str


class RecordingEntry(TypedDict):
    """A recording in the folder; session: whether its session file is there."""

    name: str
    seconds: float
    bytes: int
    frames: int
    session: bool


class Recorder(Protocol):
    """Any thread. Every call may wait for the disk, so none belongs on gevent's loop."""

    def start(self) -> RecordingStatus:
        """Raises RecordingError; RecordingConflict while a recording is in progress."""

    def stop(self) -> RecordingStatus:
        """Does nothing if there is no recording."""

    def status(self) -> RecordingStatus:
        """Returns at once, on any thread."""

    def recordings(self) -> Sequence[RecordingEntry]:
        """Those in the folder, the newest first."""

    def path(self, name: str) -> Path:
        """The file NAME.mp4 or NAME.jsonl.gz; raises NoSuchRecording."""

    def delete(self, name: str) -> None:
        """Delete the video NAME and its session file. Raises NoSuchRecording, and
        RecordingConflict for the one in progress."""


class Clip(Protocol):
    """Any thread; takes seconds of processor time."""

    def __call__(self, seconds: float, form: str) -> bytes:
        """The last `seconds` of the stream as a file; form: one of CLIP_FORMS. Raises
        RecordingConflict while there is no frame."""


class BroadcastStatus(TypedDict):
    """to: the address without its key; None before the first broadcast. seconds: since the
    connection was made. bit_rate: bit/s in the last second. frames, dropped: sent and left out
    since the broadcast began. message: one sentence, also on why there is no connection."""

    on: bool
    connected: bool
    to: str | None
    seconds: float
    bit_rate: int
    frames: int
    dropped: int
    reconnects: int
    message: str


class Broadcaster(Protocol):
    """Any thread."""

    def start(self, url: str) -> BroadcastStatus:
        """Push the stream to `url`; '': to PUSH_URL. Raises PushAddressError and RecordingError;
        may wait for seconds."""

    def stop(self) -> BroadcastStatus:
        """Does nothing if nothing is pushed. May wait for seconds."""

    def status(self) -> BroadcastStatus:
        """Returns at once."""

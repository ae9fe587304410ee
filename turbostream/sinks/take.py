"""One recording: a video and its session, from the first frame to the end.

Made on the thread of whoever starts it, so that a folder that cannot be written is answered at
once; everything else is on the thread "recorder", where the encoder is imported.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from turbostream.settings import Settings
from turbostream.sinks.fragment_file import FragmentFile
from turbostream.sinks.recordings import Recordings
from turbostream.sinks.session import Header, SessionWriter
from turbostream.sinks.source_file import SourceWriter
from turbostream.stream.frame import Frame
from turbostream.stream.recording import RecordingError
from turbostream.stream.scene import Scene
from turbostream.stream.shot import InputPicture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from turbostream.sinks.video_file import VideoFile

SPARE_BYTES = 16 * 1024 * 1024  # left free on the disk, for the program's other files
UNCHECKED_BYTES = SPARE_BYTES // 4  # of input pictures, until the next look at the room
MOST_SCENES = 1000  # kept until the first frame
MOST_KNOWN = 4096  # frames and input pictures; one that comes back later is written again

# The pixels of an input picture by its digest, RGB [H, W, 3]; None if it is no longer there.
Find = Callable[[str], "NDArray[np.uint8] | None"]


class Take:
    """name: of its files in `recordings`. seconds: between the first and the newest frame.
    frames: in the video. dropped: frames that were left out of it. unkept: frames whose input
    picture should have been kept, and was gone before it could be."""

    def __init__(
        self, recordings: Recordings, settings: Settings, model: str, find: Find | None = None
    ) -> None:
        """find: for the input pictures, which are kept with it. Raises RecordingError."""
        self.seconds = 0.0
        self.frames = self.dropped = self.unkept = 0
        self._recordings, self._settings, self._model = recordings, settings, model
        self._video: VideoFile | None = None
        self._session: SessionWriter | None = None
        self._sources: SourceWriter | None = None
        self._checked_bytes = 0  # of `_sources`, at the last look at the room
        self._find = find
        self._known: OrderedDict[int | str, None] = OrderedDict()  # of the session
        self._scenes: list[tuple[Scene, float]] = []  # before the first frame
        self._first = 0.0  # when the shot of the first frame was taken
        self._others = 0  # bytes of all other recordings
        self.name = recordings.new_name()
        try:
            self._others = recordings.total_bytes()
            self._check_room()
            self._file = FragmentFile(recordings.video(self.name))
        except OSError as error:
            raise RecordingError(recordings.refusal(error)) from None

    @property
    def size(self) -> int:
        """Bytes of the video in the file."""
        return self._file.size

    def prepare(self) -> None:
        """Import the encoder, so that the first frames need not wait for that."""
        import turbostream.sinks.video_file  # noqa: F401

    def scene(self, scene: Scene, time: float) -> None:
        """A scene that came into force; the first one is that at the start. Raises OSError."""
        if self._session is not None:
            self._session.scene(scene, time)
            return
        self._scenes.append((scene, time))
        del self._scenes[1:-MOST_SCENES]  # of a very long wait, the start and the end

    def frame(self, frame: Frame, skip: bool, earlier: Frame | None = None) -> None:
        """Add a frame; `skip` leaves it out of the video. earlier: the frame that it starts from.
        Raises RecordingError and OSError, after which the recording has to be closed."""
        if self._session is None or self._video is None:
            self._open(frame)
        assert self._session is not None
        assert self._video is not None
        if earlier is not None and earlier.number not in self._known:
            self._session.shown(earlier)
            self._note(earlier.number)
        if isinstance(frame.shot.source, InputPicture) and self._find is not None:
            self._keep(frame.shot.source.sha256, self._find, self._session)
        self._session.frame(frame)
        self._note(frame.number)
        if skip:
            self.dropped += 1
            return
        fragment_is_whole = self._video.add(frame.jpeg, frame.taken - self._first)
        self.frames, self.seconds = self._video.frames, self._video.seconds
        if fragment_is_whole:
            self._session.flush()
            self._check_room()

    def close(self) -> None:
        """Complete the files. Raises OSError; what was written stays, and all files are closed."""
        try:
            if self._video is not None:
                self._video.finish()
        finally:
            self._file.close()
            if self._sources is not None:
                self._sources.close()
            if self._session is not None:
                self._session.close()
            elif not self._file.size:
                self._recordings.video(self.name).unlink(missing_ok=True)

    def _keep(self, sha256: str, find: Find, session: SessionWriter) -> None:
        """Write an input picture that the session does not have."""
        if sha256 in self._known:
            return
        pixels = find(sha256)
        if pixels is None:
            self.unkept += 1
            return
        if self._sources is None:
            self._sources = SourceWriter(self._recordings.sources(self.name))
        session.picture(sha256, self._sources.add(pixels))
        self._note(sha256)
        # Not only with the video: frames may be left out of that for as long as pictures come.
        if self._sources.size - self._checked_bytes >= UNCHECKED_BYTES:
            session.flush()
            self._check_room()

    def _note(self, one: int | str) -> None:
        self._known[one] = None
        self._known.move_to_end(one)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)

    def _open(self, first: Frame) -> None:
        """The encoder and the session, which need the size of the pictures."""
        from turbostream.sinks.encoder import size_of
        from turbostream.sinks.video_file import VideoFile

        size, settings = size_of(first.jpeg), self._settings
        self._first = first.taken
        self._session = SessionWriter(
            self._recordings.plain(self.name),
            Header(
                started=round(time.time(), 3),
                model=self._model,
                size=size,
                quality=settings.jpeg_quality,
                decoder=settings.decoder,
                fps=settings.target_fps,
            ),
        )
        for scene, at in self._scenes:
            self._session.scene(scene, at)
        self._scenes.clear()
        self._video = VideoFile(self._file, size, settings.target_fps)

    def _check_room(self) -> None:
        """Raises RecordingError before the limit of the setting, or the disk, is reached."""
        folder = self._recordings.folder
        own = 0 if self._session is None else self._file.size + self._session.path.stat().st_size
        if self._sources is not None:
            self._checked_bytes = self._sources.size
            own += self._checked_bytes
        if self._others + own >= self._settings.recordings_max_gb * 1e9:
            raise RecordingError(
                f"The recordings take {self._settings.recordings_max_gb:g} GB, the limit; delete "
                "some, or give a higher RECORDINGS_MAX_GB."
            )
        disk = os.statvfs(folder)
        if disk.f_bavail * disk.f_frsize < SPARE_BYTES:
            raise RecordingError(
                f"The disk of {folder} is full but for {SPARE_BYTES >> 20} MiB, which other files "
                "need; make room, or give another RECORDINGS_DIR."
            )

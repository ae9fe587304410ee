"""The video of a recording: fragmented MP4, which can be played up to its last whole fragment.

One thread at a time. Importing this module imports PyAV.
"""

from __future__ import annotations

import av

from turbostream.sinks.encoder import Encoder
from turbostream.sinks.fragment_file import FragmentFile

FRAGMENT_S = 0.5  # of a video that may be lost with the process, as it is in memory
_OPTIONS = {
    # No seek back to the beginning, and offsets that count from the fragment.
    "movflags": "empty_moov+default_base_moof",
    "frag_duration": str(round(FRAGMENT_S * 1_000_000)),  # microseconds
}


class VideoFile:
    """The pictures of a recording in `file`; size: (width, height) in pixels. fps: about how many
    come a second."""

    def __init__(self, file: FragmentFile, size: tuple[int, int], fps: float = 30.0) -> None:
        self._file = file
        self._container = av.open(self._file, "w", format="mp4", options=_OPTIONS)
        self._encoder = Encoder(self._container, size, fps=fps)

    @property
    def frames(self) -> int:
        return self._encoder.frames

    @property
    def seconds(self) -> float:
        return self._encoder.seconds

    def add(self, jpeg: bytes, time_s: float) -> bool:
        """Whether this completed a fragment. Raises PictureError and OSError."""
        self._encoder.add(jpeg, time_s)
        return self._file.commit()

    def finish(self) -> None:
        """Write the last fragment and the index. Raises OSError."""
        self._encoder.finish()
        self._container.close()
        self._file.commit()

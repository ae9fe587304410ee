"""The video of a broadcast: H.264 at a bit rate, with silence where sites expect a sound track.

Runs in the process of `push_process.py`, whose only thread for it may be stuck here while a server
does not answer. Importing this module imports PyAV.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer

from turbostream.sinks.encoder import KEYFRAME_S, Encoder
from turbostream.sinks.hls_folder import PLAYLIST, remove_segments
from turbostream.sinks.srt_socket import SrtSocket
from turbostream.stream.push_address import PushAddress

SOUND_RATE = 44_100  # samples a second
SEGMENTS = 6  # of KEYFRAME_S each, in an HLS playlist


class PushVideo:
    """Connects with the first picture. rate: at most so many pictures a second; bit_rate: bit/s."""

    def __init__(
        self, address: PushAddress, size: tuple[int, int], rate: float, bit_rate: int
    ) -> None:
        self._socket: SrtSocket | None = None
        self._container = self._open(address)
        options = {"preset": "veryfast", "b": str(bit_rate), "maxrate": str(bit_rate)}
        options["bufsize"] = str(bit_rate)  # bits: one second may be spent at once
        self._encoder = Encoder(self._container, size, options, fps=rate)
        self._silence = None if address.kind == "hls" else _Silence(self._container)

    def add(self, jpeg: bytes, time_s: float) -> int:
        """Send a picture; returns how many bytes it took. Raises PictureError and OSError."""
        sound = 0 if self._silence is None else self._silence.until(time_s)
        return sound + self._encoder.add(jpeg, time_s)

    def finish(self) -> None:
        """Tell the server that this is the end. Raises OSError."""
        self._encoder.finish()
        self._container.close()
        if self._socket is not None:
            self._socket.close()

    def _open(self, address: PushAddress) -> OutputContainer:
        if address.kind == "srt":
            self._socket = SrtSocket(address.url)
            return av.open(self._socket, "w", format="mpegts")
        if address.kind == "hls":
            folder = Path(address.url)
            remove_segments(folder)
            return av.open(
                str(folder / PLAYLIST),
                "w",
                format="hls",
                container_options={
                    "hls_time": str(KEYFRAME_S),
                    "hls_list_size": str(SEGMENTS),
                    "hls_flags": "delete_segments+independent_segments+temp_file",
                    "hls_segment_filename": str(folder / "stream-%d.ts"),
                    # A player that stays over a restart of the broadcast sees numbers that rise.
                    "hls_start_number_source": "epoch",
                },
            )
        # Without a seek at the end, to write the duration.
        options = {"flvflags": "no_duration_filesize"}
        return av.open(address.url, "w", format="flv", container_options=options)


class _Silence:
    """A silent AAC track: sites such as YouTube wait for sound before they show a stream."""

    def __init__(self, container: OutputContainer) -> None:
        self._container = container
        stream = container.add_stream("aac", rate=SOUND_RATE)
        assert isinstance(stream, AudioStream)
        stream.layout = "stereo"
        stream.bit_rate = 64_000
        self._stream = stream
        self._samples = 0

    def until(self, time_s: float) -> int:
        """Encode silence until shortly after `time_s`, so that no picture waits for it in the
        muxer; returns how many bytes it took."""
        size = 0
        while self._samples <= (time_s + 0.1) * SOUND_RATE:
            frame = av.AudioFrame(format="fltp", layout="stereo", samples=1024)
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            frame.sample_rate, frame.pts = SOUND_RATE, self._samples
            frame.time_base = Fraction(1, SOUND_RATE)
            packets = self._stream.encode(frame)
            self._container.mux(packets)
            size += sum(packet.size for packet in packets)
            self._samples += frame.samples
        return size

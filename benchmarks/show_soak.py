"""A long show: recorded, broadcast, watched and changed all the time; does the memory stay flat?

`python -m benchmarks.show_soak [--minutes 60] [--target-fps 30] [--push URL] [--save NAME]`

Starts the real program with the demo model, a state folder of its own, --record and a broadcast: to
an HLS folder, unless --push gives another address. One viewer checks every byte and the order of
the frames; an actor changes words with fades, blends, saves and recalls looks, sets modulators and
undoes, at random with --seed. Prints a line per minute and one JSON line. At the end the recording
is stopped, and every number and time of the session and of the video has to rise. Ends with status
1 if a frame was torn or out of order, if a request was not answered, if threads or open files grew,
if the broadcast broke off, if the log shows a traceback, or if the memory of the server or of the
broadcast's process grew: by a line fitted to the last three quarters of the time.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av
import psutil

from benchmarks.report import emit, machine
from benchmarks.server_process import free_port, wait_for, wait_until_healthy
from benchmarks.show_actor import Actor, ask
from benchmarks.viewers import StreamReader, Torn, connect
from turbostream.sinks.hls_folder import PLAYLIST
from turbostream.sinks.session_lines import FrameAt, SceneAt
from turbostream.sinks.session_reader import read_session

ROOT = Path(__file__).resolve().parent.parent
SAMPLE_S = 5.0
SETTLE_SHARE = 0.25  # of the time, before memory is judged
MOST_GROWTH = 0.05  # of the mean, from the first to the last sample that is judged
SPARE = 2  # threads and files above those at the beginning: requests in progress
STOP_S = 600.0  # to complete the recording and compress an hour's session


class Viewer(threading.Thread):
    """Reads /stream as fast as it comes; `fault` says why it ended early."""

    def __init__(self, port: int) -> None:
        super().__init__(name="viewer", daemon=True)
        self.reader, self.fault = StreamReader(), ""
        self._socket = connect(port, "/stream")
        self._socket.settimeout(60)
        self._ending = threading.Event()

    def run(self) -> None:
        buffer = bytearray(1 << 18)
        try:
            while not self._ending.is_set():
                if not (count := self._socket.recv_into(buffer)):
                    raise Torn("the stream ended")
                self.reader.take(memoryview(buffer)[:count])
        except (OSError, Torn) as error:
            self.fault = self.fault or str(error)

    def stop(self) -> None:
        self._ending.set()
        self.join(70)
        self._socket.close()


@dataclass(frozen=True)
class Sample:
    """One look at the server. push_mb: of the broadcast's process. at_s: since the beginning."""

    at_s: float
    server_mb: float
    push_mb: float
    threads: int
    files: int
    frames: int
    recorded: int
    recording_mb: float
    dropped: int
    pushed: int


def growth(samples: Sequence[Sample], name: str) -> dict[str, float]:
    """A straight line through `name`, by least squares: MB an hour, and the growth over the time of
    the samples as a share of the mean."""
    times = [one.at_s for one in samples]
    values = [float(getattr(one, name)) for one in samples]
    middle, mean = sum(times) / len(times), sum(values) / len(values)
    spread = sum((time - middle) ** 2 for time in times)
    products = ((t - middle) * (v - mean) for t, v in zip(times, values, strict=True))
    slope = sum(products) / spread if spread else 0.0
    share = slope * (times[-1] - times[0]) / mean if mean else 0.0
    return {
        "mean_mb": round(mean, 1),
        "mb_per_hour": round(slope * 3600, 2),
        "share": round(share, 4),
    }


class Show:
    """The server while it is recorded and broadcast."""

    def __init__(self, port: int, server: subprocess.Popen[bytes]) -> None:
        self.port, self.began = port, time.monotonic()
        self.process = psutil.Process(server.pid)
        self.pushers: set[int] = set()  # a second one means that the broadcast broke off
        self.faults: list[str] = []

    def sample(self) -> Sample:
        status = json.loads(ask(self.port, "GET", "/status")[1])
        recording = json.loads(ask(self.port, "GET", "/recording")[1])
        broadcast = json.loads(ask(self.port, "GET", "/broadcast")[1])
        children = self.process.children(recursive=True)
        pushers = [one for one in children if "turbostream.sinks.push_process" in one.cmdline()]
        self.pushers |= {one.pid for one in pushers}
        return Sample(
            at_s=round(time.monotonic() - self.began, 1),
            server_mb=round(self.process.memory_info().rss / 1e6, 2),
            push_mb=round(sum(one.memory_info().rss for one in pushers) / 1e6, 2),
            threads=self.process.num_threads(),
            files=self.process.num_fds(),
            frames=status["frames"],
            recorded=recording["frames"],
            recording_mb=round(recording["bytes"] / 1e6, 2),
            dropped=recording["dropped"],
            pushed=broadcast["frames"],
        )

    def until(self, end_s: float) -> list[Sample]:
        """A sample every few seconds, a line a minute."""
        samples, minute = [self.sample()], 0
        while (left := end_s - (time.monotonic() - self.began)) > 0:
            time.sleep(min(SAMPLE_S, left))
            try:
                samples.append(self.sample())
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.faults.append(f"a sample: {error!r}")  # the next one may succeed
                continue
            if samples[-1].at_s >= 60 * (minute + 1):
                minute = int(samples[-1].at_s // 60)
                line = " ".join(f"{name} {value}" for name, value in asdict(samples[-1]).items())
                print(f"{minute:4d} min  {line}", flush=True)
        return samples


def order_of(folder: Path, name: str) -> dict[str, Any]:
    """The session's and the video's frames, and the first thing that is out of order in them."""
    session = read_session(folder / f"{name}.jsonl.gz")
    numbers = scenes = 0
    fault, last = "", (0, -1e9)
    for event in session.events():  # raises SessionError where numbers or times do not rise
        if isinstance(event, SceneAt):
            scenes += 1
        if not isinstance(event, FrameAt):
            continue
        if not fault and (event.number <= last[0] or event.at <= last[1]):
            fault = f"frame {event.number} at {event.at} after {last[0]} at {last[1]}"
        last, numbers = (event.number, event.at), numbers + 1
    times: list[int] = []
    with av.open(str(folder / f"{name}.mp4")) as video:
        for packet in video.demux(video=0):
            if packet.pts is not None:
                times.append(packet.pts)
    falls = sum(after <= before for before, after in zip(times, times[1:], strict=False))
    return {
        "session_frames": numbers,
        "session_scenes": scenes,
        "session_fault": fault or session.truncated,
        "video_frames": len(times),
        "video_times_out_of_order": falls,
    }


def faults_of(result: dict[str, Any], samples: Sequence[Sample], log: str) -> list[str]:
    """What did not hold, a sentence each."""
    first, last, broadcast = samples[0], samples[-1], result["broadcast"]
    kept = {
        "the viewer's stream was faulty": not result["viewer_fault"],
        "a request failed": not result["request_faults"],
        "the session is out of order": not result["session_fault"],
        "the video's times do not rise": not result["video_times_out_of_order"],
        "the video lacks frames": result["video_frames"] == result["recorded"],
        "the session lacks frames": result["session_frames"]
        >= result["recorded"] + result["dropped"],
        "threads grew": last.threads <= first.threads + SPARE,
        "open files grew": last.files <= first.files + SPARE,
        "the broadcast broke off": result["pushers"] == 1 and broadcast["connected"],
        "the log has a traceback": "Traceback" not in log,
        "the program ended with an error": result["status"] == 0,
    } | {
        f"the memory grew: {name}": result[name]["share"] <= MOST_GROWTH
        for name in ("server_mb", "push_mb")
    }
    return [fault for fault, holds in kept.items() if not holds]


def soak(given: argparse.Namespace, folder: Path, log: Any) -> dict[str, Any]:
    port, hls = free_port(), folder / "hls"
    command = [sys.executable, "realtime_stream.py", "--server-port", str(port), "--record"]
    command += ["--target-fps", str(given.target_fps), "--recordings-dir", str(folder / "films")]
    server = subprocess.Popen(
        command, cwd=ROOT, stderr=log,
        env={**os.environ, "STATE_DIR": str(folder / "state"), "MODEL_ID": "demo",
             "PUSH_URL": given.push or str(hls)},
    )  # fmt: skip
    viewer = actor = None
    try:
        wait_for(port, server)
        wait_until_healthy(port)
        viewer, actor = Viewer(port), Actor(port, given.seed)
        viewer.start()
        actor.start()
        time.sleep(min(30.0, given.minutes * 6))  # the encoders are imported by then
        show = Show(port, server)
        samples = show.until(given.minutes * 60)
        actor.stop()
        viewer.stop()
        recording = json.loads(ask(port, "POST", "/recording", {"on": False})[1])
        until = time.monotonic() + STOP_S
        while recording["on"] and time.monotonic() < until:
            time.sleep(1.0)
            recording = json.loads(ask(port, "GET", "/recording")[1])
        broadcast = json.loads(ask(port, "GET", "/broadcast")[1])
        server.terminate()
        status = server.wait(60)
    finally:
        server.kill()
        server.wait()
    judged = [one for one in samples if one.at_s >= SETTLE_SHARE * samples[-1].at_s]
    numbers = [number for number, _, _ in viewer.reader.frames]
    playlist = hls / PLAYLIST
    log.seek(0)
    result = {
        "frames_per_second": round(
            (samples[-1].frames - samples[0].frames) / (samples[-1].at_s - samples[0].at_s), 2
        ),
        "server_mb": growth(judged, "server_mb"),
        "push_mb": growth(judged, "push_mb"),
        "first": asdict(samples[0]),
        "last": asdict(samples[-1]),
        "viewer_frames": len(numbers),
        "viewer_fault": viewer.fault,
        "acts": dict(sorted(actor.done.items())),
        "request_faults": (actor.faults + show.faults)[:20],
        "recorded": recording["frames"],
        "dropped": recording["dropped"],
        "recording_bytes": recording["bytes"],
        "recording_message": recording["message"],
        "pushers": len(show.pushers),
        "broadcast": broadcast,
        "playlist": playlist.read_text().splitlines()[:5] if playlist.exists() else [],
        "status": status,
        **order_of(folder / "films", recording["name"]),
    }
    return result | {"faults": faults_of(result, samples, log.read())}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--target-fps", type=float, default=30.0)
    parser.add_argument("--push", metavar="URL", help="default: an HLS folder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", metavar="NAME", help="write the line to benchmarks/results/")
    given = parser.parse_args()
    facts = {"benchmark": "show_soak", **machine(), "minutes": given.minutes, "seed": given.seed}
    with (
        tempfile.TemporaryDirectory(prefix="show-soak-") as folder,
        tempfile.TemporaryFile("w+", encoding="utf-8") as log,
    ):
        result = soak(given, Path(folder), log)
    emit({**facts, "target_fps": given.target_fps, **result}, given.save)
    return 1 if result["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())

"""What a recording costs the stream, and how exact its timestamps are.

`python -m benchmarks.recording [--engine model|simulated] [--rounds 3] [--seconds 5]`
`python -m benchmarks.recording --presets [--width 512 --height 512]`

Paints in this process with the model (--model-id, --width, --height, --target-fps) or with an
engine that takes 22 ms per frame without using the CPU, as a GPU does. One viewer is simulated, so
that frames are painted without a recording too. Each round measures --seconds without and as long
with a recording, in turn, so that a change of the machine's load affects both. Prints a table and
one JSON line: frames/s with and without, their share, the CPU time of the recorder's thread per
frame, frames left out, and the largest difference between a timestamp that ffprobe reads and the
time of the frame's shot. --presets compares presets of x264 on 60 frames of the model instead: CPU
time per frame, bytes, PSNR and SSIM of the luma.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.control import Simulated
from benchmarks.report import emit, machine
from turbostream.settings import Settings
from turbostream.sinks.recorder import Recorder
from turbostream.sinks.session_reader import read_session
from turbostream.stream.channel import Channel
from turbostream.stream.engine_api import Engine, Report
from turbostream.stream.frame import Frame
from turbostream.stream.scene import Scene
from turbostream.stream.scheduled_channel import ScheduledChannel
from turbostream.stream.supervisor import Supervisor

WARM_S = 1.0
PRESET_FRAMES = 60


def opener(options: argparse.Namespace, settings: Settings) -> Callable[[Report], Engine]:
    if options.engine == "simulated":
        return lambda report: Simulated()
    from turbostream.engine import open_engine, weights

    return partial(open_engine, settings, weights.find(settings.model_id, settings.device))


class Frames:
    """The frames that `channel` publishes, without their pictures."""

    def __init__(self, channel: Channel) -> None:
        self.taken: dict[int, float] = {}
        self.first = threading.Event()
        channel.buffer.listen(self._hear)

    def _hear(self, frame: Frame) -> None:
        self.taken[frame.number] = frame.taken
        self.first.set()

    def rate(self, seconds: float) -> float:
        """Frames/s from now on, over `seconds`."""
        before, began = len(self.taken), time.monotonic()
        time.sleep(seconds)
        return (len(self.taken) - before) / (time.monotonic() - began)


def cpu_of(thread: str) -> float:
    """CPU seconds that the thread of this name has used; 0 if there is none."""
    for one in threading.enumerate():
        if one.name == thread and one.ident is not None:
            return time.clock_gettime(time.pthread_getcpuclockid(one.ident))
    return 0.0


def timestamps(video: Path) -> list[float]:
    command = ["ffprobe", "-v", "error", "-show_entries", "packet=pts_time", "-of", "csv=p=0"]
    done = subprocess.run([*command, str(video)], capture_output=True, text=True, check=True)
    return [float(line.rstrip(",")) for line in done.stdout.split()]


def largest_error_ms(recorder: Recorder, name: str, taken: dict[int, float]) -> float:
    """Between each timestamp and the time of the nearest frame of the recording."""
    session = read_session(recorder.path(f"{name}.jsonl.gz"))
    own = [taken[frame.number] for frame in session.frames()]
    return max(
        min(abs(at - (time - own[0])) for time in own)
        for at in timestamps(recorder.path(f"{name}.mp4"))
    ) * 1000  # fmt: skip


def measured(recorder: Recorder, frames: Frames, seconds: float) -> dict[str, Any]:
    """One round: without, then with a recording."""
    without = frames.rate(seconds)
    recorder.start()
    time.sleep(WARM_S)  # the encoder is imported by now
    before, recorded = cpu_of("recorder"), recorder.status()["frames"]
    with_recording = frames.rate(seconds)
    cpu_s, recorded = cpu_of("recorder") - before, recorder.status()["frames"] - recorded
    status = recorder.stop()
    if status["name"] is None or not status["frames"]:
        raise SystemExit("No frame was painted meanwhile: give more --seconds.")
    return {
        "frames_per_second": round(without, 2),
        "while_recording": round(with_recording, 2),
        "share": round(with_recording / without, 3) if without else 0.0,
        "cpu_ms_per_frame": round(cpu_s * 1000 / max(1, recorded), 2),
        "cpu_share_of_a_core": round(cpu_s / seconds, 3),
        "dropped": status["dropped"],
        "bytes_per_second": round(status["bytes"] / max(0.001, status["seconds"])),
        "largest_error_ms": round(largest_error_ms(recorder, status["name"], frames.taken), 3),
    }


def recording(options: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    size = (settings.width, settings.height)
    channel = Channel("main", Scene.single(settings.initial_prompt, "walk", 0.15, 0, *size))
    scheduled = ScheduledChannel(channel, settings.target_fps)
    supervisor = Supervisor([scheduled], opener(options, settings))
    recorder, frames, rows = Recorder(channel, settings, settings.model_id), Frames(channel), []
    print("frames/s  recording  share  CPU ms/frame  of a core  dropped  kB/s  error ms")
    with channel.watched():
        supervisor.start()
        frames.first.wait()
        time.sleep(WARM_S)
        for _ in range(options.rounds):
            row = measured(recorder, frames, options.seconds)
            rows.append(row)
            print(
                f"{row['frames_per_second']:8.2f}  {row['while_recording']:9.2f}"
                f"  {row['share']:5.1%}  {row['cpu_ms_per_frame']:12.2f}"
                f"  {row['cpu_share_of_a_core']:9.1%}  {row['dropped']:7d}"
                f"  {row['bytes_per_second'] / 1000:4.0f}  {row['largest_error_ms']:8.3f}",
                flush=True,
            )
        facts = supervisor.engine_facts
    supervisor.stop(timeout_s=10.0)
    rates = [sum(row[name] for row in rows) for name in ("frames_per_second", "while_recording")]
    print(f"{rates[1] / rates[0]:.1%} of the frames over all rounds")
    return {"rows": rows, "share": round(rates[1] / rates[0], 4), "engine": facts}


def presets(settings: Settings) -> dict[str, Any]:
    from benchmarks.presets import compare
    from turbostream.engine import open_engine, weights

    found = weights.find(settings.model_id, settings.device)
    engine = open_engine(settings, found, lambda status: None)
    scene = Scene.single(settings.initial_prompt, "walk", 0.15, 0, settings.width, settings.height)
    scene = scene.changed(1.0, {"prompt": "a red house on a green field", "fade_s": 1.0})
    shots = [scene.shot_at(1 + number / 30, number + 1) for number in range(PRESET_FRAMES)]
    jpegs = [engine.submit([shot]).result()[0].jpeg for shot in shots]
    engine.close()
    return {"presets": compare(jpegs)}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--engine", choices=("model", "simulated"), default="model")
    parser.add_argument("--model-id", default="demo")
    parser.add_argument("--width", type=int)
    parser.add_argument("--height", type=int)
    parser.add_argument("--target-fps", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--presets", action="store_true")
    parser.add_argument("--save", help="a name in benchmarks/results")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="recording-") as folder:
        settings = Settings(
            target_fps=options.target_fps,
            initial_prompt="three yellow stars on a night sky",
            model_id=options.model_id,
            server_port=0,
            width=options.width,
            height=options.height,
            state_dir=Path(folder),
        )
        found = presets(settings) if options.presets else recording(options, settings)
    result = {"benchmark": "recording", "target_fps": options.target_fps}
    emit({**result, "seconds": options.seconds, **found, **machine()}, options.save)


if __name__ == "__main__":
    main()

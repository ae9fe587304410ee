"""A feedback zoom, recorded and painted again from its session: are the pictures equal by hash?

`python -m benchmarks.replay_feedback [--seconds 60] [--target-fps 30] [--model-id demo] [--save X]`

Paints in this process, as the server does, and records --seconds of a chain in which every frame
starts from an earlier one, with fades between words. Then process_batch.py, a process of its own,
paints the session again. Prints one JSON line: how many frames there were, how many links the
longest chain had, and how many pictures are equal byte for byte, which has to be all; otherwise the
status is 1.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

from benchmarks.recording import Frames
from benchmarks.report import emit, machine
from turbostream.engine import open_engine, weights
from turbostream.settings import Settings
from turbostream.sinks.recorder import Recorder
from turbostream.sinks.session import digest
from turbostream.sinks.session_reader import Session, read_session
from turbostream.sources import open_sources
from turbostream.stream.channel import Channel
from turbostream.stream.scene import Scene
from turbostream.stream.scheduled_channel import ScheduledChannel
from turbostream.stream.shot import EarlierFrame
from turbostream.stream.supervisor import Supervisor

ROOT = Path(__file__).resolve().parent.parent
WARM_S = 2.0  # of feedback before the recording, which then begins within the chain
WORDS = ("three yellow stars", "a red heart", "a blue house on a green field", "a white moon")
CHANGE_S = 5.0
FEEDBACK = {"source": "feedback", "strength": 0.5, "zoom": 1.3, "rotation": 10.0}


def show(settings: Settings, seconds: float) -> Path:
    """Paint and record; the path of the session."""
    found = weights.find(settings.model_id, settings.device)
    size = (settings.width, settings.height)
    channel = Channel("main", Scene.single(WORDS[0], "walk", 0.15, 0, *size))
    sources = open_sources(settings, channel)
    opener = partial(open_engine, settings, found, resolve=sources.resolve)
    supervisor = Supervisor([ScheduledChannel(channel, settings.target_fps)], opener)
    recorder, frames = Recorder(channel, settings, settings.model_id), Frames(channel)
    with channel.watched():
        supervisor.start()
        frames.first.wait()
        channel.change(FEEDBACK)
        time.sleep(WARM_S)
        recorder.start()
        until, words = time.monotonic() + seconds, cycle(WORDS)
        while (left := until - time.monotonic()) > 0:
            channel.change({"prompt": next(words), "fade_s": 2.0})
            time.sleep(min(CHANGE_S, left))
        status = recorder.stop(timeout_s=120.0)
    supervisor.stop(timeout_s=10.0)
    if status["on"] or status["name"] is None:
        raise SystemExit(f"The recording failed: {status['message']}")
    return recorder.path(f"{status['name']}.jsonl.gz")


def longest_chain(session: Session) -> int:
    """Links, as far as the session has their frames."""
    links: dict[int, int] = {}
    for frame in session.frames():
        source = frame.shot.source
        if isinstance(source, EarlierFrame):
            links[frame.number] = links.get(source.number, 0) + 1
    return max(links.values(), default=0)


def replayed(session: Session, folder: Path, settings: Settings) -> dict[str, Any]:
    """The session painted again by the program, and its pictures compared with the show's."""
    command = [sys.executable, "process_batch.py", "--replay", str(session.path), "--out"]
    environ = {**os.environ, "STATE_DIR": str(folder / "state"), "DEVICE": settings.device}
    began = time.monotonic()
    done = subprocess.run([*command, str(folder / "again")], cwd=ROOT, env=environ, check=False)
    took = time.monotonic() - began
    frames, equal = 0, 0
    for frame in session.frames():
        frames += 1
        picture = folder / "again" / f"{frames:06d}.jpg"
        equal += picture.is_file() and digest(picture.read_bytes()) == frame.sha256
    return {
        "frames": frames,
        "equal": equal,
        "longest_chain": longest_chain(session),
        "replay_s": round(took, 1),
        "status": done.returncode,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--target-fps", type=float, default=30.0)
    parser.add_argument("--model-id", default="demo")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--save", metavar="NAME", help="write the line to benchmarks/results/")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="replay-feedback-") as name:
        settings = Settings(
            target_fps=options.target_fps,
            initial_prompt=WORDS[0],
            model_id=options.model_id,
            server_port=0,
            device=options.device,
            state_dir=Path(name),
        )
        session = read_session(show(settings, options.seconds))
        result = replayed(session, Path(name), settings)
    facts = {"benchmark": "replay_feedback", "seconds": options.seconds, "model": options.model_id}
    emit({**facts, "target_fps": options.target_fps, **result, **machine()}, options.save)
    return 0 if result["equal"] == result["frames"] > 0 and not result["status"] else 1


if __name__ == "__main__":
    sys.exit(main())

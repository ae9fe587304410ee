"""How fast a recorded session is painted again, next to the live rate.

    python -m benchmarks.replay [--random-weights] [--seconds 10] [--out FILE]

Records a session of --seconds through the scheduler as fast as the engine paints, then replays it
into a folder of JPEGs: as the show was painted, which gives its pictures byte for byte, and at the
engine's full batch. Both include the JPEGs' encoding, hashing and writing. Prints a table, then one
JSON line.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks import models
from benchmarks.run import Run, add_options
from turbostream.batch.replay import Options, Plan, Replay
from turbostream.batch.screen import Screen
from turbostream.engine.local_engine import LocalEngine
from turbostream.sinks.session import Header, SessionWriter
from turbostream.sinks.session_reader import read_session
from turbostream.stream.channel import Channel
from turbostream.stream.frame import Frame
from turbostream.stream.scene import Scene
from turbostream.stream.scheduled_channel import ScheduledChannel
from turbostream.stream.supervisor import Supervisor

PROMPT_INTERVAL_S = 2.0
SETTLE_S = 2.0  # until all CUDA streams have changed over to compiled code
REPORTED = ("identical", "look the same")


class Kept:
    """An engine that several replays use in turn."""

    def __init__(self, engine: LocalEngine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def close(self) -> None:
        pass


class ReplayRun(Run):
    session: Path  # a folder

    def record(self) -> None:
        """The live rate, and the session."""
        pipe = models.load(self.folder, self.device)
        scene = Scene.single(self.settings().initial_prompt, speed=1.0)
        channel = Channel("main", scene)
        frames: list[Frame] = []
        first = threading.Event()
        engines: list[LocalEngine] = []

        def open_engine(_: Any) -> LocalEngine:
            engines.append(self.open(pipe))
            return engines[0]

        def note(frame: Frame) -> None:
            frames.append(frame)
            first.set()

        channel.buffer.listen(note)
        supervisor = Supervisor([ScheduledChannel(channel, 1000)], open_engine)
        with channel.watched():
            supervisor.start()
            try:
                if not first.wait(self.left_s()):
                    raise RuntimeError("no frame came in time")
                self.compiled(engines[0], 1)
                own = engines[0].model.own_size
                header = Header(time.time(), "demo", own, 85, "tiny", 1000.0)
                writer = SessionWriter(self.session / "show.jsonl", header)
                frames.clear()
                change, now = channel.snapshot()
                writer.scene(change.scene, now)
                began = time.monotonic()
                while (passed := time.monotonic() - began) < self.options.seconds:
                    channel.change({"prompt": f"a red star, variant {passed:.0f}", "fade_s": 1.0})
                    time.sleep(PROMPT_INTERVAL_S)
                took = time.monotonic() - began
                shown = list(frames)
            finally:
                supervisor.stop(30)
        for frame in shown:
            writer.frame(frame)
        writer.close()
        self.note(live_fps=round(len(shown) / took, 1), frames=len(shown))
        self.note(live_kind=shown[-1].fingerprint.rpartition(" ")[0].rpartition(" ")[2])

    def replay(self, engine: LocalEngine, name: str, batch: int | None) -> None:
        options = Options(self.session / "show.jsonl.gz", self.session / name, batch=batch)
        text = io.StringIO()
        plan = Plan(read_session(options.session), options, lambda sentence: None)
        began = time.monotonic()
        Replay(options, plan, name, Screen(text)).paint(lambda resolve: Kept(engine), None)
        took = time.monotonic() - began
        said = [line for line in text.getvalue().splitlines() if any(w in line for w in REPORTED)]
        self.note(**{f"{name}_fps": round(plan.count / took, 1), f"{name}_report": said})

    def compiled(self, engine: LocalEngine, batch: int) -> None:
        """Wait until the code for `batch` shots is compiled, if it will be."""
        if engine.compiler is not None:
            engine.compiler.wait(batch, max(0.0, self.left_s() / 2))
            time.sleep(SETTLE_S)

    def both(self) -> None:
        """The session replayed as the show was painted, then at the full batch."""
        engine = self.open(models.load(self.folder, self.device))
        try:
            self.compiled(engine, 1)
            self.replay(engine, "exact", None)
            shot = next(read_session(self.session / "show.jsonl.gz").frames()).shot
            engine.submit([shot] * engine.max_batch).result()  # requests the code for this size
            self.compiled(engine, engine.max_batch)
            self.replay(engine, "full", 0)
            self.note(batch=engine.max_batch)
        finally:
            engine.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument("--seconds", type=float, default=10.0, help="of the session")
    run = ReplayRun(parser.parse_args())
    with tempfile.TemporaryDirectory(prefix="replay-") as name:
        run.session = Path(name)
        run.part(run.record)
        if not run.failed:
            run.part(run.both)
    rows = ((name, run.row.get(name, "-")) for name in ("live_fps", "exact_fps", "full_fps"))
    return run.end("\n".join(f"{name:10} {value:>8}" for name, value in rows))


if __name__ == "__main__":
    sys.exit(main())

"""The loop that keeps one release's server alive; loop.sh is its command line and its help.

Its state is in memory. Files, links and log lines that cannot be written are written at a later
tick: a server that crashes while the disk is full is still restarted.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from files import Log, has_space, read_small

QUICK_S = float(os.environ.get("LOOP_QUICK_S") or 60)  # a run that is shorter counts as quick
QUICK_MOST = 5
FIRST_PAUSE_S = float(os.environ.get("LOOP_PAUSE_S") or 1)
LONGEST_PAUSE_S = 30.0
LOG_MOST = int(os.environ.get("LOG_MOST_KB") or 20000) * 1024  # bytes
LOGS_KEPT = 3
TICK_S = 0.5

# $1: the release's folder, $2: its interpreter's, $3: HANDOVER if it differs from the settings.
SERVER = (
    'cd "$1" && . .deploy/settings && { [[ -z $3 ]] || HANDOVER=$3; } && '
    'export HANDOVER PATH="$2:$PATH" TURBOSTREAM_RELEASE="$1" && exec python3 realtime_stream.py'
)


def main(program: str, arguments: list[str]) -> int:
    del program
    loop = Loop(Path(arguments[0]), arguments[1])
    try:
        reason = loop.run()
    except OSError as error:
        reason = f"the loop cannot continue ({error})."
    loop.report_end(reason)
    loop.leave()
    return 0


class Loop:
    def __init__(self, base: Path, release: str) -> None:
        self._base, self._release = base, release
        self._folder = base / "releases" / release
        self._log = Log(self._folder / "server.log", "[loop] ")
        self._pid_file = base / "run" / f"{release}.loop"
        self._has_written_pid = False
        self._served = False  # this release's server has held the public port
        self._linked = False
        self._stopping = False
        self._trouble = ""
        self._child: subprocess.Popen[bytes] | None = None
        self._wakes, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop())

    def run(self) -> str:
        """Start the server until it must not be restarted; why, in one sentence."""
        self._tick()
        python = Path((self._folder / ".deploy/python").read_text(encoding="utf-8").strip())
        quick, pause = 0, FIRST_PAUSE_S
        while True:
            begun = time.monotonic()
            status = self._run_server(python)
            if self._stopping:
                return "the server was stopped."
            if status == 0:
                return "the server ended by itself (0)."
            if status == 2:
                return "the server cannot work with these settings (2)."
            if not self._served and status != 70 and status <= 128:
                return f"the server ended with status {status} before it painted a picture."
            if time.monotonic() - begun >= QUICK_S:
                quick, pause = 0, FIRST_PAUSE_S
            if has_space(self._base):
                quick += 1
            else:
                pause = min(pause, LONGEST_PAUSE_S)  # the disk may be the cause: never give up
            if quick >= QUICK_MOST:
                return (
                    f"the server ended {quick} times in a row, most recently with status {status}: "
                    "giving up."
                )
            self._log.say(
                f"the server ended with status {status}: starting it again in {pause:g} s."
            )
            until = time.monotonic() + pause
            while not self._stopping and time.monotonic() < until:
                self._sleep(until - time.monotonic())
            if self._stopping:
                return "the server was stopped."
            pause *= 2

    def leave(self) -> None:
        """End the server, which must not outlive this process."""
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()
        with suppress(OSError):  # unless a later loop of this release has written its own number
            if self._pid_file.read_text(encoding="ascii").strip() in ("", str(os.getpid())):
                os.unlink(self._pid_file)

    def report_end(self, reason: str) -> None:
        """Tell a start that waits how it ended: at least that it did, by an empty file."""
        self._log.say(reason)
        new = self._pid_file.with_suffix(".ended.new")
        with suppress(OSError):
            with suppress(OSError):
                new.write_text(f"{reason}\n", encoding="utf-8")
            os.replace(new, self._pid_file.with_suffix(".ended"))

    # -- one run of the server -------------------------------------------------------------------

    def _run_server(self, python: Path) -> int:
        """Its exit status; 128 and the signal where a signal ended it."""
        handover = "offer" if self._served else ""  # do not take the port back from a later release
        command = ["bash", "-c", SERVER, "bash", str(self._folder), str(python.parent), handover]
        try:
            output = os.open(
                self._folder / "server.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644
            )
        except OSError:
            output = os.open(os.devnull, os.O_WRONLY)
        try:
            self._child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        except OSError as error:
            self._log.say(f"the server cannot be started: {error.strerror}.")
            return 70
        finally:
            os.close(output)
        if self._stopping:  # the signal came before there was a process
            self._child.terminate()
        while self._child.poll() is None:
            self._tick()
            self._sleep(TICK_S)
        status = self._child.returncode
        return status if status >= 0 else 128 - status

    def _stop(self) -> None:
        self._stopping = True
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()

    def _sleep(self, seconds: float) -> None:
        """At most until a signal arrives."""
        if select.select([self._wakes], [], [], max(0.0, seconds))[0]:
            os.read(self._wakes, 4096)

    # -- beside the server -----------------------------------------------------------------------

    def _tick(self) -> None:
        """Set the links once it serves, rotate the log, and retry what could not be written."""
        trouble = "" if has_space(self._base) else "the disk is full: make room on it"
        for step in (self._write_pid, self._check_serving, self._rotate):
            try:
                step()
            except OSError as error:
                problem = f"{error.filename or self._base} cannot be written: {error.strerror}"
                trouble = trouble or problem
        if trouble != self._trouble:
            self._trouble = trouble
            self._log.say(f"WARNING: {trouble}." if trouble else "the disk has space again.")
        self._log.flush()

    def _write_pid(self) -> None:
        if not self._has_written_pid:
            self._pid_file.parent.mkdir(parents=True, exist_ok=True)
            self._pid_file.write_text(f"{os.getpid()}\n", encoding="ascii")
            self._has_written_pid = True

    def _check_serving(self) -> None:
        if self._child is None or (self._served and self._linked):
            return
        try:
            words = read_small(self._base / "state/serving").split(None, 2)
        except OSError:
            return  # nothing serves, or it is unknown
        if words[:1] != [str(self._child.pid)]:
            return
        self._served = True
        self._link_all()
        self._linked = True

    def _link_all(self) -> None:
        current = self._base / "current"
        target = f"releases/{self._release}"
        before = os.readlink(current) if current.is_symlink() else ""
        if before == target:
            return
        if before and (self._base / before).is_dir():
            self._link(before, "previous")
        self._link(f"{target}/server.log", "server.log")
        self._link("current/realtime_stream.py", "realtime_stream.py")
        self._link("current/process_batch.py", "process_batch.py")
        self._link(target, "current")

    def _link(self, target: str, name: str) -> None:
        """Atomically; a regular file of that name is renamed first."""
        path = self._base / name
        if path.exists() and not path.is_symlink():
            aside = path.with_name(f"{name}.before-{self._release}")
            os.rename(path, aside)
            self._log.say(f"{path} was a file: it is now {aside}.")
        new = path.with_name(f"{name}.{self._release}")
        with suppress(FileNotFoundError):
            os.unlink(new)
        os.symlink(target, new)
        os.replace(new, path)

    def _rotate(self) -> None:
        """Copy and truncate it, so that open descriptors stay valid."""
        log = self._folder / "server.log"
        if not log.is_file() or log.stat().st_size <= LOG_MOST:
            return
        for kept in range(LOGS_KEPT, 1, -1):
            with suppress(FileNotFoundError):
                os.replace(f"{log}.{kept - 1}", f"{log}.{kept}")
        try:
            shutil.copyfile(log, f"{log}.1")
        except OSError as error:
            # A growing log would keep the disk full, so drop this one.
            with suppress(OSError):
                os.unlink(f"{log}.1")
            os.truncate(log, 0)
            self._log.say(f"the log was truncated and not kept ({error.strerror}).")
            return
        os.truncate(log, 0)

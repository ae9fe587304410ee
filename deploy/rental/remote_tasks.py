"""Runs the scripts that a user types, and commands on the rented instance through them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from rental import record
from rental.client import say
from rental.endpoints import public_page

ROOT = Path(__file__).resolve().parents[2]
_passphrase = os.environ.pop("PASSPHRASE", "")


def confirmed(question: str, without_terminal: bool = False) -> bool:
    """The user's answer, yes by default; without a terminal, `without_terminal`."""
    if not sys.stdin.isatty():
        if not without_terminal:
            say(f"{question} There is no terminal to answer at: use --yes.")
        return without_terminal
    try:
        print(f"[vast] {question} [Y/n] ", end="", file=sys.stderr, flush=True)
        return not sys.stdin.readline().strip().lower().startswith("n")
    except OSError:  # the terminal was closed
        return without_terminal


def script(name: str, *arguments: str, **options: Any) -> int:
    """Run one of the scripts; it reads the passphrase from a pipe, not from its environment.

    Ctrl-C also reaches the script, which cleans up: it is raised here once the script has ended.
    """
    environment = dict(os.environ)
    descriptors: tuple[int, ...] = ()
    if _passphrase:
        reader, writer = os.pipe()
        os.write(writer, f"{_passphrase}\n".encode())
        os.close(writer)
        os.set_inheritable(reader, True)
        environment["CONNECT_SECRET"] = str(reader)
        descriptors = (reader,)
    interrupted = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: interrupted.set())
    command = ["bash", str(ROOT / name), *arguments]
    try:
        process = subprocess.Popen(command, env=environment, pass_fds=descriptors, **options)
        try:
            code = process.wait()
        except BaseException:  # SIGTERM ends this program, and the script with it
            process.terminate()
            process.wait()
            raise
    finally:
        signal.signal(signal.SIGINT, before)
        for descriptor in descriptors:
            os.close(descriptor)
    if interrupted.is_set():
        raise KeyboardInterrupt
    return code


def remote(*arguments: str, **options: Any) -> int:
    """deploy/remote.sh with these arguments."""
    return script("deploy/remote.sh", *arguments, **options)


def cards(instance: dict[str, Any]) -> str:
    """Its GPUs, such as RTX 4090 or 4x RTX 4090."""
    name, count = str(instance.get("gpu_name", "?")), instance.get("num_gpus") or 1
    return name if count == 1 else f"{count}x {name}"


def print_status(instance: dict[str, Any]) -> None:
    rental = record.read()
    began = float(instance.get("start_date") or rental.get("asked_at") or time.time())
    hours = max(0.0, time.time() - began) / 3600
    price = float(instance.get("dph_total") or rental.get("dph") or 0.0)
    print(f"instance  {instance['id']} ({cards(instance)}): {instance.get('actual_status')}")
    print(
        f"cost      ${price * hours:.2f} so far, {hours:.2f} h at ${price:.3f}, traffic not counted"
    )
    page = public_page(instance)
    if page:
        print(f"page      {page}")
    sys.stdout.flush()
    if remote("host", "status", stdin=subprocess.DEVNULL) == 255:
        print("guard     unknown: the instance does not answer")


def logs() -> int:
    remote("run", "nvidia-smi", stdin=subprocess.DEVNULL)
    return remote("host", "logs")

"""What is done on a rented instance, through the same scripts that a user types."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rental import life, reach, record
from rental.client import say

ROOT = Path(__file__).resolve().parents[2]
REACH_LIMIT_S = float(os.environ.get("VAST_REACH_LIMIT_S", "180"))
_passphrase = os.environ.pop("PASSPHRASE", "")


def agreed(question: str, unasked: bool = False) -> bool:
    """Yes by default at a terminal. Without one: `unasked`, and said so."""
    if not sys.stdin.isatty():
        if not unasked:
            say(f"{question} There is no terminal to ask at: give --yes if you mean it.")
        return unasked
    print(f"[vast] {question} [Y/n] ", end="", file=sys.stderr, flush=True)
    return not sys.stdin.readline().strip().lower().startswith("n")


def script(name: str, *arguments: str, **options: Any) -> int:
    """Run one of the scripts; the passphrase goes through a pipe, not through its environment.

    Ctrl-C reaches the script as well, which cleans up: it is raised here once the script has ended.
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
        except BaseException:  # SIGTERM ends this program: the script may not outlive it
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
    return script("deploy/remote.sh", *arguments, **options)


def furnish(instance: dict[str, Any], hours: float, idle_minutes: float) -> int:
    """Write the address down, arm the guard there and read it back. 0, or 3 without a guard."""
    price = float(instance.get("dph_total") or record.read().get("price") or 0.0)
    values = {"id": int(instance["id"]), "user": "root", "dph": price, "started_at": time.time()}
    reached = False
    begun = time.monotonic()
    while not reached and time.monotonic() - begun < REACH_LIMIT_S:
        ways = reach.fastest_first(life.ways(instance))
        for way in ways:
            record.write(**values, host=way.host, port=way.port)
            said = subprocess.DEVNULL if time.monotonic() - begun < REACH_LIMIT_S / 2 else None
            if remote("run", "true", stderr=said, stdin=subprocess.DEVNULL) == 0:
                say(f"to its ssh greeting: {', '.join(map(str, ways))}.")
                say(f"reached at {way.host}:{way.port} ({way.kind}).")
                reached = True
                break
        else:
            time.sleep(min(5.0, life.POLL_S))
    if not reached:
        say(
            f"INSTANCE {instance['id']} RUNS, IS BILLED AND CANNOT BE REACHED BY SSH, so it is not "
            "guarded either: is your public key in your account? deploy/vast.sh down gives it back."
        )
        return 3
    remote("run", "sh", "-c", "touch ~/.no_auto_tmux", stdin=subprocess.DEVNULL)
    armed = remote(
        *("guard", "arm", "--hours", f"{hours:.4f}", "--idle-minutes", f"{idle_minutes:.4f}"),
        stdin=subprocess.DEVNULL,
    )
    if armed == 0:
        armed = remote("guard", "status", stdin=subprocess.DEVNULL, stdout=sys.stderr)
    if armed != 0:
        say(f"INSTANCE {instance['id']} IS NOT GUARDED: nothing but deploy/vast.sh down ends it.")
        return 3
    page = life.public_page(instance)
    if page:
        say(f"others reach it at {page} with a token, once it streams.")
    say("next: ./start_stream_server.sh, then ./tunnel_to_stream.sh")
    return 0


def print_status(instance: dict[str, Any]) -> None:
    rental = record.read()
    began = float(instance.get("start_date") or rental.get("asked_at") or time.time())
    hours = max(0.0, time.time() - began) / 3600
    price = float(instance.get("dph_total") or rental.get("dph") or 0.0)
    gpu, state = instance.get("gpu_name", "?"), instance.get("actual_status")
    print(f"instance  {instance['id']} ({gpu}): {state}")
    print(
        f"cost      ${price * hours:.2f} so far, {hours:.2f} h at ${price:.3f}, traffic not counted"
    )
    page = life.public_page(instance)
    if page:
        print(f"page      {page}")
    sys.stdout.flush()
    if remote("host", "status", stdin=subprocess.DEVNULL) == 255:
        print("guard     unknown: the instance cannot be asked")


def logs() -> int:
    remote("run", "nvidia-smi", stdin=subprocess.DEVNULL)
    return remote("host", "logs")


def batch(prompts: Path, out: Path) -> tuple[int, bool]:
    """(the exit status, whether all that was painted is here, checked by its hashes)."""
    quiet: dict[str, Any] = {"stdin": subprocess.DEVNULL}
    folder = os.environ.get("REMOTE_DIR") or "/workspace"
    there = f"{folder}/out"
    price = f"{float(record.read().get('dph') or 0.0):.4f}"
    paint = 'cd "$1" && exec python3 process_batch.py out/prompts.txt out/pictures --price "$2"'
    steps: tuple[Callable[[], int], ...] = (
        lambda: script("start_stream_server.sh", **quiet),
        lambda: remote("host", "stop", **quiet),  # the batch gets the whole memory
        lambda: remote("run", "mkdir", "-p", there, **quiet),
        lambda: remote("push", str(prompts), f"{there}/prompts.txt"),
        lambda: remote("run", "bash", "-c", paint, "batch", folder, price, **quiet),
    )
    code = 0
    try:
        for step in steps:
            code = code or step()
    except KeyboardInterrupt:
        say("interrupted; what is painted is brought home first.")
        code = 130
    painted = remote("run", "test", "-e", f"{there}/pictures/manifest.jsonl", **quiet)
    if painted == 1:
        return code or 1, True  # there is nothing to bring home
    for attempt in range(3):
        if remote("fetch", f"{there}/pictures", str(out), **quiet) == 0 and whole(out):
            return code, True
        say(f"the pictures are not all here (attempt {attempt + 1}).")
        time.sleep(min(5.0, life.POLL_S))
    return code or 1, False


def whole(out: Path) -> bool:
    """Every picture that the manifest names is here with the hash that it was painted with."""
    manifest = out / "manifest.jsonl"
    if not manifest.is_file():
        return False
    for line in manifest.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        picture = out / entry["file"]
        if not picture.is_file():
            return False
        if hashlib.sha256(picture.read_bytes()).hexdigest() != entry["sha256"]:
            return False
    return True

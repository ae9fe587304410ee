"""What is done on a rented instance, through the same scripts that a user types."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rental import life, reach, record
from rental.client import ApiError, Client, say

ROOT = Path(__file__).resolve().parents[2]
REACH_LIMIT_S = float(os.environ.get("VAST_REACH_LIMIT_S", "180"))
GUARD_TRIES = 3
NOTHING = 7  # what the question answers that asks whether anything was painted
_passphrase = os.environ.pop("PASSPHRASE", "")


def agreed(question: str, unasked: bool = False) -> bool:
    """Yes by default at a terminal. Without one: `unasked`, and said so."""
    if not sys.stdin.isatty():
        if not unasked:
            say(f"{question} There is no terminal to ask at: give --yes if you mean it.")
        return unasked
    try:
        print(f"[vast] {question} [Y/n] ", end="", file=sys.stderr, flush=True)
        return not sys.stdin.readline().strip().lower().startswith("n")
    except OSError:  # the terminal was closed
        return unasked


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


def furnish(client: Client, instance: dict[str, Any], hours: float, idle_minutes: float) -> int:
    """Write the address down, arm the guard there and read it back. 0, or 3 without a guard.

    One that cannot be reached is given back: Failed.
    """
    price = float(instance.get("dph_total") or record.read().get("price") or 0.0)
    values = {"id": int(instance["id"]), "user": "root", "dph": price, "started_at": time.time()}
    reached = attached = False
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
            if not attached:  # the account's keys do not reach every instance made by the API
                attached = True
                _attach_key(client, int(instance["id"]))
            time.sleep(min(5.0, life.POLL_S))
    if not reached:
        say(f"instance {instance['id']} cannot be reached by ssh, nor guarded: giving it back.")
        life.give_back(client, int(instance["id"]))
        record.forget()
        raise life.Failed(
            f"Instance {instance['id']} did not let ssh in within {REACH_LIMIT_S:.0f} s: add your "
            "public key to the account (Account, SSH Keys), or name another key as SSH_KEY."
        )
    remote("run", "sh", "-c", "touch ~/.no_auto_tmux", stdin=subprocess.DEVNULL)
    for _ in range(GUARD_TRIES):
        armed = remote(
            *("guard", "arm", "--hours", f"{hours:.4f}", "--idle-minutes", f"{idle_minutes:.4f}"),
            stdin=subprocess.DEVNULL,
        )
        if armed == 0:
            armed = remote("guard", "status", stdin=subprocess.DEVNULL, stdout=sys.stderr)
        if armed == 0:
            break
    if armed != 0:
        say(f"INSTANCE {instance['id']} IS NOT GUARDED: nothing but deploy/vast.sh down ends it.")
        return 3
    page = life.public_page(instance)
    if page:
        say(f"others reach it at {page} with a token, once it streams.")
    say("next: ./start_stream_server.sh, then ./tunnel_to_stream.sh")
    return 0


def _attach_key(client: Client, instance_id: int) -> None:
    """Attach the public key that ssh will offer; what the account has may not have come along."""
    key = public_key()
    if key is None:
        say("there is no public key to attach: make one with ssh-keygen -t ed25519.")
        return
    try:
        client.attach_key(instance_id, key)
    except ApiError as error:
        say(f"your ssh key could not be attached to instance {instance_id}: {error}")
        return
    say(f"instance {instance_id} does not let ssh in yet: your key ({key[-30:]}) was attached.")


def public_key() -> str | None:
    """The line of SSH_KEY's or the first default key's .pub file, else of the agent's first."""
    named = os.environ.get("SSH_KEY")
    names = [named] if named else [f"~/.ssh/{n}" for n in ("id_ed25519", "id_ecdsa", "id_rsa")]
    for name in names:
        file = Path(f"{name.removesuffix('.pub')}.pub").expanduser()
        if file.is_file():
            return file.read_text(encoding="utf-8").strip()
    try:
        listed = subprocess.run(
            ["ssh-add", "-L"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    lines = listed.stdout.splitlines() if listed.returncode == 0 else []
    return lines[0] if lines else None


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
    # What runs there begins in the home, where a quoted tilde would be a folder's name.
    folder = (os.environ.get("REMOTE_DIR") or "/workspace").removeprefix("~/")
    there = f"{folder}/out"
    price = f"{float(record.read().get('dph') or 0.0):.4f}"
    paint = (
        'cd "$1" && echo "$$" >out/painter && '
        'exec python3 process_batch.py out/prompts.txt out/pictures --price "$2"'
    )
    steps: tuple[Callable[[], int], ...] = (
        lambda: script("start_stream_server.sh", **quiet),
        lambda: remote("host", "stop", **quiet),  # the batch gets the whole memory
        lambda: remote("run", "mkdir", "-p", f"{there}/pictures", **quiet),
        lambda: send_earlier(out, f"{there}/pictures"),
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
    if code:  # the painting may go on there, and would change what is fetched
        remote("run", "sh", "-c", STOP, "stop", there, **quiet)
    question = f'test -e "$1" || exit {NOTHING}'
    manifest = f"{there}/pictures/manifest.jsonl"
    if remote("run", "sh", "-c", question, "ask", manifest, **quiet) == NOTHING:
        return code or 1, True  # there is nothing to bring home
    for attempt in range(3):
        if remote("fetch", f"{there}/pictures", str(out), **quiet) == 0 and whole(out):
            return code, True
        say(f"the pictures are not all here (attempt {attempt + 1}).")
        time.sleep(min(5.0, life.POLL_S))
    return code or 1, False


# The process that painted last, and no other that has its number now.
STOP = """
pid=$(cat "$1/painter" 2>/dev/null) || exit 0
painting() { tr '\\0' ' ' <"/proc/$pid/cmdline" | grep -q process_batch; } 2>/dev/null
painting || exit 0
kill -TERM "$pid"
n=0
while painting && [ "$n" -lt 100 ]; do sleep 0.1; n=$((n + 1)); done
! painting || kill -KILL "$pid"
"""


def send_earlier(out: Path, there: str) -> int:
    """What an earlier batch has left in `out`: it is not painted again, nor overwritten."""
    if not out.is_dir():
        return 0
    names = sorted(p.name for p in out.iterdir() if re.fullmatch(r"[0-9]{6,}\.jpg", p.name))
    names += [name for name in ("manifest.jsonl", "earlier") if (out / name).exists()]
    if not names:
        return 0
    say(f"{out} holds pictures of an earlier batch: taking them along.")
    with tempfile.TemporaryFile() as listed:
        listed.write("".join(f"{name}\0" for name in names).encode())
        listed.seek(0)
        tar = ["tar", "-C", str(out), "--null", "-T", "-", "-cf", "-"]
        with subprocess.Popen(tar, stdin=listed, stdout=subprocess.PIPE) as packing:
            code = remote("run", "tar", "-C", there, "-xf", "-", stdin=packing.stdout)
            assert packing.stdout is not None
            packing.stdout.close()
        return code or packing.returncode


def whole(out: Path) -> bool:
    """Every picture that the manifest names is here with the hash that it was painted with; a
    manifest that is torn or names something else is not whole."""
    try:
        lines = (out / "manifest.jsonl").read_bytes().splitlines()
        entries = [json.loads(line) for line in lines if line.strip()]
        return bool(entries) and all(
            hashlib.sha256((out / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]
            for entry in entries
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        say(f"{out / 'manifest.jsonl'} and its pictures cannot be checked ({error!r:.200}).")
        return False

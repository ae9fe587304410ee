"""Paints a file of prompts on the rented instance, and fetches the pictures."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rental import record
from rental.client import say
from rental.lifecycle import POLL_S
from rental.remote_tasks import remote, script

NO_MANIFEST = 7  # exit status of the command that asks whether anything was painted


def run_batch(prompts: Path, out: Path) -> tuple[int, bool]:
    """(the exit status, whether every finished picture was fetched, checked by its hash)."""
    quiet: dict[str, Any] = {"stdin": subprocess.DEVNULL}
    # Commands there start in the home folder, where a quoted tilde would be a folder's name.
    folder = (os.environ.get("REMOTE_DIR") or "/workspace").removeprefix("~/")
    there = f"{folder}/out"
    price = f"{float(record.read().get('dph') or 0.0):.4f}"
    paint = (
        'cd "$1" && echo "$$" >out/painter && '
        'exec python3 process_batch.py out/prompts.txt out/pictures --price "$2"'
    )
    steps: tuple[Callable[[], int], ...] = (
        lambda: script("start_stream_server.sh", **quiet),
        lambda: remote("host", "stop", **quiet),  # frees its memory for the batch
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
        say("interrupted: fetching the finished pictures first.")
        code = 130
    if code:  # the batch may still run there, and would change what is fetched
        remote("run", "sh", "-c", STOP, "stop", there, **quiet)
    question = f'test -e "$1" || exit {NO_MANIFEST}'
    manifest = f"{there}/pictures/manifest.jsonl"
    if remote("run", "sh", "-c", question, "ask", manifest, **quiet) == NO_MANIFEST:
        return code or 1, True  # there is nothing to fetch
    for attempt in range(3):
        if remote("fetch", f"{there}/pictures", str(out), **quiet) == 0 and is_complete(out):
            return code, True
        say(f"some pictures were not fetched (attempt {attempt + 1}).")
        time.sleep(min(5.0, POLL_S))
    return code or 1, False


# Ends the batch's process, and no other that has its number by now.
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
    """Send what an earlier batch left in `out`, so that it is not painted again or overwritten."""
    if not out.is_dir():
        return 0
    names = sorted(p.name for p in out.iterdir() if re.fullmatch(r"[0-9]{6,}\.jpg", p.name))
    names += [name for name in ("manifest.jsonl", "earlier") if (out / name).exists()]
    if not names:
        return 0
    say(f"{out} holds pictures of an earlier batch: sending them too.")
    with tempfile.TemporaryFile() as listed:
        listed.write("".join(f"{name}\0" for name in names).encode())
        listed.seek(0)
        tar = ["tar", "-C", str(out), "--null", "-T", "-", "-cf", "-"]
        with subprocess.Popen(tar, stdin=listed, stdout=subprocess.PIPE) as packing:
            code = remote("run", "tar", "-C", there, "-xf", "-", stdin=packing.stdout)
            assert packing.stdout is not None
            packing.stdout.close()
        return code or packing.returncode


def is_complete(out: Path) -> bool:
    """Every picture that the manifest names is here with its hash. False for a manifest that is cut
    short or malformed."""
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

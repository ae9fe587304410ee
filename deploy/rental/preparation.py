"""Makes a new rental ready for use: reachable by ssh, its address written down, its guard armed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rental import record
from rental.client import ApiError, Client, say
from rental.endpoints import endpoints_of, fastest_first, public_page
from rental.lifecycle import POLL_S, Failed, give_back
from rental.remote_tasks import remote

REACH_LIMIT_S = float(os.environ.get("VAST_REACH_LIMIT_S", "180"))
GUARD_TRIES = 3
# What shows that an instance can be reached; it also keeps the login shell from starting tmux.
FIRST_COMMAND = "touch ~/.no_auto_tmux || true"


def prepare(client: Client, instance: dict[str, Any], hours: float, idle_minutes: float) -> int:
    """Exit status 0, or 3 when the guard could not be armed.

    An instance that cannot be reached is given back: Failed.
    """
    number = int(instance["id"])
    if not _reach(client, instance):
        say(f"instance {number} cannot be reached by ssh, so it cannot be guarded: giving it back.")
        give_back(client, number)
        record.forget()
        raise Failed(
            f"Instance {number} did not accept ssh within {REACH_LIMIT_S:.0f} s: add your public "
            "key to the account (Account, SSH Keys), or name another key as SSH_KEY."
        )
    if not _arm_guard(hours, idle_minutes):
        say(f"INSTANCE {number} IS NOT GUARDED: nothing but deploy/vast.sh down ends the rental.")
        return 3
    page = public_page(instance)
    if page:
        say(f"others reach it at {page} with a token, once it streams.")
    say("next: ./start_stream_server.sh, then ./tunnel_to_stream.sh")
    return 0


def _reach(client: Client, instance: dict[str, Any]) -> bool:
    """Log in at the fastest endpoint and record its address; False if none works in time."""
    price = float(instance.get("dph_total") or record.read().get("price") or 0.0)
    values = {"id": int(instance["id"]), "user": "root", "dph": price, "started_at": time.time()}
    attached = False
    begun = time.monotonic()
    while time.monotonic() - begun < REACH_LIMIT_S:
        endpoints = fastest_first(endpoints_of(instance))
        for endpoint in endpoints:
            record.write(**values, host=endpoint.host, port=endpoint.port)
            errors = subprocess.DEVNULL if time.monotonic() - begun < REACH_LIMIT_S / 2 else None
            first = ("run", "sh", "-c", FIRST_COMMAND)
            if remote(*first, stderr=errors, stdin=subprocess.DEVNULL) == 0:
                say(f"time to the ssh greeting: {', '.join(map(str, endpoints))}.")
                say(f"reached at {endpoint.host}:{endpoint.port} ({endpoint.kind}).")
                return True
        if not attached:  # the account's keys do not reach every instance made by the API
            attached = True
            _attach_key(client, int(instance["id"]))
        time.sleep(min(5.0, POLL_S))
    return False


def _arm_guard(hours: float, idle_minutes: float) -> bool:
    """Arm the guard there, and read back that it watches."""
    limits = ("--hours", f"{hours:.4f}", "--idle-minutes", f"{idle_minutes:.4f}")
    for _ in range(GUARD_TRIES):
        if (
            remote("guard", "arm", *limits, stdin=subprocess.DEVNULL) == 0
            and remote("guard", "status", stdin=subprocess.DEVNULL, stdout=sys.stderr) == 0
        ):
            return True
    return False


def _attach_key(client: Client, instance_id: int) -> None:
    """Attach the public key that ssh will offer: the account's keys may be missing there."""
    key = public_key()
    if key is None:
        say("there is no public key to attach: make one with ssh-keygen -t ed25519.")
        return
    try:
        client.attach_key(instance_id, key)
    except ApiError as error:
        say(f"your ssh key could not be attached to instance {instance_id}: {error}")
        return
    say(f"instance {instance_id} does not accept ssh yet: your key ({key[-30:]}) was attached.")


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

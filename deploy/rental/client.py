"""Runs the `vastai` client as a subprocess and parses its replies: its exit status means nothing.

It exits with 0 on HTTP 401, 404, 429 and on a failed create. So each call here returns JSON with
the expected field, or raises. Only the client's environment holds the API key.

ApiError          one sentence for the user
├── KeyRefused    the key is missing, invalid or lacks the permission
├── Refused       the request is refused, whichever offer it names
├── QuotaUsed     no more searches today
├── Gone          what was asked for does not exist (any more)
└── NoAnswer      it is unknown whether it was done: read the state again
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

CALL_TIMEOUT_S = float(os.environ.get("VAST_CALL_TIMEOUT_S", "90"))
KEY_FILES = ("~/.config/vastai/vast_api_key", "~/.vast_api_key")


class ApiError(Exception):
    """Vast.ai refused or failed; the message is one sentence."""


class KeyRefused(ApiError):
    pass


class Refused(ApiError):
    pass


class QuotaUsed(ApiError):
    pass


class Gone(ApiError):
    pass


class NoAnswer(ApiError):
    pass


def say(text: str) -> None:
    with suppress(OSError):  # stderr is closed, and what is rented must still be given back
        print(f"[vast] {text}", file=sys.stderr, flush=True)


def find_key() -> str:
    """The account's key, removed from this process's environment; its file is set to mode 0600."""
    key = os.environ.pop("VAST_API_KEY", "").strip()
    if key:
        return key
    config = os.environ.get("XDG_CONFIG_HOME")
    names = ([f"{config}/vastai/vast_api_key"] if config else []) + list(KEY_FILES)
    for name in names:
        file = Path(name).expanduser()
        if file.is_file():
            if file.stat().st_mode & 0o077:
                file.chmod(0o600)
                say(f"others could read your API key in {file}: its mode is now 0600.")
            return file.read_text(encoding="utf-8").strip()
    raise KeyRefused(
        "There is no Vast.ai API key: set VAST_API_KEY, or run vastai set api-key once "
        "(the key is on the website under Account)."
    )


class Client:
    """The API calls, for the account with this key."""

    def __init__(self, key: str, program: Path | None = None) -> None:
        self._key = key
        self._program = program or Path(sys.executable).with_name("vastai")

    def _call(self, *arguments: str) -> Any:
        """What the client printed as JSON (None for nothing); raises the error that it reported."""
        # Not by its first line, which names the folder that the environment was created in.
        command = [sys.executable, str(self._program), *arguments, "--raw"]
        environment = {**os.environ, "VAST_API_KEY": self._key, "NO_COLOR": "1"}
        environment.pop("PASSPHRASE", None)
        try:
            done = subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=CALL_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise NoAnswer(f"Vast.ai did not answer within {CALL_TIMEOUT_S:.0f} s.") from None
        for text in (done.stderr, done.stdout):
            error = _json(text)
            if isinstance(error, dict) and error.get("error"):
                raise _explain(error, " ".join(arguments[:2]))
        reply = _json(done.stdout)
        if reply is None and (done.stderr.strip() or done.returncode):
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise NoAnswer(
                f"Vast.ai gave no usable answer ({lines[-1][:200].replace(self._key, '***')})."
            )
        return reply

    def search(self, query: str, disk_gb: int) -> list[dict[str, Any]]:
        """Offers, the cheapest first."""
        reply = self._call(
            "search", "offers", query, "-o", "dph", "--storage", str(disk_gb), "--limit", "40"
        )
        if not isinstance(reply, list):
            raise NoAnswer("Vast.ai's answer to the search holds no offers.")
        return [offer for offer in reply if isinstance(offer, dict) and "id" in offer]

    def create(self, offer_id: int, image: str, disk_gb: int, label: str, port: int) -> int:
        """The new instance's id. Raises NoAnswer if it may or may not have been rented."""
        reply = self._call(
            *("create", "instance", str(offer_id), "--image", image, "--disk", str(disk_gb)),
            *("--ssh", "--direct", "--label", label, "--cancel-unavail"),
            *("--env", f"-p {port}:{port}"),
            *("--onstart-cmd", "touch ~/.no_auto_tmux; entrypoint.sh"),
        )
        if isinstance(reply, dict) and reply.get("success") and reply.get("new_contract"):
            return int(reply["new_contract"])
        if isinstance(reply, dict) and reply.get("success") is False:
            raise ApiError(f"The offer was not rented: {reply.get('msg', 'no reason given')}.")
        raise NoAnswer("Vast.ai's answer names no instance.")

    def show(self, instance_id: int) -> dict[str, Any] | None:
        """The instance as it is now; None once it is gone."""
        try:
            reply = self._call("show", "instance", str(instance_id))
        except Gone:
            return None
        if not isinstance(reply, dict) or ("id" not in reply and "instances" not in reply):
            raise NoAnswer(f"Vast.ai's answer does not mention instance {instance_id}.")
        return reply if "id" in reply else None

    def instances(self) -> list[dict[str, Any]]:
        """Everything that is rented now."""
        reply = self._call("show", "instances")
        if isinstance(reply, dict):
            reply = reply.get("instances")
        if not isinstance(reply, list):
            raise NoAnswer("Vast.ai's answer lists no instances.")
        return reply

    def attach_key(self, instance_id: int, public_key: str) -> None:
        """Admit that ssh key, besides those of the account."""
        self._call("attach", "ssh", str(instance_id), public_key)

    def destroy(self, instance_id: int) -> None:
        """Ask for it to be destroyed; `show` tells whether it was."""
        self._call("destroy", "instance", str(instance_id), "-y")


def _json(text: str) -> Any:
    """The JSON value in `text`, which may follow lines of other output; None without one."""
    text = text.strip()
    for start in [0, *(index + 1 for index, letter in enumerate(text) if letter == "\n")]:
        if text[start : start + 1] in ("{", "["):
            try:
                return json.loads(text[start:])
            except ValueError:
                continue
    return None


def _explain(error: dict[str, Any], asked: str) -> ApiError:
    code, said = error.get("status_code"), str(error.get("msg") or "no reason given").rstrip(".")
    if code == 403:
        return KeyRefused(
            f"The API key has no permission to {asked} (HTTP 403: {said}): make one that may read "
            "and write instances, under Account, and set VAST_API_KEY."
        )
    if code == 401:
        return KeyRefused(
            f"Vast.ai does not accept the API key (HTTP {code}): make a new one under Account, "
            "and set VAST_API_KEY."
        )
    if code == 429 and "quota" in said.lower():
        return QuotaUsed(
            f"Vast.ai allows no more searches today (HTTP 429: {said}): the quota begins again at "
            "midnight UTC; until then, rent on the website and set SSH_HOST and SSH_PORT."
        )
    if code == 404:
        return Gone(f"Vast.ai reports that it does not exist (HTTP 404: {said}).")
    if code == 429:
        return NoAnswer(
            "Vast.ai limits the rate of requests (HTTP 429): wait a minute and try again."
        )
    if isinstance(code, int) and 400 <= code < 500:
        if any(word in said.lower() for word in ("no_such_ask", "not available", "unavailable")):
            return ApiError(f"The offer is no longer there (HTTP {code}: {said}).")
        hint = ": check the account's credit, --image and --disk" if "create" in asked else ""
        return Refused(f"Vast.ai refuses to {asked} (HTTP {code}: {said}){hint}.")
    return NoAnswer(f"Vast.ai failed (HTTP {code}: {said}).")

"""What the guard asks: the rental's API about this instance, and the server about its viewers."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

API = os.environ.get("GUARD_API") or "https://console.vast.ai"
ENVIRON = os.environ.get("GUARD_ENVIRON") or "/proc/1/environ"
CALL_S = float(os.environ.get("GUARD_CALL_S") or 30)  # a call of the API
ASK_S = 5.0  # a question to the server, its answer included
ANSWER_MOST = 1024 * 1024  # bytes


def identity() -> tuple[str, str] | None:
    """(CONTAINER_ID, CONTAINER_API_KEY); None if this is not a rented instance."""
    found = {name: os.environ.get(name, "") for name in ("CONTAINER_ID", "CONTAINER_API_KEY")}
    if not all(found.values()):
        try:
            content = Path(ENVIRON).read_bytes()
        except OSError:
            return None
        for entry in content.split(b"\0"):
            name, _, value = entry.decode("utf-8", "replace").partition("=")
            if name in found:
                found[name] = value.strip()
    container, key = found["CONTAINER_ID"], found["CONTAINER_API_KEY"]
    # Both become part of a request: a line break in one would add a header.
    if not re.fullmatch(r"[\w.-]+", container) or not re.fullmatch(r"[!-~]+", key):
        return None
    return container, key


class Rental:
    """The instance `container` at the API, with the key that only that instance has."""

    def __init__(self, container: str, key: str) -> None:
        self._url = f"{API}/api/v0/instances/{container}/"
        self._key = key

    def call(self, method: str, body: str = "", direct: bool = False) -> int:
        """The HTTP status, 0 without an answer; through the environment's proxies unless `direct`.

        The key is passed through a pipe or a socket, never in argv, the environment or a file.
        """
        # curl also supports SOCKS proxies and ~/.curlrc; without curl, Python does the call.
        if shutil.which("curl"):
            return self._by_curl(method, body, direct)
        return self._by_python(method, body, direct)

    def _by_curl(self, method: str, body: str, direct: bool) -> int:
        command = ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}"]
        command += ["--max-time", str(int(CALL_S)), "--request", method, "--config", "-"]
        if body:
            command += ["--header", "Content-Type: application/json", "--data", body]
        if direct:
            command += ["--noproxy", "*"]
        key = self._key.replace("\\", "\\\\").replace('"', '\\"')
        try:
            done = subprocess.run(
                [*command, self._url],
                input=f'header = "Authorization: Bearer {key}"\n'.encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=CALL_S + 5,
                check=False,
            )
            return int(done.stdout[-3:])
        except (OSError, ValueError, subprocess.SubprocessError):
            return 0

    def _by_python(self, method: str, body: str, direct: bool) -> int:
        headers = {"Authorization": f"Bearer {self._key}"}
        if body:
            headers["Content-Type"] = "application/json"
        handlers = [urllib.request.ProxyHandler({})] if direct else []
        data = body.encode() if body else None
        request = urllib.request.Request(self._url, data, headers, method=method)
        try:
            with urllib.request.build_opener(*handlers).open(request, timeout=CALL_S) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return int(error.code)
        except (OSError, ValueError):
            return 0


def ask_server(port: int, path: str) -> tuple[int, bytes] | None:
    """(status, body) of the server on this machine; None without a whole answer within ASK_S.

    By a plain socket, so that no proxy of the environment is used.
    """
    until = time.monotonic() + ASK_S
    answer = b""
    try:
        with socket.create_connection(("127.0.0.1", port), ASK_S) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode("ascii"))
            while len(answer) < ANSWER_MOST:
                # The limit also holds for a server that sends a byte a second.
                connection.settimeout(max(0.001, until - time.monotonic()))
                piece = connection.recv(65536)
                if not piece:
                    break
                answer += piece
    except (OSError, OverflowError):
        return None
    head, _, body = answer.partition(b"\r\n\r\n")
    status = re.match(rb"HTTP/1\.[01] ([0-9]{3})\b", head)
    return (int(status.group(1)), body) if status else None


def is_watched(port: int) -> bool:
    """Somebody watches the stream, or the server refuses to say."""
    answer = ask_server(port, "/status")
    if answer is None:
        return False
    status, body = answer
    if status in (401, 403):
        return True  # it cannot be ruled out
    try:
        viewers = json.loads(body.decode("utf-8"))["viewers"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    return isinstance(viewers, int) and viewers > 0

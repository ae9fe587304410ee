"""A hub on loopback, shaped as huggingface.co is: one repository, its weights behind a redirect to
another host, ETags, the commit in a header. It can drop the connection, or require a token.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from tests.setup.machine import listening

REPOSITORY = "somebody/model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
REVISIONS = ("main", "v1", COMMIT)  # that the repository has


class Hub:
    def __init__(self, folder: Path) -> None:
        self.files = {
            str(file.relative_to(folder)): file.read_bytes()
            for file in folder.rglob("*")
            if file.is_file()
        }
        self.status = 200  # what the repository answers: 401 where its terms are not accepted
        self.token: str | None = None  # the valid one; None: tokens are ignored
        self.drop: dict[
            str, list[int]
        ] = {}  # file -> bytes until the connection is lost, one for each try
        self.fetched: list[tuple[str, int]] = []  # file, from which byte
        self.sent = 0  # bytes of files in complete answers
        self.page = b""  # what it answers to everything: a portal that wants a login
        self.ranges = True  # whether it honors them

    def entry(self, name: str) -> dict[str, Any]:
        content = self.files[name]
        oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        found: dict[str, Any] = {"size": len(content), "oid": oid}
        if name.endswith(".safetensors"):
            digest = hashlib.sha256(content).hexdigest()
            found["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 134}
        return found

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path.partition("?")[0]
        given = handler.headers.get("Authorization")
        if given and self.token and given != f"Bearer {self.token}":
            headers = {"X-Error-Message": "Invalid credentials in Authorization header"}
            body = b'{"error": "Invalid username or password."}'
            send(handler, 401, headers, body)
        elif self.page:
            send(handler, 200, {"Content-Type": "text/html"}, self.page)
        elif path.startswith("/cdn/"):
            self.send_file(handler, path.removeprefix("/cdn/"))
        elif REPOSITORY not in path or self.status != 200:
            status = 404 if REPOSITORY not in path else self.status
            code = {404: "RepoNotFound", 401: "GatedRepo"}.get(status)
            send(handler, status, {"X-Error-Code": code} if code else {}, b'{"error": "no"}')
        elif path.startswith(f"/api/models/{REPOSITORY}/tree/"):
            rows = [{"type": "file", "path": name, **self.entry(name)} for name in self.files]
            send(handler, 200, {"Content-Type": "application/json"}, json.dumps(rows).encode())
        elif "/revision/" in path and path.rpartition("/")[2] not in REVISIONS:
            send(handler, 404, {"X-Error-Code": "RevisionNotFound"}, b'{"error": "no"}')
        elif path.startswith("/api/models/"):
            siblings = [{"rfilename": name, "size": len(self.files[name])} for name in self.files]
            info = {"id": REPOSITORY, "sha": COMMIT, "siblings": siblings}
            send(handler, 200, {"Content-Type": "application/json"}, json.dumps(info).encode())
        else:
            self.resolve(handler, path.removeprefix(f"/{REPOSITORY}/resolve/").partition("/")[2])

    def resolve(self, handler: BaseHTTPRequestHandler, name: str) -> None:
        if name not in self.files:
            send(handler, 404, {"X-Error-Code": "EntryNotFound"}, b"Entry not found")
            return
        entry = self.entry(name)
        headers = {"X-Repo-Commit": COMMIT}
        if "lfs" not in entry:
            self.send_file(handler, name, headers | {"ETag": f'"{entry["oid"]}"'})
            return
        headers |= {
            "Location": f"http://localhost:{handler.headers['Host'].partition(':')[2]}/cdn/{name}",
            "X-Linked-Size": str(entry["size"]),
            "X-Linked-ETag": f'"{entry["lfs"]["oid"]}"',
        }
        send(handler, 302, headers, b"")

    def send_file(
        self, handler: BaseHTTPRequestHandler, name: str, headers: dict[str, str] | None = None
    ) -> None:
        content = self.files[name]
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", handler.headers.get("Range") or "")
        asked = asked if self.ranges else None
        begin = int(asked[1]) if asked else 0
        if asked and begin >= len(content):
            send(handler, 416, {"Content-Range": f"bytes */{len(content)}"}, b"")
            return
        end = min(int(asked[2] or len(content)), len(content) - 1) if asked else len(content) - 1
        headers = dict(headers or {})
        if asked:
            headers["Content-Range"] = f"bytes {begin}-{end}/{len(content)}"
        rest = content[begin : end + 1]
        if handler.command == "GET":
            self.fetched.append((name, begin))
            drops = self.drop.get(name)
            if drops:
                send(handler, 206 if asked else 200, headers, rest, drops.pop(0))
                return
            self.sent += len(rest)
        send(handler, 206 if asked else 200, headers, rest)


def environment_of(address: str, cache: Path, **more: str) -> dict[str, str]:
    """For a program that uses the hub at `address`, and keeps what it downloads in `cache`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return {**kept, "HF_ENDPOINT": address, "HF_HOME": str(cache), **more}


def send(
    handler: BaseHTTPRequestHandler,
    status: int,
    headers: dict[str, str],
    content: bytes,
    drop_after: int | None = None,
) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    try:
        if handler.command != "HEAD":
            handler.wfile.write(content[:drop_after])
    except OSError:
        handler.close_connection = True  # the client has closed the connection
    if drop_after is not None:
        handler.close_connection = True


@contextmanager
def serve(hub: Hub) -> Iterator[str]:
    """The hub's address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60

        def do_GET(self) -> None:
            hub.answer(self)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None: ...

    with listening(Handler, "hub") as address:
        yield address

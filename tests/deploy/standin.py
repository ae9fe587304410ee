"""A stand-in for Vast.ai's API, with a ledger: what is rented, for how long, and what it cost.

Shaped by what the real client sends and what the real API is known to answer. Faults are queued:
each takes effect on the next matching request and is gone then.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

ACCOUNT_KEY = f"{secrets.token_hex(8)}-vast-account-key"  # its own in each process of tests
CONTAINER_KEY = f"{secrets.token_hex(8)}-container-key"


LEDGERS: list[StandIn] = []  # every stand-in of this session: conftest.py adds them up at its end


@contextmanager
def standing_in(ssh_port: int = 0, port: int = 0) -> Iterator[StandIn]:
    """A stand-in with nothing left on its ledger at the end."""
    stand_in = StandIn(ssh_port, port)
    try:
        yield stand_in
    finally:
        stand_in.close()
    assert stand_in.left == [], "billed on"


@dataclass
class Instance:
    id: int
    offer: dict[str, Any]
    label: str
    script: list[str]  # its states, one for each time it is looked at; the last one stays
    began: float = field(default_factory=time.time)
    ended: float | None = None

    @property
    def cost(self) -> float:
        return ((self.ended or time.time()) - self.began) / 3600 * self.offer["dph_total"]


@dataclass
class Fault:
    """On the next `times` requests of `method` whose path holds `path`: answer `status`, or work
    and lose the reply (`lose`), or never answer (`silent`), or claim success and do nothing
    (`ignore`)."""

    method: str
    path: str
    status: int = 0
    lose: bool = False
    ignore: bool = False
    silent: bool = False
    times: int = 1
    error: str = ""  # the body's "error" and "msg", where a status is answered
    msg: str = ""


class StandIn:
    def __init__(self, ssh_port: int = 0, port: int = 0) -> None:
        self.ssh_port = ssh_port
        self.offers = [self.offer(1, 0.30), self.offer(2, 0.35), self.offer(3, 0.40)]
        self.scripts: dict[int, list[str]] = {}  # offer id -> the states of what is rented there
        self.instances: dict[int, Instance] = {}
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.attached: list[tuple[int, str]] = []  # (instance, public key)
        self.on_attach: Callable[[str], object] = lambda key: None
        self.ended_by_hand = 0
        self.proxy = ("127.0.0.1", 1)  # nothing listens there
        self.lock = threading.Lock()
        self._closing = threading.Event()
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                stand_in.answer(self)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = False
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=lambda: self._server.serve_forever(poll_interval=0.05), name="stand-in"
        )
        self._thread.start()
        LEDGERS.append(self)

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    @staticmethod
    def offer(number: int, price: float, gpus: int = 1) -> dict[str, Any]:
        return {
            "id": 1000 + number,
            "machine_id": 50 + number,
            "gpu_name": "RTX 4090",
            "num_gpus": gpus,
            "dph_total": price,
            "storage_cost": 0.2,
            "inet_up_cost": 0.003,
            "inet_down_cost": 0.003,
            "reliability2": 0.99,
            "geolocation": "Norway, NO",
            "cuda_max_good": 12.8,
        }

    @property
    def left(self) -> list[int]:
        """What is rented and billed now."""
        return [instance.id for instance in self.instances.values() if instance.ended is None]

    @property
    def billed(self) -> float:
        return sum(instance.cost for instance in self.instances.values())

    def rent(self, offer: dict[str, Any], label: str) -> Instance:
        number = 7000 + len(self.instances)
        script = list(self.scripts.get(offer["id"], ["loading", "running"]))
        self.instances[number] = Instance(number, offer, label, script)
        return self.instances[number]

    def end_by_hand(self) -> None:
        """End by hand, as on the website, what no guard was expected to end."""
        for number in self.left:
            self.instances[number].ended = time.time()
            self.ended_by_hand += 1

    def row(self, instance: Instance) -> dict[str, Any]:
        status = instance.script.pop(0) if len(instance.script) > 1 else instance.script[0]
        running = status == "running"
        ports = {
            "22/tcp": [{"HostIp": "0.0.0.0", "HostPort": str(self.ssh_port)}],
            "8000/tcp": [{"HostIp": "0.0.0.0", "HostPort": "41234"}],
        }
        return {
            "id": instance.id,
            "machine_id": instance.offer["machine_id"],
            "label": instance.label,
            "actual_status": status,
            "cur_state": status,
            "status_msg": f"it is {status}",
            "start_date": instance.began,
            "extra_env": [],
            "gpu_name": "RTX 4090",
            "num_gpus": instance.offer["num_gpus"],
            "dph_total": instance.offer["dph_total"],
            "public_ipaddr": " 127.0.0.1 " if running else None,
            "ports": ports if running else {},
            "ssh_host": self.proxy[0],
            "ssh_port": self.proxy[1],
            "image_runtype": "ssh_direc ssh_proxy",
        }

    # -- one request -------------------------------------------------------------------------------

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        body = json.loads(handler.rfile.read(length) or b"{}")
        path = urlsplit(handler.path).path
        method = handler.command
        with self.lock:
            self.requests.append(f"{method} {path}")
            fault = self._fault(method, path)
        if fault is not None and fault.silent:
            self._closing.wait()
            handler.close_connection = True
            return
        if fault is not None and fault.status:
            reply: tuple[int, Any] = (
                fault.status,
                {
                    "success": False,
                    "error": fault.error or "fault",
                    "msg": fault.msg or f"fault {fault.status}",
                },
            )
        elif fault is not None and fault.ignore:
            reply = 200, {"success": True}
        else:
            with self.lock:
                reply = self._work(method, path, body, handler.headers.get("Authorization", ""))
        if fault is not None and fault.lose:
            handler.close_connection = True
            return
        content = json.dumps(reply[1]).encode()
        try:
            handler.send_response(reply[0])
            handler.send_header("Content-Type", "application/json")
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            handler.wfile.write(content)
        except OSError:
            pass  # the client has closed the connection

    def _fault(self, method: str, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.method == method and fault.path in path and fault.times > 0:
                fault.times -= 1
                return fault
        return None

    def _work(self, method: str, path: str, body: dict, authorization: str) -> tuple[int, Any]:
        words = path.strip("/").split("/")[2:]  # after api/v0
        key = authorization.removeprefix("Bearer ")
        own = key == CONTAINER_KEY and words[:1] == ["instances"] and len(words) == 2
        if key != ACCOUNT_KEY and not (own and method in ("PUT", "DELETE")):
            return 401, {"success": False, "error": "auth_error", "msg": "Invalid user key"}
        if method == "POST" and words == ["bundles"]:
            asked = body["num_gpus"]["eq"]
            return 200, {"offers": [o for o in self.offers if o["num_gpus"] == int(asked)]}
        if method == "PUT" and words[0] == "asks":
            offer = next((o for o in self.offers if o["id"] == int(words[1])), None)
            if offer is None:
                return 404, {"success": False, "error": "invalid_args", "msg": "no such ask"}
            made = self.rent(offer, str(body.get("label")))
            return 200, {"success": True, "new_contract": made.id}
        if words == ["instances"] and method == "GET":
            rows = [self.row(self.instances[number]) for number in self.left]
            return 200, {"instances": rows, "total_instances": len(rows), "next_token": None}
        if method == "POST" and words[:1] == ["instances"] and words[2:] == ["ssh"]:
            self.attached.append((int(words[1]), str(body.get("ssh_key"))))
            self.on_attach(str(body.get("ssh_key")))
            return 200, {"success": True}
        if words[:1] == ["instances"] and len(words) == 2:
            found = self.instances.get(int(words[1]))
            if found is None or found.ended is not None:
                if method == "GET":
                    return 200, {"instances": None}
                return 404, {"success": False, "msg": "no such instance"}
            if method == "GET":
                return 200, {"instances": self.row(found)}
            if method == "DELETE":
                found.ended = time.time()
            elif body.get("state") == "stopped":
                found.script = ["stopped"]
            return 200, {"success": True}
        return 404, {"success": False, "msg": f"nothing at {path}"}

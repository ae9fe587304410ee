from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.deploy.guarded import Instance
from tests.deploy.host import PATIENCE_S, ROOT, Host
from tests.deploy.laptop import Laptop
from tests.deploy.renting import Vast
from tests.deploy.standin import ACCOUNT_KEY, CONTAINER_KEY, LEDGERS, StandIn, standing_in


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder with a short name outside TMPDIR, removed after a module's tests."""
    folder = Path(tempfile.mkdtemp(prefix="turbo-test-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def host(place: Path) -> Iterator[Host]:
    host = Host(place / "host")
    yield host
    host.close()


@pytest.fixture(scope="module")
def laptop(place: Path, host: Host) -> Laptop:
    laptop = Laptop(place, host)
    host.start()
    return laptop


@pytest.fixture(scope="session")
def client_environment() -> Path:
    """The environment of the client, created by vast.sh and kept beside the tests' packages."""
    folder = Path(sys.prefix) / "vast"
    environment = {**os.environ, "VAST_VENV": str(folder), "PYTHON": sys.executable}
    done = subprocess.run(
        ["bash", str(ROOT / "deploy/vast.sh"), "--help"], env=environment, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def stand_in(host: Host) -> Iterator[StandIn]:
    with standing_in(host.port, host.api_port) as stand_in:
        yield stand_in


@pytest.fixture
def vast(stand_in: StandIn, host: Host, laptop: Laptop, client_environment: Path) -> Iterator[Vast]:
    host.rental.write_text(f"CONTAINER_ID=7000\0CONTAINER_API_KEY={CONTAINER_KEY}\0")
    environment: dict[str, str | None] = {
        "VAST_URL": stand_in.url,
        "VAST_API_KEY": ACCOUNT_KEY,
        "VAST_VENV": str(client_environment),
        "VAST_POLL_S": "0.1",
        "VAST_START_LIMIT_S": "100",
        "VAST_CALL_TIMEOUT_S": "60",
        "VAST_REACH_LIMIT_S": "30",
        "VAST_DESTROY_TRIES": "2",
        # The client imports distutils each time; setuptools' copy of it takes longest.
        "SETUPTOOLS_USE_DISTUTILS": "stdlib" if sys.version_info < (3, 12) else None,
        "SSH_HOST": None,
        "SSH_PORT": None,
    }
    run = Vast(laptop, environment)
    yield run
    host.end(r"guard\.sh|loop\.sh|realtime_stream")
    shutil.rmtree(host.base / "out", ignore_errors=True)
    for name in ("guard.json", "guard.state", "guard.pid"):
        (host.base / "state" / name).unlink(missing_ok=True)
    (laptop.home / ".turbostream/rental.json").unlink(missing_ok=True)


@pytest.fixture
def rent(tmp_path: Path) -> Iterator[Callable[[], Instance]]:
    """Creates instances, each with its own stand-in."""
    made: list[Instance] = []
    with ExitStack() as stand_ins:

        def rent() -> Instance:
            folder = tmp_path / f"instance-{len(made)}"
            folder.mkdir()
            made.append(Instance(folder, stand_ins.enter_context(standing_in())))
            return made[-1]

        yield rent
        for instance in made:
            instance.end()
            instance.stand_in.end_by_hand()


@pytest.fixture
def instance(rent: Callable[[], Instance]) -> Instance:
    return rent()


@pytest.fixture
def server(instance: Instance) -> Iterator[dict]:
    """A server that says how many watch."""
    answer = {"viewers": 1}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = json.dumps({"state": "streaming", **answer, "guard": None}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", instance.port), Handler)
    thread = threading.Thread(target=lambda: server.serve_forever(0.05))
    thread.start()
    yield answer
    server.shutdown()
    server.server_close()
    thread.join(PATIENCE_S)


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """A file of three prompts that the demo model knows."""
    file = tmp_path / "prompts.txt"
    file.write_text("a red heart\ntwo yellow stars\na blue fish\n")
    return file


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rented = sum(len(ledger.instances) for ledger in LEDGERS)
    if rented:
        left = sum(len(ledger.left) for ledger in LEDGERS)
        by_hand = sum(ledger.ended_by_hand for ledger in LEDGERS)
        terminalreporter.write_line(
            f"stand-in ledger: {rented} instances rented, {left} left, "
            f"${sum(ledger.billed for ledger in LEDGERS):.4f} billed; "
            f"{by_hand} were ended by the tests themselves"
        )

"""A start that cannot confirm its success: behind a proxy, or if requests to the new server fail.
Once the port is handed over, the release that has it is not ended."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from tests.deploy.host import PATIENCE_S, Host, healthy, wait_for
from tests.deploy.laptop import Laptop
from tests.deploy.proxying import proxying
from tests.deploy.watching import Viewer
from tests.ports import free_port

START = "start_stream_server.sh"
LONG = pytest.mark.long

pytestmark = pytest.mark.timeout(300)

# Ends the process when the one before it has heard that its port was taken, and has ended.
SUICIDE = """
def end_once_it_serves():
    import os, time
    from pathlib import Path
    serving = Path(os.environ["STATE_DIR"], "serving")
    while True:
        if serving.exists() and serving.read_text().split()[:1] == [str(os.getpid())]:
            time.sleep(2)
            os._exit(2)
        time.sleep(0.01)
import threading
threading.Thread(target=end_once_it_serves, daemon=True).start()
"""


@pytest.fixture(scope="module")
def started(host: Host, laptop: Laptop) -> Iterator[None]:
    done = laptop.run(START, timeout_s=150)
    assert done.returncode == 0, done.stderr
    yield
    laptop.run(START, "--stop")


@pytest.fixture
def deaf(host: Host, started: None) -> Iterator[None]:
    """No request of the start reaches a server."""
    host.fake_program("curl", "exit 7")
    yield
    (host.fake / "curl").unlink()
    host.end(r"host\.sh start")


@pytest.mark.parametrize(
    ("side", "kind"),
    [
        ("both", "refusing"),
        pytest.param("laptop", "silent", marks=LONG),
        pytest.param("instance", "silent", marks=LONG),
    ],
)
def test_behind_a_proxy_a_start_takes_over_from_the_previous_release(
    host: Host, laptop: Laptop, started: None, monkeypatch: pytest.MonkeyPatch, side: str, kind: str
) -> None:
    port = free_port()
    with proxying(kind) as proxy:
        for place, owner in (("laptop", laptop), ("instance", host)):
            if side in (place, "both"):
                changed = owner.environment | proxy.environment(no_proxy="example.org")
                monkeypatch.setattr(owner, "environment", changed)
        host.kill()
        host.start()
        old = host.serving()
        with laptop.running("tunnel_to_stream.sh", "--port", str(port)) as tunnel:
            tunnel.wait_said("the stream is reachable")
            with Viewer(port) as viewer:
                wait_for(lambda: viewer.frames, PATIENCE_S, "a frame")
                done = laptop.run(START, START_WAIT_S="90", timeout_s=150)
                assert done.returncode == 0, done.stderr
                done_at = time.monotonic()
                wait_for(lambda: viewer.frames[-1][0] > done_at, PATIENCE_S, "frames")
            assert viewer.refused == 0
        assert host.serving() != old
        status = laptop.run(START, "--status")
        assert status.returncode == 0
        assert "does not answer" not in status.stdout
        assert not proxy.asked_for(host.server_port)
        assert not proxy.asked_for(port)
    monkeypatch.undo()
    host.kill()
    host.start()


def test_a_start_that_is_interrupted_after_the_handover_leaves_the_new_release_running(
    host: Host, laptop: Laptop, deaf: None
) -> None:
    old = host.serving()
    with laptop.running(START) as running:
        wait_for(lambda: host.serving() != old, 90, "the handover")
        assert running.end(signal.SIGINT) == 130
    wait_for(lambda: not host.processes(r"host\.sh start"), PATIENCE_S, "the end of the start")
    assert host.serving() != old
    assert healthy(host.server_port)


@pytest.mark.long
def test_a_start_that_times_out_after_the_handover_leaves_the_new_release_running(
    host: Host, laptop: Laptop, deaf: None
) -> None:
    old = host.serving()
    done = laptop.run(START, START_WAIT_S="60", timeout_s=150)
    assert done.returncode == 1
    assert "has taken over the port and is left running." in done.stderr
    assert "Nothing" not in done.stderr
    assert host.serving() != old
    assert healthy(host.server_port)


def test_when_a_new_release_ends_after_the_handover_the_previous_one_is_restarted(
    host: Host, laptop: Laptop, deaf: None
) -> None:
    release = (host.base / "current").resolve()
    program = laptop.scripts / "realtime_stream.py"
    good = program.read_text()
    head, mark, rest = good.partition("\nfrom __future__ import annotations\n")
    program.write_text(head + mark + SUICIDE + rest)
    try:
        done = laptop.run(START, START_WAIT_S="100", timeout_s=200)
    finally:
        program.write_text(good)
    assert done.returncode == 1
    assert f"took over the port and ended: starting {release.name} again." in done.stderr
    assert f"{release.name} is serving again." in done.stderr
    wait_for(lambda: healthy(host.server_port), 3 * PATIENCE_S, "health")  # it loads its model
    assert (host.base / "current").resolve() == release

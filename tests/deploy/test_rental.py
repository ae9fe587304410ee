"""deploy/vast.sh with the real client against the stand-in, with the faults of the real API.

After each test the ledger must show nothing that is rented and billed on.
"""

from __future__ import annotations

import json
import re
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.deploy.host import Host, wait_for
from tests.deploy.laptop import Laptop
from tests.deploy.renting import Vast
from tests.deploy.searching import Search, files_with
from tests.deploy.standin import ACCOUNT_KEY, Fault, StandIn

pytestmark = pytest.mark.timeout(240)


def test_search_shows_what_an_hour_really_costs(vast: Vast) -> None:
    done = vast("search", "--fps", "60")
    assert done.returncode == 0, done.stderr
    assert "60 frames/s of 30 KB (6.5 GB)" in done.stdout
    row = next(line for line in done.stdout.splitlines() if "1001" in line).split()
    assert row[-4:] == ["0.290", "0.010", "0.019", "0.319"]


def test_up_status_and_down(vast: Vast, stand_in: StandIn, host: Host, laptop: Laptop) -> None:
    done = vast("up", "--yes", "--hours", "2")
    assert done.returncode == 0, done.stderr
    rental = json.loads((laptop.home / ".turbostream/rental.json").read_text())
    assert (rental["host"], rental["port"], rental["id"]) == ("127.0.0.1", host.port, 7000)
    assert (laptop.home / ".turbostream/rental.json").stat().st_mode & 0o777 == 0o600
    assert (host.home / ".no_auto_tmux").exists()
    assert "armed: given back at" in done.stderr
    assert "WARNING" not in done.stderr
    assert "http://127.0.0.1:41234/" in done.stderr

    again = vast("up", "--yes")
    assert again.returncode == 1
    assert "Instance 7000 is rented already" in again.stderr

    status = vast("status")
    assert "instance  7000 (RTX 4090): running" in status.stdout
    assert "guard     armed: given back at" in status.stdout
    assert "(this one)" in vast("list").stdout

    down = vast("down")
    assert down.returncode == 0
    assert "instance 7000 is gone and no longer billed" in down.stderr
    assert stand_in.left == []
    assert "nothing is rented from here" in vast("down").stderr


@contextmanager
def late_sshd(host: Host, delay_s: float) -> Iterator[int]:
    """The port of a proxy to the host's sshd with a slow greeting."""

    class Line(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            time.sleep(delay_s)
            with suppress(OSError), socket.create_connection(("127.0.0.1", host.port)) as sshd:
                self.request.sendall(sshd.recv(100))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Line) as server:
        thread = threading.Thread(target=lambda: server.serve_forever(0.05))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join(10)


def test_direct_port_and_proxy_are_measured_and_the_faster_one_is_used(
    vast: Vast, stand_in: StandIn, host: Host, laptop: Laptop
) -> None:
    with late_sshd(host, 0.4) as late:
        stand_in.ssh_port, stand_in.proxy = late, ("127.0.0.1", host.port)
        done = vast("up", "--yes")
    first, second = f"proxy 127.0.0.1:{host.port}", f"direct 127.0.0.1:{late}"
    assert re.search(rf"greeting: {first} \d+ ms, {second} \d{{3,}} ms\.", done.stderr)
    assert f"reached at 127.0.0.1:{host.port} (proxy)." in done.stderr
    rental = json.loads((laptop.home / ".turbostream/rental.json").read_text())
    assert rental["port"] == host.port
    stand_in.end_by_hand()


def test_an_invalid_key_is_reported(vast: Vast) -> None:
    done = vast("search", VAST_API_KEY="wrong")
    assert done.returncode == 1
    assert "Vast.ai does not accept the API key (HTTP 401)" in done.stderr


def test_without_a_key_it_says_where_to_get_one(vast: Vast) -> None:
    done = vast("up", "--yes", VAST_API_KEY=None)
    assert done.returncode == 1
    assert "There is no Vast.ai API key" in done.stderr


def test_the_clients_own_key_file_is_read_and_made_private(vast: Vast, laptop: Laptop) -> None:
    file = laptop.home / ".config/vastai/vast_api_key"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(ACCOUNT_KEY)
    file.chmod(0o644)
    done = vast("list", VAST_API_KEY=None)
    mode = file.stat().st_mode & 0o777
    file.unlink()
    assert done.stdout == "nothing is rented\n"
    assert mode == 0o600


def test_without_a_terminal_it_does_not_rent_unless_told_to(vast: Vast, stand_in: StandIn) -> None:
    done = vast("up")
    assert done.returncode == 1
    assert "There is no terminal to answer at: use --yes." in done.stderr
    assert vast("up", "--dry-run").returncode == 0
    assert stand_in.instances == {}


def test_it_reports_that_no_offer_is_within_the_price(vast: Vast) -> None:
    done = vast("up", "--yes", "--max-price", "0.1")
    assert done.returncode == 1
    assert "No suitable offer: raise --max-price" in done.stderr


def test_a_create_whose_reply_is_lost_is_found_by_its_label(vast: Vast, stand_in: StandIn) -> None:
    stand_in.faults.append(Fault("PUT", "/asks/", lose=True, times=1))
    stand_in.faults.append(Fault("PUT", "/asks/", status=404, times=9))
    done = vast("up", "--yes")
    assert done.returncode == 0, done.stderr
    assert "it was: instance 7000" in done.stderr
    assert len(stand_in.instances) == 1
    assert vast("down").returncode == 0


@pytest.mark.long
def test_a_create_that_rents_twice_gives_the_duplicate_back(vast: Vast, stand_in: StandIn) -> None:
    stand_in.faults.append(Fault("PUT", "/asks/", lose=True, times=4))  # the client tries again
    done = vast("up", "--yes")
    assert done.returncode == 0, done.stderr
    assert len(stand_in.left) == 1
    assert vast("down").returncode == 0


def test_a_host_that_never_starts_is_given_back_and_the_next_offer_taken(
    vast: Vast, stand_in: StandIn
) -> None:
    stand_in.scripts[1001] = ["loading"]
    stand_in.scripts[1002] = ["exited"]
    stand_in.scripts[1003] = [
        "running"
    ]  # at the first poll: a busy machine may not reach a second one
    done = vast("up", "--yes", VAST_START_LIMIT_S="2")
    assert done.returncode == 0, done.stderr
    assert "it did not start within" in done.stderr
    assert "a host in state exited will not start it" in done.stderr
    assert stand_in.left == [7002]
    stand_in.end_by_hand()


@pytest.mark.long
def test_when_an_offer_is_gone_the_next_one_is_tried(vast: Vast, stand_in: StandIn) -> None:
    stand_in.faults.append(Fault("PUT", "/asks/1001", status=404))
    assert vast("up", "--yes").returncode == 0
    assert [i.offer["id"] for i in stand_in.instances.values()] == [1002]
    assert vast("down").returncode == 0


def test_after_too_many_requests_it_waits_and_retries(vast: Vast, stand_in: StandIn) -> None:
    stand_in.faults.append(Fault("POST", "/bundles/", status=429, times=5))
    done = vast("search")
    assert done.returncode == 0, done.stderr
    assert "Vast.ai limits the rate of requests (HTTP 429)" in done.stderr


def test_a_request_without_a_reply_is_retried(vast: Vast, stand_in: StandIn) -> None:
    stand_in.faults.append(Fault("POST", "/bundles/", silent=True, times=1))
    done = vast("search", VAST_CALL_TIMEOUT_S="10")
    assert done.returncode == 0, done.stderr
    assert "did not answer within 10 s. Trying again" in done.stderr


@pytest.fixture
def rented(vast: Vast, stand_in: StandIn, laptop: Laptop) -> int:
    """The result of an earlier `up`: an instance, and the laptop's record of it."""
    instance = stand_in.rent(stand_in.offers[0], "mine")
    record = laptop.home / ".turbostream/rental.json"
    record.parent.mkdir(exist_ok=True)
    record.write_text(json.dumps({"id": instance.id, "label": "mine"}))
    return instance.id


def test_a_destroy_that_claims_success_is_repeated_until_it_is_true(
    vast: Vast, stand_in: StandIn, rented: int
) -> None:
    stand_in.faults.append(Fault("DELETE", "/instances/", ignore=True))
    done = vast("down")
    assert done.returncode == 0
    assert "still there (attempt 1)" in done.stderr
    assert "is gone" in done.stderr


def test_a_destroy_that_never_works_is_reported_loudly(
    vast: Vast, stand_in: StandIn, rented: int
) -> None:
    stand_in.faults.append(Fault("DELETE", "/instances/", ignore=True, times=99))
    done = vast("down")
    stand_in.faults.clear()
    assert done.returncode == 1
    assert f"INSTANCE {rented} IS NOT DESTROYED AND IS STILL BILLED" in done.stderr
    assert "https://cloud.vast.ai/instances/" in done.stderr
    assert vast("down").returncode == 0


def test_only_the_client_has_the_account_key(
    vast: Vast, stand_in: StandIn, host: Host, place: Path
) -> None:
    with Search([ACCOUNT_KEY]) as search:
        assert vast("up", "--yes").returncode == 0
        assert vast("down").returncode == 0
    outside = [found for found in search.found if "vastai" not in found and "vast" not in found]
    assert outside == []
    assert not [found for found in search.found if found.startswith("cmdline")]
    assert files_with(place, [ACCOUNT_KEY]) == []


@pytest.mark.long
def test_a_rental_whose_laptop_is_closed_ends_by_itself(vast: Vast, stand_in: StandIn) -> None:
    done = vast("up", "--yes", "--hours", "0.005")
    assert done.returncode == 0, done.stderr
    wait_for(lambda: stand_in.left == [], 90, "the end of the rental")
    print(f"billed: ${stand_in.billed:.4f}")
    assert "nothing is rented" in vast("list").stdout

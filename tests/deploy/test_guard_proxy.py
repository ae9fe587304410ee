"""The guard behind a proxy: it asks the local server directly and the rental's API through the
proxy, and a proxy that fails does not prolong the rental."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.guarded import LONG_S, Instance
from tests.deploy.host import wait_for
from tests.deploy.proxying import NAMES, Proxy, proxying


@pytest.fixture
def proxy(request: pytest.FixtureRequest, instance: Instance) -> Iterator[Proxy]:
    with proxying(getattr(request, "param", "refusing")) as proxy:
        instance.environment["GUARD_CALL_S"] = "2"
        yield proxy
        instance.end()


@pytest.mark.parametrize(
    ("proxy", "names", "no_proxy"),
    [
        ("refusing", ["http_proxy"], ""),
        ("refusing", ["ALL_PROXY"], ""),
        ("refusing", NAMES, "example.org"),
        ("silent", NAMES, ""),
    ],
    indirect=["proxy"],
)
def test_a_viewer_keeps_the_rental_and_it_ends_after_the_viewer_has_left(
    instance: Instance, server: dict, proxy: Proxy, names: list[str], no_proxy: str
) -> None:
    instance.environment |= proxy.environment(*names, no_proxy=no_proxy)
    instance.arm(idle_s=3)
    assert instance.outlives(5)
    server["viewers"] = 0
    wait_for(instance.gone, LONG_S, "the end of the rental")
    assert not proxy.asked_for(instance.port)
    address = instance.stand_in.url
    assert f"DELETE {address}/api/v0/instances/{instance.rented.id}/" in proxy.requests


def test_a_proxy_in_the_settings_of_curl_is_not_used_for_the_server(
    instance: Instance, server: dict, proxy: Proxy, tmp_path: Path
) -> None:
    (tmp_path / ".curlrc").write_text(f"proxy = {proxy.address}\n")
    instance.environment |= {"HOME": str(tmp_path), "CURL_HOME": str(tmp_path)}
    instance.arm(idle_s=3)
    assert instance.outlives(5)
    assert not proxy.asked_for(instance.port)


@pytest.mark.parametrize("tool", ["curl", "python"])
def test_the_api_of_the_rental_is_called_through_the_proxy(instance: Instance, tool: str) -> None:
    if tool == "python":  # a machine without curl
        for program in ("bash", "sh", "dirname", "python3", "sed", "env", "sleep", "setsid", "mv"):
            (instance.fake / program).symlink_to(f"/usr/bin/{program}")
        instance.environment["PATH"] = str(instance.fake)
    with proxying("forwarding") as proxy:
        instance.environment |= proxy.environment()
        assert "WARNING" not in instance.arm(hours_s=3).stderr
        wait_for(instance.gone, LONG_S, "the end of the rental")
        kinds = {request.split()[0] for request in proxy.requests}
        instance.end()
    assert kinds >= {"PUT", "DELETE"}

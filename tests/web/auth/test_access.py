"""Strangers and other sites are refused."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from turbostream.web.auth.origin import is_loopback, is_loopback_host

ROUTES = (
    "/",
    "/stream",
    "/snapshot.jpg",
    "/status",
    "/healthz",
    "/scene",
    "/frames/1/shot",
    "/source",
    "/source.jpg",
    "/page/page.js",
    "/no",
)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "stranger",
    [
        {"environ_overrides": {"REMOTE_ADDR": "192.0.2.7"}},
        {"environ_overrides": {"REMOTE_ADDR": "::ffff:192.0.2.7"}},
        {"headers": {"Host": "evil.example"}},
        {"headers": {"Host": "localhost.evil.example"}},
        {"headers": {"X-Forwarded-For": "127.0.0.1"}},
        {"headers": {"Forwarded": "for=127.0.0.1"}},
    ],
    ids=["peer", "mapped peer", "rebound host", "host that begins well", "proxied", "forwarded"],
)
def test_a_stranger_gets_401(client: FlaskClient, route: str, stranger: dict[str, object]) -> None:
    assert client.get(route, **stranger).status_code == 401


@pytest.mark.parametrize("host", ["localhost", "localhost:8888", "127.0.0.1:8000", "[::1]:8000"])
def test_the_owner_gets_in_by_any_name_of_this_machine(client: FlaskClient, host: str) -> None:
    assert client.get("/status", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_cannot_drive_the_stream(client: FlaskClient, site: str) -> None:
    marks = {"Sec-Fetch-Site": site}
    assert client.post("/prompt", json={"prompt": "x"}, headers=marks).status_code == 403
    assert client.get("/stream", headers=marks).status_code == 403


def test_a_foreign_origin_without_marks_cannot_post(client: FlaskClient) -> None:
    for origin in ("https://evil.example", "null"):
        answer = client.post("/prompt", json={"prompt": "x"}, headers={"Origin": origin})
        assert answer.status_code == 403


def test_a_link_from_another_site_opens_the_page_and_only_the_page(client: FlaskClient) -> None:
    marks = {
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
    }
    assert client.get("/", headers=marks).status_code == 200
    assert client.get("/snapshot.jpg", headers=marks).status_code == 403
    assert client.get("/", headers={**marks, "Sec-Fetch-Dest": "iframe"}).status_code == 403


@pytest.mark.parametrize(
    ("address", "answer"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("::ffff:127.0.0.1", True),
     ("10.0.0.1", False), ("0.0.0.0", False), ("", False), ("localhost", False)],
)  # fmt: skip
def test_a_loopback_peer_is_told_from_any_other(address: str, answer: bool) -> None:
    assert is_loopback(address) is answer


@pytest.mark.parametrize(
    "host", ["", "evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "[::2]"]
)
def test_a_foreign_host_is_not_this_machine(host: str) -> None:
    assert not is_loopback_host(host)

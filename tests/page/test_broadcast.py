"""Broadcasting from the page, which hides the address and forgets it once it is sent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ports import free_port

pytestmark = pytest.mark.browser

KEY = "sesame-4711"
SAY = "#broadcast-say"


@pytest.fixture(autouse=True)
def ended(server) -> Iterator[None]:
    yield
    server.ask("DELETE", "/broadcast")


@pytest.fixture
def page(desk):
    page = desk.open()
    page.click("#broadcast > summary")
    return page


def test_a_broadcast_is_started_followed_and_stopped(page, server, eventually) -> None:
    port = free_port()
    assert page.is_hidden("#broadcast-stop")
    page.fill("#broadcast-url", f"rtmp://127.0.0.1:{port}/live/{KEY}")
    assert "disc" in page.eval_on_selector(
        "#broadcast-url", "field => getComputedStyle(field).webkitTextSecurity"
    )
    page.press("#broadcast-url", "Enter")
    page.wait_for_selector("#broadcast-stop:visible")
    assert page.input_value("#broadcast-url") == ""
    eventually(lambda: f"rtmp://127.0.0.1:{port}/live/*** refuses" in page.inner_text(SAY))
    eventually(lambda: page.inner_text("#broadcast-now"), " · not connected")
    assert server.ask("GET", "/broadcast")["on"]
    page.click("#broadcast-stop")
    page.wait_for_selector("#broadcast-stop", state="hidden")
    eventually(lambda: "was stopped" in page.inner_text(SAY))
    assert not server.ask("GET", "/broadcast")["on"]
    assert KEY not in page.content()


def test_an_address_that_is_refused_stays_to_be_corrected(page, desk, server, eventually) -> None:
    desk.tolerate_report("status of 400 ")
    page.fill("#broadcast-url", f"http://host/live/{KEY}")
    page.click("#broadcast-start")
    eventually(lambda: "The address must be" in page.inner_text(SAY))
    assert page.input_value("#broadcast-url") == f"http://host/live/{KEY}"
    assert not server.ask("GET", "/broadcast")["on"]


def test_a_viewer_does_not_see_it(page, eventually) -> None:
    assert page.is_visible("#broadcast")
    page.evaluate("document.body.classList.add('watcher')")
    assert page.is_hidden("#broadcast")

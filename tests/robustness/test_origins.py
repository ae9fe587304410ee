"""In a real Chromium, other pages can do nothing but link to ours."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Page, sync_playwright

from tests.chromium import launch
from tests.robustness.conftest import Program, Start
from tests.robustness.raw import eventually

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        opened = launch(play.chromium)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Program("sound", tmp_path_factory.mktemp("state"), "--server-host", "0.0.0.0") as running:
        running.wait_until_healthy()
        yield running


@pytest.fixture(scope="module")
def other_port() -> Iterator[int]:
    """Another site: an empty page on another port."""

    class Empty(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>other</title><body></body>")

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Empty)
    thread = threading.Thread(target=server.serve_forever, name="another site")
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


PAINTED = "Number(document.getElementById('picture')?.dataset.frame) > 0"
OTHERS = pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1"], ids=["same-site", "cross-site"]
)


@OTHERS
def test_a_page_of_another_origin_can_neither_show_nor_control_the_stream(
    page: Page, program: Program, other_port: int, host: str
) -> None:
    page.goto(f"http://{host}:{other_port}/")
    own = f"http://localhost:{program.port}"
    before = program.status()["prompt"]
    loaded = page.evaluate(
        """(address) => new Promise((done) => {
            const image = new Image();
            image.onload = () => done(true); image.onerror = () => done(false);
            image.src = address + '/snapshot.jpg'; document.body.append(image);
        })""",
        own,
    )
    assert loaded is False
    for mode in ("cors", "no-cors"):
        page.evaluate(
            """([address, mode]) => fetch(address + '/prompt', {method: 'POST', mode,
                credentials: 'include', headers: {'Content-Type': 'text/plain'},
                body: JSON.stringify({prompt: 'stolen'})}).catch(() => null)""",
            [own, mode],
        )
        text = page.evaluate(
            """([address, mode]) => fetch(address + '/status', {mode, credentials: 'include'})
                .then((answer) => answer.text()).catch(() => '')""",
            [own, mode],
        )
        assert text == ""
    page.evaluate(
        """(address) => { const form = document.createElement('form');
            form.method = 'post'; form.action = address + '/prompt';
            form.innerHTML = '<input name=prompt value=stolen>';
            document.body.append(form); form.submit(); }""",
        own,
    )
    page.wait_for_url(f"{own}/prompt")
    assert "Requests from other sites are refused" in page.content()
    assert program.status()["prompt"] == before


@OTHERS
def test_a_page_of_a_permitted_origin_controls_and_reads_with_its_cookie(
    page: Page, start: Start, other_port: int, host: str
) -> None:
    named = f"http://{host}:{other_port}"
    program = start("sound", "--server-host", "0.0.0.0", "--cors-origins", named)
    program.wait_until_healthy()
    page.goto(named + "/")
    got = page.evaluate(
        """async (address) => {
            const ask = (path, more) => fetch(address + path, {credentials: 'include', ...more});
            const body = JSON.stringify({prompt: 'from the studio'});
            const headers = {'Content-Type': 'application/json'};
            await ask('/prompt', {method: 'POST', headers, body});
            const loaded = new Promise((done) => {
                const image = new Image(); image.crossOrigin = 'use-credentials';
                image.onload = () => done(true); image.onerror = () => done(false);
                image.src = address + '/snapshot.jpg'; document.body.append(image);
            });
            return [(await (await ask('/scene')).json()).prompt, await loaded];
        }""",
        f"http://localhost:{program.port}",
    )
    assert got == ["from the studio", True]


@OTHERS
def test_a_link_on_another_page_opens_ours(
    page: Page, program: Program, other_port: int, host: str
) -> None:
    page.goto(f"http://{host}:{other_port}/")
    page.evaluate(
        """(address) => { document.body.innerHTML = `<a href="${address}/">here</a>`; }""",
        f"http://localhost:{program.port}",
    )
    page.click("a", no_wait_after=True)
    page.wait_for_selector("#prompt")


def painted(page: Page) -> bool:
    try:
        return bool(page.evaluate(PAINTED))
    except Error:  # the login page is being replaced
        return False


def outward(program: Program) -> str:
    """An address of this machine that is not loopback, as another machine would use it."""
    from turbostream.web.auth.share_link import outward_address

    address = outward_address()
    if address.startswith("127.") or not address[0].isdigit():
        pytest.skip("this machine has no address but loopback")
    return f"http://{address}:{program.port}"


def test_the_owner_never_sees_a_login_and_the_page_breaks_none_of_its_own_rules(
    page: Page, program: Program
) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(f"http://localhost:{program.port}/", wait_until="commit")
    eventually(lambda: painted(page))
    assert not [line for line in said if "Content Security Policy" in line or "rror" in line], said


def test_a_shared_link_can_only_watch_and_leaves_no_token_in_any_address(
    page: Page, program: Program
) -> None:
    assert program.state is not None
    token = json.loads((program.state / "tokens.json").read_text())["watch"]
    address = outward(program)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url + str(request.headers)))
    answer = page.goto(address + "/", wait_until="commit")
    assert answer is not None
    assert answer.status == 401
    page.wait_for_selector("#token")
    page.goto("about:blank")
    page.goto(f"{address}/#{token}", wait_until="commit")
    eventually(lambda: painted(page))
    assert token not in page.url
    assert token not in page.content()
    assert not [one for one in asked if token in one.replace(f"#{token}", "")]
    status = page.evaluate(
        """() => fetch('/prompt', {method: 'POST', headers: {'Content-Type': 'application/json'},
            body: JSON.stringify({prompt: 'mine'})}).then((answer) => answer.status)"""
    )
    assert status == 403
    assert token not in program.log


def test_the_owners_link_writes(page: Page, program: Program) -> None:
    assert program.state is not None
    token = json.loads((program.state / "tokens.json").read_text())["owner"]
    page.goto(f"{outward(program)}/#{token}", wait_until="commit")
    page.wait_for_selector("#prompt")
    page.fill("#prompt", "from far away")
    page.keyboard.press("Enter")
    eventually(lambda: program.status()["prompt"] == "from far away")


def test_a_wrong_token_is_refused_with_a_sentence_and_asked_for_again(
    page: Page, program: Program
) -> None:
    page.goto(f"{outward(program)}/#{'x' * 43}", wait_until="commit")
    eventually(lambda: "not, or no longer" in (page.text_content("#message") or ""))
    assert page.url.endswith("/")

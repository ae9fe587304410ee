"""Several windows of one browser share one stream: all of them move and the words get through."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.page.desk import FIRST_PICTURE
from tests.page.live_server import LiveServer, serving, shared
from tests.page.test_picture import HIDE, frame
from tests.server import once_below

pytestmark = pytest.mark.browser

COUNT = """() => {
    window.numbers = [];
    const picture = document.querySelector('#picture');
    new MutationObserver(() => numbers.push(Number(picture.dataset.frame)))
        .observe(picture, {attributeFilter: ['data-frame']});
}"""
NO_PLACE = "a browser opens only six connections"


class QuickServer(LiveServer):
    """Its engine needs no time, so that the machine is left to the windows."""

    program = ("-m", "tests.robustness.program", "sound")


shared_server = shared(QuickServer)


@pytest.fixture
def own_server(tmp_path):
    with serving(tmp_path, QuickServer) as server:
        yield server


@pytest.fixture
def windows(desk):
    """windows(n): so many windows of one browser on the page, each with a picture."""

    def open_windows(count: int, **options: Any) -> list[Any]:
        first = desk.window(**options)
        pages = [first] + [desk.beside(first.context) for _ in range(count - 1)]
        for page in pages:
            page.goto(desk.server.url, wait_until="commit")
        for page in pages:
            page.wait_for_selector(FIRST_PICTURE)
        return pages

    return open_windows


def moves(page: Any, eventually: Any, frames: int = 1) -> None:
    before = frame(page)
    eventually(lambda: frame(page) >= before + frames)


def viewers(server: Any) -> int:
    return int(server.ask("GET", "/status")["viewers"])


@pytest.mark.parametrize("count", [7, 12])
def test_many_windows_all_move_and_words_from_one_soon_reach_them_all(
    windows, desk, server, eventually, count
):
    pages = windows(count)
    assert viewers(server) == 1
    for page in pages:
        page.evaluate(COUNT)
    for page in pages:
        # If no acknowledgement arrived, the server would send about 10 in this time.
        eventually(lambda page=page: page.evaluate("numbers.length") > 30, limit_s=45)
        numbers = page.evaluate("numbers")
        assert numbers == sorted(set(numbers))
    colours = iter(("green", "red", "blue"))

    def reach_all_s() -> float:
        """Twice as long as permitted, and more, if each window had a stream of its own."""
        started = time.monotonic()
        pages[-1].fill("#prompt", f"a circle on a {next(colours)} background")
        answers = desk.messages(pages[-1]).answers  # so far
        pages[-1].keyboard.press("Enter")
        eventually(lambda: len(desk.messages(pages[-1]).answers) > len(answers))
        after = desk.messages(pages[-1]).answers[-1]["scene"]["frame"]
        for page in pages:
            eventually(lambda page=page: frame(page) > after)
        return time.monotonic() - started

    once_below(8, reach_all_s)
    assert {page.inner_text("#state-word") for page in pages} == {"Streaming"}


def test_windows_keep_moving_when_the_first_is_closed_or_one_is_reloaded(
    windows, server, eventually
):
    pages = windows(3)
    pages[0].close()
    for page in pages[1:]:
        moves(page, eventually)
    pages[1].reload(wait_until="commit")
    pages[1].wait_for_selector(FIRST_PICTURE)
    for page in pages[1:]:
        moves(page, eventually)
    assert viewers(server) == 1


def test_a_blocked_window_delays_no_other_and_resumes(windows, eventually):
    slow, quick = windows(2)
    questions = []
    slow.on("dialog", lambda it: questions.append(it))
    for page in (slow, quick):
        page.evaluate(COUNT)
    eventually(lambda: slow.evaluate("numbers.length") > 2)
    slow.evaluate("() => { setTimeout(() => { window.held = numbers.length; alert('wait'); }); }")
    eventually(lambda: len(questions), 1)
    seen = quick.evaluate("numbers.length")
    eventually(lambda: quick.evaluate("numbers.length") > seen + 30)
    questions[0].accept()
    eventually(lambda: slow.evaluate("numbers.length > held + 3"))
    numbers, held = slow.evaluate("numbers"), slow.evaluate("held")
    assert numbers == sorted(set(numbers))
    assert numbers[held + 1] - numbers[held - 1] > 20, "what it missed is not made up for"


def test_hidden_windows_leave_and_the_last_one_closes_the_stream(windows, server, eventually):
    first, second = windows(2)
    first.evaluate(COUNT)
    first.evaluate(HIDE, True)
    before = first.evaluate("numbers.length")
    moves(second, eventually, frames=20)
    assert first.evaluate("numbers.length") <= before + 1, "at most the one that was under way"
    second.evaluate(HIDE, True)
    eventually(lambda: viewers(server), 0)
    first.evaluate(HIDE, False)
    moves(first, eventually)
    assert viewers(server) == 1


def test_a_window_with_reduced_motion_does_not_slow_a_window_at_full_rate(windows, eventually):
    calm, full = windows(2)
    calm.emulate_media(reduced_motion="reduce")
    calm.wait_for_selector("text=Your system asks for less motion")
    moves(calm, eventually)
    for page in (calm, full):
        page.evaluate(COUNT)
    started = calm.evaluate("performance.now()")
    eventually(lambda: calm.evaluate("numbers.length") > 5)
    took_s = (calm.evaluate("performance.now()") - started) / 1000
    assert 5 / took_s < 2.4
    assert full.evaluate("numbers.length") > 8


def test_a_worker_that_ends_is_started_again(windows, browser, eventually):
    pages = windows(3)
    devtools = browser.new_browser_cdp_session()
    workers = [
        target["targetId"]
        for target in devtools.send("Target.getTargets")["targetInfos"]
        if target["type"] == "shared_worker"
    ]
    assert len(workers) == 1
    session = devtools.send("Target.attachToTarget", {"targetId": workers[0], "flatten": False})
    devtools.send(
        "Target.sendMessageToTarget",
        {
            "sessionId": session["sessionId"],
            "message": '{"id": 1, "method": "Runtime.evaluate",'
            ' "params": {"expression": "self.close()"}}',
        },
    )
    for page in pages:
        moves(page, eventually)
    devtools.detach()


def test_the_stream_comes_back_in_all_windows_after_the_server_was_killed(own_desk, eventually):
    first = own_desk.open()
    second = own_desk.beside(first.context)
    second.goto(own_desk.server.url)
    second.wait_for_selector(FIRST_PICTURE)
    own_desk.tolerate_lost_server()
    own_desk.server.end()
    for page in (first, second):
        page.wait_for_selector("#notice:visible")
        assert "The stream is lost" in page.text_content("#notice")
    own_desk.server.start()
    for page in (first, second):
        page.wait_for_selector("#notice", state="hidden")
        moves(page, eventually)


def test_without_shared_workers_the_window_that_finds_no_connection_says_why(desk, eventually):
    first = desk.alone()
    first.goto(desk.server.url)
    streams = """async (count) => {
        window.held = await Promise.all(Array.from({length: count}, () => fetch('stream')));
    }"""
    first.wait_for_selector(FIRST_PICTURE)
    seventh = desk.beside(first.context)
    seventh.add_init_script("delete window.SharedWorker")
    seventh.goto(desk.server.url)
    seventh.wait_for_selector(FIRST_PICTURE)
    seventh.evaluate(HIDE, True)
    first.evaluate(streams, 5)
    seventh.evaluate(HIDE, False)
    eventually(lambda: NO_PLACE in seventh.text_content("#notice-text"))

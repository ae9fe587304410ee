"""Sound as a controller: a real Chromium whose microphone plays a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.page.camera import another
from tests.page.click_track import compare, write_click_track
from tests.page.desk import Desk
from tests.page.live_server import LiveServer

pytestmark = pytest.mark.browser

NONE: dict[str, list[Any]] = {"midi": [], "sound": []}
KEEP_STREAMS = """
    window.streams = [];
    for (const name of ['getUserMedia', 'getDisplayMedia']) {
        const real = navigator.mediaDevices[name].bind(navigator.mediaDevices);
        navigator.mediaDevices[name] = async (wanted) => {
            const stream = await real(wanted);
            streams.push({stream, wanted, tracks: stream.getTracks()});
            return stream;
        };
    }
"""
TRACKS = "() => streams.map(({tracks}) => tracks.map(({kind, readyState}) => [kind, readyState]))"
LISTEN = """async ({seconds, busy_ms}) => {
    const {listen} = await import(document.baseURI + 'page/sound.js');
    const onsets = [];
    let [first, last] = [null, null];
    const heard = ({onset}, time) => {
        first ??= time;
        last = time;
        if (onset) onsets.push(time);
    };
    const listening = await listen('microphone', {heard, ended: (text) => { throw Error(text); }});
    const busy = setInterval(() => {
        for (const until = performance.now() + busy_ms; performance.now() < until;);
    }, 100);
    await new Promise((done) => setTimeout(done, seconds * 1000));
    clearInterval(busy);
    listening.close();
    return {onsets, first, last};
}"""


@pytest.fixture(scope="module")
def track(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "clicks.wav"
    write_click_track(path)
    return path


@pytest.fixture(scope="module")
def hearing(browser: Browser, track: Path) -> Iterator[Browser]:
    """A Chromium that allows everything and whose microphone repeats the click track."""
    plays = f"--use-file-for-fake-audio-capture={track}"
    with another(browser, "--use-fake-ui-for-media-stream", plays) as running:
        yield running


@pytest.fixture(scope="module")
def deaf(browser: Browser) -> Iterator[Browser]:
    """A Chromium that denies whatever a page asks for."""
    with another(browser, "--deny-permission-prompts") as running:
        yield running


@pytest.fixture
def desk(hearing: Browser, server: LiveServer) -> Iterator[Desk]:
    server.ask("PUT", "/mappings", NONE)
    desk = Desk(hearing, server)
    try:
        yield desk
    finally:
        desk.close()
        server.ask("PUT", "/mappings", NONE)
    assert desk.complaints() == []


@pytest.fixture
def page(desk: Desk) -> Page:
    return opened(desk)


def opened(desk: Desk, **options: Any) -> Page:
    """The page with its sound panel open; `streams` are those that it asked for."""
    page = desk.window(**options)
    page.add_init_script(KEEP_STREAMS)
    page.goto(desk.server.url)
    page.wait_for_selector("#sound")
    page.evaluate("document.getElementById('sound').open = true")
    return page


def press(page: Page, source: str) -> None:
    page.click(f'#sound-source [data-source="{source}"]')


def value_of(page: Page, meter: str) -> float:
    return float(page.evaluate(f"document.getElementById('sound-{meter}').value"))


@pytest.mark.parametrize(("seconds", "busy_ms"), [(40, 0), (20, 70)])
def test_clicks_are_heard_as_onsets_and_little_else_is(page, seconds, busy_ms):
    found = page.evaluate(LISTEN, {"seconds": seconds, "busy_ms": busy_ms})
    hits, false = compare(found["onsets"], found["first"] + 1, found["last"] - 0.1)
    print(f"{len(found['onsets'])} onsets: {hits:.1%} of the clicks, {false:.1%} false")
    assert hits >= 0.95
    assert false <= 0.05


def test_the_level_moves_a_value_and_an_onset_presses_a_trigger(page, server, eventually):
    page.click("#sound-add")
    page.click("#sound-add")
    second = page.locator("#sound-rows li").nth(1)
    second.get_by_label("Part of the sound").select_option("onset")
    second.get_by_label("Value that it sets").select_option("new_seed")
    kept = [("level", "brightness"), ("onset", "new_seed")]

    def stored() -> list[tuple[str, str]]:
        sound = server.ask("GET", "/mappings")["sound"]
        return [(it["source"], it["target"]) for it in sound]

    eventually(stored, kept)
    press(page, "microphone")
    seeds, levels = set(), set()

    def seen() -> bool:
        scene = server.ask("GET", "/scene")
        seeds.add(scene["seed"])
        levels.add(round(scene["brightness"], 2))
        return len(seeds) > 4 and len(levels) > 8

    eventually(seen)


def test_off_stops_the_track_and_the_meters(page, server, eventually):
    press(page, "microphone")
    eventually(lambda: value_of(page, "level") > 0)
    assert page.inner_text("#sound-now").strip() == "· listening to the microphone"
    wanted = page.evaluate("streams[0].wanted.audio")
    assert set(wanted.values()) == {False}
    press(page, "")
    assert page.evaluate(TRACKS) == [[["audio", "ended"]]]
    assert page.inner_text("#sound-now") == ""
    eventually(lambda: value_of(page, "level"), 0)


def test_a_tab_is_heard_and_its_picture_is_not_kept(page, eventually):
    press(page, "tab")
    eventually(lambda: value_of(page, "level") > 0)
    assert sorted(page.evaluate(TRACKS)[0]) == [["audio", "live"], ["video", "ended"]]
    press(page, "microphone")
    eventually(lambda: page.evaluate(TRACKS)[-1], [["audio", "live"]])
    assert sorted(page.evaluate(TRACKS)[0]) == [["audio", "ended"], ["video", "ended"]]


def test_a_tab_that_is_shared_without_sound_is_refused(page, eventually):
    page.evaluate("""() => {
        const real = navigator.mediaDevices.getDisplayMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getDisplayMedia = () => real({video: true});
    }""")
    press(page, "tab")
    eventually(lambda: "without sound" in page.inner_text("#sound-say"))
    assert page.evaluate(TRACKS) == [[["video", "ended"]]]


def test_a_microphone_that_is_unplugged_is_reported_and_can_be_chosen_again(page, eventually):
    press(page, "microphone")
    eventually(lambda: value_of(page, "level") > 0)
    page.evaluate("streams[0].tracks[0].dispatchEvent(new Event('ended'))")
    assert page.inner_text("#sound-say") == "The microphone was disconnected."
    assert page.get_attribute('#sound-source [data-source=""]', "aria-pressed") == "true"
    press(page, "microphone")
    eventually(lambda: value_of(page, "level") > 0)
    assert page.locator("#sound-say").is_hidden()


def test_a_choice_that_is_taken_back_while_the_browser_asks_opens_nothing(page, eventually):
    page.evaluate("""() => {
        const real = navigator.mediaDevices.getUserMedia;
        const gate = new Promise((open) => { window.allow = open; });
        navigator.mediaDevices.getUserMedia = (wanted) => gate.then(() => real(wanted));
    }""")
    press(page, "microphone")
    press(page, "")
    page.evaluate("allow()")
    eventually(lambda: page.evaluate(TRACKS), [[["audio", "ended"]]])
    assert page.inner_text("#sound-now") == ""


def test_a_microphone_that_is_not_allowed_is_one_sentence(deaf, server, eventually):
    desk = Desk(deaf, server)
    page = opened(desk)
    press(page, "microphone")
    eventually(lambda: page.inner_text("#sound-say").startswith("The microphone is not allowed;"))
    assert page.get_attribute('#sound-source [data-source=""]', "aria-pressed") == "true"
    desk.close()
    assert desk.complaints() == []


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        ("NotFoundError", "There is no microphone; connect one and try again."),
        ("NotReadableError", "The microphone cannot be read; another program may be using it."),
        ("AbortError", "The browser refuses the microphone: of the test"),
    ],
)
def test_each_refusal_of_the_browser_is_one_sentence(page, eventually, error, sentence):
    page.evaluate(
        """(name) => {
            const refuse = () => Promise.reject(new DOMException('of the test', name));
            navigator.mediaDevices.getUserMedia = refuse;
        }""",
        error,
    )
    press(page, "microphone")
    eventually(lambda: page.inner_text("#sound-say"), sentence)


@pytest.mark.parametrize(
    ("without", "sentence"),
    [
        ("Object.defineProperty(window, 'isSecureContext', {value: false})", "https or localhost"),
        (
            "Object.defineProperty(Navigator.prototype, 'mediaDevices', {value: undefined})",
            "This browser cannot listen to a microphone;",
        ),
    ],
)
def test_a_browser_that_cannot_listen_says_what_to_do(desk, eventually, without, sentence):
    page = desk.window()
    page.add_init_script(without)
    page.goto(desk.server.url)
    page.evaluate("document.getElementById('sound').open = true")
    press(page, "microphone")
    eventually(lambda: sentence in page.inner_text("#sound-say"))


def test_an_audio_output_that_does_not_start_is_reported(page, eventually):
    page.evaluate("""() => {
        window.AudioContext = class extends AudioContext {
            get state() { return 'suspended'; } // as in a Firefox without an audio output
            addEventListener() {}
        };
    }""")
    press(page, "microphone")
    eventually(lambda: "does not start its audio" in page.inner_text("#sound-say"))
    assert page.evaluate(TRACKS) == [[["audio", "ended"]]]

"""The page's field, and what it has sent."""

from __future__ import annotations

from typing import Any

from tests.page.desk import FIRST_PICTURE

WATCH = """
    window.keys = []; window.posts = []; window.gate = null;
    addEventListener('input', () => keys.push(performance.now()), true);
    const real = window.fetch;
    let flying = 0;
    window.fetch = async (path, options) => {
        if (!path.endsWith('/prompt')) return real(path, options);
        const {prompt} = JSON.parse(options.body);
        posts.push({at: performance.now(), prompt, flying: ++flying});
        await gate;
        return real(path, options).finally(() => { flying -= 1; });
    };
"""


def emptied(desk, window):
    """The page with a picture and an empty field, in a window."""
    window.add_init_script(WATCH)
    window.goto(desk.server.url)
    window.wait_for_selector(FIRST_PICTURE)
    window.fill("#prompt", "")
    window.evaluate("() => { keys.length = 0; }")
    return window


def wait_for_status(page: Any) -> None:
    """Returns once the page has used a /status that it asked for after this call.

    It asks again only after it has used the last answer. The first request seen may be older.
    """
    for _ in range(3):
        with page.expect_request("**/status"):
            pass


def sent(page):
    return [post["prompt"] for post in page.evaluate("posts")]

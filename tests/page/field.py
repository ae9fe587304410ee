"""The page's field, and what it has sent."""

from __future__ import annotations

from typing import Any

WATCH = """
    window.keys = []; window.posts = []; window.gate = null;
    addEventListener('input', () => keys.push(performance.now()), true);
    let flying = 0;
    const post = (prompt) => posts.push({at: performance.now(), prompt, flying: ++flying});
    const real = window.fetch;
    window.fetch = async (path, options) => {
        if (!path.endsWith('/prompt')) return real(path, options);
        post(JSON.parse(options.body).prompt);
        await gate;
        return real(path, options).finally(() => { flying -= 1; });
    };
    if (window.WebSocket) window.WebSocket = class extends WebSocket {
        ids = new Set();
        constructor(url) {
            super(url);  // the first listener, so that it counts before the page sends again
            this.addEventListener('message', ({data}) => {
                flying -= this.ids.delete(JSON.parse(data).id);
            });
        }
        async send(text) {
            const {patch, id} = JSON.parse(text);
            if (patch?.prompt === undefined) return super.send(text);
            this.ids.add(id);
            post(patch.prompt);
            await gate;
            super.send(text);
        }
    };
"""


def emptied(desk, window):
    """The page with a picture and an empty field, in a window."""
    window.add_init_script(WATCH)
    desk.show(window)
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

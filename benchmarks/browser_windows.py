"""Several windows of one browser on the page: `python -m benchmarks.browser_windows --windows 7`.

The windows share a profile, like those that one user opens, and therefore the six connections that
a browser opens to one host over HTTP/1.1. Measures, for each window, the seconds until its first
picture and its distinct frames per second; then a prompt is typed in the last window, and the time
from the Enter key to the prompt's first picture is measured in every window. Prints a table and one
JSON line.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from benchmarks.browsers import serving
from benchmarks.chromium_driver import chromium
from benchmarks.report import emit, machine
from benchmarks.server_process import free_port

LIMIT_S = 30.0  # longer times are reported as a dash
COUNT = """() => {
    const picture = document.getElementById('picture');
    window.frames_seen = 0;
    new MutationObserver(() => { frames_seen += 1; })
        .observe(picture, {attributeFilter: ['data-frame']});
}"""
FRAME = "Number(document.getElementById('picture')?.dataset.frame ?? 0)"


def until_all(pages: list[Any], reached: str) -> list[float | None]:
    """Seconds until the expression is true in each window; None where it stays false."""
    started = time.monotonic()
    found: list[float | None] = [None] * len(pages)
    while None in found and time.monotonic() - started < LIMIT_S:
        for number, page in enumerate(pages):
            if found[number] is None and page.evaluate(reached):
                found[number] = time.monotonic() - started
        pages[-1].wait_for_timeout(10)
    return found


def typed(page: Any) -> int | None:
    """Type a prompt; returns the server's answer, the last frame of the old prompt, or None."""
    from playwright.sync_api import Error

    page.fill("#prompt", "another prompt")
    try:
        with page.expect_response("**/prompt", timeout=LIMIT_S * 1000) as answer:
            page.keyboard.press("Enter")
        return int(answer.value.json()["frame"])
    except Error:
        return None


def measure(count: int, fps: int, seconds: float) -> dict[str, object]:
    from playwright.sync_api import Error

    port = free_port()
    with chromium() as page, serving(port, fps):
        context = page.context.browser.new_context()
        pages = [context.new_page() for _ in range(count)]
        for page in pages:
            try:
                page.goto(f"http://localhost:{port}/", wait_until="commit", timeout=5000)
                page.wait_for_selector("#picture", state="attached", timeout=5000)
            except Error:
                continue
        ready = until_all(pages, f"{FRAME} > 0")
        for page in pages:
            if page.locator("#picture").count():
                page.evaluate(COUNT)
        pages[-1].wait_for_timeout(seconds * 1000)
        rates = [(page.evaluate("window.frames_seen ?? 0")) / seconds for page in pages]
        started = time.monotonic()
        after = typed(pages[-1]) if pages[-1].locator("#prompt").count() else None
        answered = time.monotonic() - started if after is not None else None
        shown: list[float | None] = [None] * count
        if after is not None:
            beyond = time.monotonic() - started
            waits = until_all(pages, f"{FRAME} > {after}")
            shown = [None if wait is None else beyond + wait for wait in waits]
        state = [page.evaluate("document.getElementById('state-word')?.textContent")
                for page in pages]  # fmt: skip
    return {"windows": count, "first_picture_s": ready, "fps": rates, "answered_s": answered,
            "words_to_picture_s": shown, "state": state}  # fmt: skip


def text(value: object) -> str:
    return "-" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, nargs="+", default=[7, 12])
    parser.add_argument("--fps", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=5.0, help="of counting frames")
    parser.add_argument("--save", metavar="NAME", help="write the line to benchmarks/results/")
    given = parser.parse_args()
    rows = []
    for count in given.windows:
        row = measure(count, given.fps, given.seconds)
        rows.append(row)
        for name, value in row.items():
            values = value if isinstance(value, list) else [value]
            print(f"{name:20}", *(f"{text(one):>8}" for one in values))
        print()
    emit({"benchmark": "windows", **machine(), "given": vars(given), "rows": rows}, given.save)


if __name__ == "__main__":
    main()

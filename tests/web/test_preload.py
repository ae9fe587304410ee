"""The page names every module that its script needs, so that the browser asks for all at once."""

from __future__ import annotations

import re

from flask.testing import FlaskClient

IMPORT = re.compile(r"""^(?:import|export)\b[^;]*?from '\./([\w.-]+)'""", re.MULTILINE)


def imported(client: FlaskClient, name: str) -> set[str]:
    """The modules that a script of the page imports, directly or not."""
    found: set[str] = set()
    to_read = {name}
    while to_read:
        source = client.get(f"/page/{to_read.pop()}").get_data(as_text=True)
        to_read |= set(IMPORT.findall(source)) - found
        found |= set(IMPORT.findall(source))
    return found


def test_the_page_preloads_the_modules_of_its_script(client: FlaskClient) -> None:
    page = client.get("/").get_data(as_text=True)
    named = re.findall(r'<link rel="modulepreload" href="page/([^"?]+)"', page)
    needed = imported(client, "page.js")
    assert len(needed) > 5
    assert needed <= set(named)
    assert len(named) == len(set(named))
    asked = {"page.js", "worker.js", "source_clock.js"}
    assert not asked & set(named), "the page and its workers ask for these"

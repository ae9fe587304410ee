"""The page as the server fills it in."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient

from turbostream.stream.capabilities import Capabilities
from turbostream.web.context import AppContext


@pytest.mark.parametrize(
    ("takes", "offered"),
    [(None, ["1", "2", "3", "4"]), ((4, 1), ["1", "4"]), ((1,), []), ((), [])],
)
def test_the_page_offers_a_choice_of_steps_only_where_the_engine_has_one(
    client: FlaskClient,
    context: AppContext,
    takes: tuple[int, ...] | None,
    offered: list[str],
) -> None:
    assert client.get("/snapshot.jpg").status_code == 200  # the engine has said what it takes
    context.channel.takes = None if takes is None else Capabilities(steps=takes)
    page = client.get("/").get_data(as_text=True)
    assert re.findall(r"<option>(\d)</option>", page) == offered
    assert ('<label for="steps">' in page) == bool(offered)


def test_both_pages_have_the_same_head(client: FlaskClient) -> None:
    for path in ("/", "/overview"):
        page = client.get(path).get_data(as_text=True)
        assert '<meta name="viewport"' in page
        assert 'href="page/style.css"' in page

"""What the tests of channels share."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from flask.testing import FlaskClient
from PIL import Image

from tests.engines import colour_of
from tests.web.reader import Part, read_parts
from turbostream.sources import open_sources
from turbostream.web.context import AppContext
from turbostream.web.live.multipart import BOUNDARY


@contextmanager
def with_channels(context: AppContext, names: str) -> Iterator[None]:
    """The server's channels, as CHANNELS gives them; the first is the default one."""
    settings = replace(context.settings, channels=names)
    context.channels.settings = settings
    context.channels.open(open_sources(settings, context.channel))
    context.channels.start()
    yield
    context.channels.stop(timeout_s=30.0)


@contextmanager
def watching(client: FlaskClient, path: str) -> Iterator[Iterator[Part]]:
    response = client.get(path, buffered=False)
    assert response.status_code == 200
    yield read_parts(response.response, BOUNDARY)
    response.close()


def shows(jpeg: bytes, words: str) -> bool:
    """Whether a picture of the ColourEngine is that of `words`."""
    with Image.open(io.BytesIO(jpeg)) as image:
        found: Any = image.convert("RGB").resize((1, 1)).getpixel((0, 0))
    return all(abs(one - other) < 7 for one, other in zip(found, colour_of(words), strict=True))

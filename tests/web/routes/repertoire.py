"""What the tests of looks, the setlist and their export share."""

from __future__ import annotations

import base64
import io

from flask.testing import FlaskClient
from PIL import Image

from turbostream.web.context import AppContext

ENTRIES = [{"look": name, "hold_s": 60, "fade_s": 0} for name in "abc"]


def jpeg(side: int = 32) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), (1, 2, 200)).save(file, "JPEG")
    return file.getvalue()


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def names(client: FlaskClient) -> list[str]:
    return [look["name"] for look in client.get("/looks").json["looks"]]


def everything(context: AppContext) -> tuple[object, ...]:
    repertoire = context.repertoire
    return (
        repertoire.collection.content,
        repertoire.player.as_json(),
        context.channel.last_change,
    )

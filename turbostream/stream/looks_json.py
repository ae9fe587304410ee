"""The JSON form of looks, a setlist and mappings, for the file in STATE_DIR and for exports. Pure,
any thread except gevent's: the thumbnails are decoded to check them.

    {"version": 1, "looks": [{"name", "scene", "thumbnail": base64}, ...], "setlist": {...}}
    {"version": 2, ..., "mappings": {"midi": [...], "sound": [...]}}
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from turbostream.stream import mappings, scene_json, setlist, thumbnail
from turbostream.stream.looks import MOST_LOOKS, Look, Looks, check_name
from turbostream.stream.mappings import Mappings
from turbostream.stream.scene_checks import SceneError
from turbostream.stream.setlist import Setlist

VERSION = 2
WITHOUT_MAPPINGS = 1  # is still written if there are none, for programs that know no mappings
MOST_BYTES = 8 * 1024 * 1024  # of everything in this form
FIELDS = ("version", "looks", "setlist", "mappings")
THUMBNAIL_IS_BASE64 = "The thumbnail must be a JPEG as base64 text."


class Content(NamedTuple):
    """What is kept in one file, since it changes together: a renamed look is renamed everywhere."""

    looks: Looks = Looks()
    setlist: Setlist = Setlist()
    mappings: Mappings = Mappings()


def to_text(content: Content) -> str:
    """The file's text, one look per line. Raises SceneError if it is larger than MOST_BYTES."""
    version = VERSION if content.mappings else WITHOUT_MAPPINGS
    entries = ",\n".join(map(_text_of, content.looks.all))
    text = f'{{"version": {version}, "looks": [\n{entries}\n], "setlist": {_line(content.setlist)}'
    text += f',\n"mappings": {_line(content.mappings)}}}\n' if content.mappings else "}\n"
    if len(text.encode()) > MOST_BYTES:
        raise SceneError(
            f"The looks would take more than {MOST_BYTES // 2**20} MB together; delete some first."
        )
    return text


def from_json(data: object) -> Content:
    """The inverse of `to_text`; each part may be missing if another is there, and a setlist alone
    is accepted. Does not check that the setlist's looks exist. Raises SceneError with one
    sentence."""
    if not isinstance(data, Mapping):
        raise SceneError('The file must hold a JSON object such as {"version": 1, "looks": [...]}.')
    version = data.get("version", VERSION)
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise SceneError("The version of the file must be a whole number from 1.")
    if version > VERSION:
        raise SceneError(
            f"The file was written by a newer version of this program (format {str(version)[:20]}; "
            f"this one reads up to {VERSION})."
        )
    if "entries" in data:  # a setlist alone
        alone = setlist.from_json({k: v for k, v in data.items() if k != "version"})
        return Content(setlist=alone)
    if unknown := set(data) - set(FIELDS):
        raise SceneError(f"The file has an unknown field {sorted(map(str, unknown))[0][:40]!r}.")
    if not set(data) & {"looks", "setlist", "mappings"}:
        raise SceneError("The file holds neither looks nor a setlist nor mappings.")
    entries = data.get("looks", [])
    if not isinstance(entries, list):
        raise SceneError("The looks must be a list.")
    if len(entries) > MOST_LOOKS:
        raise SceneError(f"The file has {len(entries):,} looks; {MOST_LOOKS} is the most.")
    found: dict[str, Look] = {}
    for entry in entries:
        look = look_from_json(entry)
        if look.name in found:
            raise SceneError(f"The file has two looks that are called {look.name!r}.")
        found[look.name] = look
    return Content(
        Looks().put(*found.values()),
        setlist.from_json(data.get("setlist", {})),
        mappings.from_json(data.get("mappings", {})),
    )


def look_from_json(data: object) -> Look:
    """One entry of a file's looks; raises SceneError, which names the look if it has a valid
    name."""
    if not isinstance(data, Mapping) or not {"name", "scene"} <= set(data):
        raise SceneError('A look must be an object such as {"name": "dawn", "scene": {...}}.')
    if unknown := set(data) - {"name", "scene", "thumbnail"}:
        raise SceneError(f"A look has no {sorted(map(str, unknown))[0][:40]!r}.")
    name = check_name(data["name"])
    try:
        return look_of(name, data["scene"], data.get("thumbnail"))
    except SceneError as error:
        raise SceneError(f"The look {name!r} cannot be used: {error}") from None


def look_of(name: str, scene: object, given: object) -> Look:
    """The look with the scene in its JSON form. given: the thumbnail in base64, or None. Raises
    SceneError."""
    return Look.of(name, scene_json.from_json(scene, 0.0), 0.0, _decoded(given))


def look_to_json(look: Look) -> dict[str, Any]:
    encoded = None if look.thumbnail is None else base64.b64encode(look.thumbnail).decode()
    return {"name": look.name, "scene": scene_of(look), "thumbnail": encoded}


def scene_of(look: Look) -> dict[str, Any]:
    return scene_json.to_json(look.scene, look.scene.anchored_at)


def _line(part: Setlist | Mappings) -> str:
    return json.dumps(part.as_json(), ensure_ascii=False)


@lru_cache(maxsize=MOST_LOOKS)
def _text_of(look: Look) -> str:
    """Cached, so that a change encodes only the looks that it concerns. Raises SceneError for a
    look that could not be read again: the next start would reject the whole file."""
    scene_json.from_json(scene_of(look), 0.0)
    return json.dumps(look_to_json(look), ensure_ascii=False)


def _decoded(given: object) -> bytes | None:
    if given is None:
        return None
    if not isinstance(given, str):
        raise SceneError(THUMBNAIL_IS_BASE64)
    if len(given) > 2 * thumbnail.MOST_BYTES:
        raise SceneError(f"The thumbnail is larger than {thumbnail.MOST_BYTES:,} bytes.")
    try:
        data = base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        raise SceneError(THUMBNAIL_IS_BASE64) from None
    return thumbnail.checked(data)

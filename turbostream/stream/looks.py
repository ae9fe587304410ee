"""Looks: named scenes, each with a thumbnail, in the order in which they are shown.

Pure data and pure functions, any thread: a change returns a new collection. Knows no file, and of a
thumbnail only its bytes. `looks_json.py` has the JSON form.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace

from turbostream.stream.rhythm import Rhythm
from turbostream.stream.scene import Scene
from turbostream.stream.scene_checks import SceneError

MOST_LOOKS = 200
LONGEST_NAME = 60  # characters
JOINERS = {0x200C: None, 0x200D: None}  # invisible, and part of words in some scripts and of emoji


class UnknownLook(SceneError):
    """There is no look of that name."""


@dataclass(frozen=True)
class Look:
    """scene: without fades, at the default brightness, size and rhythm, anchored at 0. thumbnail: a
    JPEG or None."""

    name: str
    scene: Scene
    thumbnail: bytes | None = None

    @classmethod
    def of(cls, name: str, scene: Scene, time: float, thumbnail: bytes | None = None) -> Look:
        """The look of what `scene` shows at `time`."""
        plain = replace(
            scene.settled(time),
            brightness=1.0,
            width=None,
            height=None,
            anchored_at=0.0,
            rhythm=Rhythm(),
        )
        return cls(check_name(name), plain, thumbnail)


@dataclass(frozen=True)
class Looks:
    """At most MOST_LOOKS looks with distinct names."""

    all: tuple[Look, ...] = ()

    def __contains__(self, name: object) -> bool:
        return any(look.name == name for look in self.all)

    def __len__(self) -> int:
        return len(self.all)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(look.name for look in self.all)

    def get(self, name: str) -> Look:
        """Raises UnknownLook."""
        for look in self.all:
            if look.name == name:
                return look
        raise UnknownLook(f"There is no look {name[:LONGEST_NAME]!r}.")

    def put(self, *looks: Look) -> Looks:
        """With each of `looks` in place of the one of its name, or appended. Raises SceneError if
        that would be more than MOST_LOOKS."""
        found = {look.name: look for look in self.all} | {look.name: look for look in looks}
        if len(found) > MOST_LOOKS:
            raise SceneError(
                f"That would be {len(found):,} looks; {MOST_LOOKS} is the most: delete some first."
            )
        return Looks(tuple(found.values()))

    def without(self, name: str) -> Looks:
        """Raises UnknownLook."""
        gone = self.get(name)
        return Looks(tuple(look for look in self.all if look is not gone))

    def renamed(self, name: str, new: str) -> Looks:
        """new: a checked name. Raises UnknownLook, and SceneError if another look has that name."""
        found = self.get(name)
        if new != name and new in self:
            raise SceneError(f"There is a look {new!r} already; choose another name.")
        return Looks(tuple(replace(look, name=new) if look is found else look for look in self.all))

    def ordered(self, names: Iterable[object]) -> Looks:
        """names: each look's name once, in the new order; raises SceneError otherwise."""
        wanted = [check_name(name) for name in names]
        if sorted(wanted) != sorted(self.names):
            raise SceneError("The order must name each look exactly once; read GET /looks again.")
        return Looks(tuple(self.get(name) for name in wanted))


def check_name(name: object) -> str:
    """The name as it is kept: in NFC, stripped, 1 to LONGEST_NAME characters. Raises SceneError."""
    if not isinstance(name, str):
        raise SceneError("The name of a look must be text.")
    if len(name) > 10 * LONGEST_NAME:
        raise _wrong_length(len(name))
    name = unicodedata.normalize("NFC", name).strip()
    if not 1 <= len(name) <= LONGEST_NAME:
        raise _wrong_length(len(name))
    if "/" in name or "\\" in name:
        raise SceneError("The name of a look cannot contain a slash or a backslash.")
    if not name.translate(JOINERS).isprintable() or "\ufffd" in name:
        raise SceneError("The name of a look must consist of printable characters.")
    if name.translate(JOINERS).strip() in ("", ".", ".."):
        raise SceneError(
            "A look cannot be called '.', '..' or nothing visible; choose another name."
        )
    return name


def _wrong_length(count: int) -> SceneError:
    return SceneError(
        f"The name of a look has 1 to {LONGEST_NAME} characters; this one has {count:,}."
    )

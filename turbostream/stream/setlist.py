"""The setlist: looks in playing order, and the position of its playback.

Pure data and pure functions, any thread; times are seconds on the caller's clock. The due time of
an entry is computed from that of the previous one, not from when a look was recalled, so that late
wake-ups do not add up to drift.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

from turbostream.stream.fade import MAX_FADE_S
from turbostream.stream.looks import check_name
from turbostream.stream.scene_checks import SceneError
from turbostream.stream.shot import is_number

MOST_ENTRIES = 1000
HOLD_S = (0.1, 86_400.0)  # least and most
ENTRY_FIELDS = ("look", "hold_s", "fade_s")
FORM = 'Send entries as a list such as [{"look": "dawn", "hold_s": 60, "fade_s": 8}].'


class NoFurtherEntry(SceneError):
    """The setlist has no entry in that direction."""


@dataclass(frozen=True)
class Entry:
    """look: its name. fade_s: the length of the fade to it. hold_s: how long it is held after the
    fade. Both in seconds."""

    look: str
    hold_s: float
    fade_s: float = 0.0

    @property
    def seconds(self) -> float:
        return self.fade_s + self.hold_s


@dataclass(frozen=True)
class Setlist:
    entries: tuple[Entry, ...] = ()
    loop: bool = False

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def looks(self) -> tuple[str, ...]:
        """The names of the looks, each once."""
        return tuple(dict.fromkeys(entry.look for entry in self.entries))

    def renamed(self, name: str, new: str) -> Setlist:
        """With the look `name` under its new name."""
        entries = (
            replace(entry, look=new) if entry.look == name else entry for entry in self.entries
        )
        return replace(self, entries=tuple(entries))

    def as_json(self) -> dict[str, Any]:
        entries = [{name: getattr(entry, name) for name in ENTRY_FIELDS} for entry in self.entries]
        return {"entries": entries, "loop": self.loop}


@dataclass(frozen=True)
class Playback:
    """The position in a setlist, which plays or is paused.

    left_s: while paused, the time left of the entry at `position`; None before that entry was
    shown, 0 once the last entry is over. due_at: while playing, when that entry is over; otherwise
    None.
    """

    position: int = 0
    left_s: float | None = None
    due_at: float | None = None

    @property
    def playing(self) -> bool:
        return self.due_at is not None

    def left(self, time: float) -> float | None:
        """Seconds left of the entry; None before it was shown."""
        return self.left_s if self.due_at is None else max(0.0, self.due_at - time)

    def jumped(self, setlist: Setlist, position: int, time: float) -> Playback:
        """At the beginning of the entry at `position`, playing or paused as before."""
        seconds = setlist.entries[position].seconds
        if self.playing:
            return Playback(position, due_at=time + seconds)
        return Playback(position, left_s=seconds)

    def stepped(self, setlist: Setlist, step: int, time: float) -> Playback:
        """At the beginning of the next entry (`step` 1) or the previous one (-1); the first step
        shows the first entry. Raises NoFurtherEntry."""
        if not setlist.entries:
            raise NoFurtherEntry("The setlist is empty; put a setlist first.")
        position = self.position + (0 if self.left(time) is None else step)
        if setlist.loop:
            position %= len(setlist)
        if not 0 <= position < len(setlist):
            end = "last" if step > 0 else "first"
            raise NoFurtherEntry(f"The setlist is at its {end} entry.")
        return self.jumped(setlist, position, time)

    def started(self, setlist: Setlist, time: float) -> tuple[Playback, bool]:
        """(the state while playing, whether to recall the look of its entry). After a pause the
        entry continues with the time left. Raises NoFurtherEntry if the setlist is empty."""
        if self.playing:
            return self, False
        if not setlist.entries:
            raise NoFurtherEntry("The setlist is empty; put a setlist first.")
        if self.left_s:
            return Playback(self.position, due_at=time + self.left_s), False
        position = 0 if self.left_s == 0 else self.position
        return Playback(position, due_at=time + setlist.entries[position].seconds), True

    def paused(self, time: float) -> Playback:
        return Playback(self.position, left_s=self.left(time)) if self.playing else self

    def advanced(self, setlist: Setlist, time: float) -> Playback:
        """The state at `time`, past all entries that are over by then."""
        if self.due_at is None or self.due_at > time:
            return self
        position, due_at, last = self.position, self.due_at, len(setlist) - 1
        if setlist.loop:
            loop_s = sum(entry.seconds for entry in setlist.entries)
            due_at += math.floor((time - due_at) / loop_s) * loop_s
        while due_at <= time:
            if position >= last and not setlist.loop:
                return Playback(last, left_s=0.0)
            position = (position + 1) % len(setlist)
            due_at += setlist.entries[position].seconds
        return Playback(position, due_at=due_at)

    def within(self, setlist: Setlist, before: Setlist) -> Playback:
        """The state after `setlist` has replaced `before`: at the nearest entry of the same look,
        if there is one."""
        if not setlist.entries:
            return Playback()
        position = min(self.position, len(setlist) - 1)
        if self.position < len(before):
            look = before.entries[self.position].look
            found = [index for index, entry in enumerate(setlist.entries) if entry.look == look]
            position = min(found, key=lambda index: abs(index - position), default=position)
        return replace(self, position=position)

    def as_json(self, time: float) -> dict[str, Any]:
        """Relative times, for the web and for the next process."""
        return {"position": self.position, "playing": self.playing, "left_s": self.left(time)}

    @classmethod
    def from_json(cls, data: object, time: float) -> Playback:
        """The inverse of `as_json`: the state continues at `time`. Raises SceneError."""
        wrong = "The setlist's position cannot be read."
        if not isinstance(data, Mapping):
            raise SceneError(wrong)
        position, playing, left_s = (data.get(name) for name in ("position", "playing", "left_s"))
        if not _is_whole(position) or not isinstance(playing, bool):
            raise SceneError(wrong)
        if left_s is None and not playing:
            return cls(position)
        if not is_number(left_s) or not 0 <= left_s <= HOLD_S[1] + MAX_FADE_S:  # type: ignore[operator]
            raise SceneError(wrong)
        if playing:
            return cls(position, due_at=time + float(left_s))  # type: ignore[arg-type]
        return cls(position, left_s=float(left_s))  # type: ignore[arg-type]


def from_json(data: object) -> Setlist:
    """The inverse of `Setlist.as_json`; raises SceneError. Does not check that the looks exist."""
    if not isinstance(data, Mapping):
        raise SceneError('The setlist must be a JSON object such as {"entries": [...]}.')
    if unknown := set(data) - {"entries", "loop"}:
        raise SceneError(f"A setlist has no {sorted(map(str, unknown))[0][:40]!r}.")
    entries, loop = data.get("entries", []), data.get("loop", False)
    if not isinstance(loop, bool):
        raise SceneError("The loop of a setlist must be true or false.")
    if not isinstance(entries, list):
        raise SceneError(FORM)
    if len(entries) > MOST_ENTRIES:
        raise SceneError(f"The setlist has {len(entries):,} entries; {MOST_ENTRIES:,} is the most.")
    return Setlist(tuple(_entry(entry) for entry in entries), loop)


def check_position(value: object, setlist: Setlist) -> int:
    """The index of an entry; raises SceneError."""
    if not _is_whole(value) or value >= len(setlist):
        raise SceneError(
            f"The position must be a whole number from 0 to {len(setlist) - 1}."
            if setlist.entries
            else "The setlist is empty; put a setlist first."
        )
    return value


def _entry(data: object) -> Entry:
    if not isinstance(data, Mapping) or "look" not in data or set(data) - set(ENTRY_FIELDS):
        raise SceneError(FORM)
    hold_s, fade_s = data.get("hold_s", 60.0), data.get("fade_s", 0.0)
    for name, value, (low, high) in (
        ("hold_s", hold_s, HOLD_S),
        ("fade_s", fade_s, (0.0, MAX_FADE_S)),
    ):
        if not is_number(value) or not low <= value <= high:
            raise SceneError(f"The {name} of an entry must be a number from {low:g} to {high:g}.")
    return Entry(check_name(data["look"]), float(hold_s), float(fade_s))


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST_ENTRIES

"""The names of channels, and what is wrong with a request about channels. Pure, any thread."""

from __future__ import annotations

import re

MOST_CHANNELS = 16
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
ALLOWED = "1 to 32 of a-z, 0-9, - and _, beginning with a letter or digit"


class ChannelError(ValueError):
    """One sentence about a channel that cannot be made."""


class UnknownChannel(ChannelError):
    """There is no channel of this name."""


class ChannelConflict(ChannelError):
    """The channels that exist do not allow it."""


def check_name(name: str) -> str:
    """`name` if a channel may have it; raises ChannelError."""
    if not NAME.fullmatch(name):
        raise ChannelError(f"A channel's name has {ALLOWED}, which {_quoted(name)} has not.")
    return name


def parse(names: str) -> tuple[str, ...]:
    """The names in a list with commas; raises ChannelError."""
    found = tuple(check_name(name.strip()) for name in names.split(","))
    for name in found:
        if found.count(name) > 1:
            raise ChannelError(f"The channel {name!r} is named twice.")
    if len(found) > MOST_CHANNELS:
        raise ChannelError(f"There may be {MOST_CHANNELS} channels, and {len(found):,} are named.")
    return found


def unknown(name: str) -> UnknownChannel:
    return UnknownChannel(f"There is no channel {_quoted(name)}; GET /channels lists them.")


def _quoted(name: str) -> str:
    return repr(name if len(name) <= 40 else name[:37] + "...")

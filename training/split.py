"""What training never sees: pairs of thing and colour, of thing and ground, and phrasings.

Chosen by a hash, so that nobody chose them. What a thing looks like when nothing is said about
it is never held out: a prompt without the word would show it.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from training import words
from training.scene import GROUNDS
from training.things import THINGS

HELD_PER_THING = 2
HELD_PHRASINGS = 8  # one phrasing in so many
SAID_GROUNDS = GROUNDS[:-2]


def number(*parts: str) -> int:
    return zlib.crc32("/".join(parts).encode())


def chosen(thing: str, others: Sequence[str], natural: str) -> frozenset[str]:
    """The others that this thing is never shown with."""
    free = [other for other in others if other != natural]
    return frozenset(sorted(free, key=lambda other: number(thing, other))[:HELD_PER_THING])


HELD_COLOURS = {t: chosen(t, tuple(words.COLOURS), THINGS[t].natural) for t in words.THINGS}
HELD_GROUNDS = {t: chosen(t, SAID_GROUNDS, THINGS[t].ground) for t in words.THINGS}


def held_phrasing(name: str) -> bool:
    """Whether a phrasing is kept for the evaluation."""
    return number("phrasing", name) % HELD_PHRASINGS == 0


def held_pair(thing: str | None, colour: str | None, ground: str | None) -> bool:
    """Whether a recipe shows a pair that is kept for the evaluation."""
    return thing is not None and (colour in HELD_COLOURS[thing] or ground in HELD_GROUNDS[thing])

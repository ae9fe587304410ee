"""What is held out of the training: pairs of thing and colour, of thing and ground, and phrasings.

Chosen by a hash, to avoid bias. A thing's default colour and ground are never held out, because
prompts that do not name them would show them.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from training import vocabulary
from training.scene import GROUNDS
from training.things import THINGS

HELD_PER_THING = 2
HELD_PHRASINGS = 8  # one phrasing in this many
SAID_GROUNDS = GROUNDS[:-2]


def number(*parts: str) -> int:
    return zlib.crc32("/".join(parts).encode())


def chosen(thing: str, others: Sequence[str], natural: str) -> frozenset[str]:
    """Those of `others` that training never combines with this thing."""
    free = [other for other in others if other != natural]
    return frozenset(sorted(free, key=lambda other: number(thing, other))[:HELD_PER_THING])


HELD_COLOURS = {
    t: chosen(t, tuple(vocabulary.COLOURS), THINGS[t].natural) for t in vocabulary.THINGS
}
HELD_GROUNDS = {t: chosen(t, SAID_GROUNDS, THINGS[t].ground) for t in vocabulary.THINGS}


def held_phrasing(name: str) -> bool:
    """Whether a phrasing is reserved for the evaluation."""
    return number("phrasing", name) % HELD_PHRASINGS == 0


def held_pair(thing: str | None, colour: str | None, ground: str | None) -> bool:
    """Whether a recipe contains a pair that is reserved for the evaluation."""
    return thing is not None and (colour in HELD_COLOURS[thing] or ground in HELD_GROUNDS[thing])

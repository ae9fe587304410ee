"""Whether the pictures of a replay are those of the show, and if not, why. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from turbostream.batch.replay.options import Options
from turbostream.batch.replay.plan import Item, Plan

MOST_REASONS = 3


class Report:
    """Counts the pictures as they are painted, or found painted."""

    def __init__(self) -> None:
        self._identical = self._compared = 0
        self._others: Counter[tuple[str, str]] = Counter()

    def add(self, item: Item, sha256: str, fingerprint: str) -> None:
        """sha256: the first digits of the picture's. fingerprint: of the engine that painted it."""
        if not item.sha256:
            return
        self._compared += 1
        if item.sha256 == sha256:
            self._identical += 1
            return
        pair = item.fingerprint, fingerprint
        if pair in self._others or len(self._others) < MOST_REASONS:
            self._others[pair] += 1

    def sentences(self, plan: Plan, options: Options) -> Iterator[str]:
        if not self._compared:
            yield from _not_comparable(plan, options)
            return
        yield (
            f"{self._identical:,} of {self._compared:,} pictures are identical to those of the "
            "show."
        )
        for (show, now), count in self._others.most_common():
            yield f"{count:,} look the same, but not byte for byte: {_reason(show, now)}."


def _not_comparable(plan: Plan, options: Options) -> Iterator[str]:
    reasons = []
    if options.fps is not None:
        reasons.append(f"at {options.fps:g} frames/s, and not at the times of the show's frames")
    if plan.size != plan.session.header.size:
        sizes = ("x".join(map(str, size)) for size in (plan.size, plan.session.header.size))
        reasons.append("at {}, and the show at {}".format(*sizes))
    yield f"No picture is byte for byte one of the show's: they were painted {'; '.join(reasons)}."


def _reason(show: str, now: str) -> str:
    if show == now:
        return (
            f"the fingerprint is the same ({now}), so the weights, the processor or its number of "
            "threads are others"
        )
    if show.rpartition(" batch-")[0] == now.rpartition(" batch-")[0]:
        sizes = (text.rpartition("-")[2] for text in (now, show))
        return "painted in batches of {}, in the show of {}".format(*sizes)
    return f"the fingerprint is {now!r}, in the show {show!r}"

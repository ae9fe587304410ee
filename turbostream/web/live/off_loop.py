"""Runs what waits for a disk, a picture or a decoder on other threads.

Meanwhile gevent's loop serves the streams. Knows no route.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

from gevent.hub import get_hub
from gevent.lock import BoundedSemaphore
from gevent.util import wrap_errors

T = TypeVar("T")


def off_loop(function: Callable[..., T], *arguments: Any) -> T:
    """`function(*arguments)` on another thread; raises what it raises. Only this greenlet waits."""
    # Unwrapped, an error would also be printed by the pool's thread.
    wrapped = wrap_errors((Exception,), function)
    result: T | Exception = get_hub().threadpool.apply(wrapped, arguments)
    if isinstance(result, Exception):
        raise result
    return result


class TooManyWait(Exception):
    """The call is not made, because as many wait for their turn as may."""


class InTurn:
    """`off_loop` for one call at a time; the greenlets that wait occupy no thread. most_waiting:
    further calls raise TooManyWait."""

    def __init__(self, most_waiting: float = math.inf) -> None:
        self._turn = BoundedSemaphore(1)
        self._calls, self._most_calls = 0, 1 + most_waiting

    def __call__(self, function: Callable[..., T], *arguments: Any) -> T:
        if self._calls >= self._most_calls:
            raise TooManyWait
        self._calls += 1
        try:
            with self._turn:
                return off_loop(function, *arguments)
        finally:
            self._calls -= 1


def later(function: Callable[..., object], *arguments: Any) -> None:
    """Start `function(*arguments)` on another thread; gevent logs its errors."""
    get_hub().threadpool.spawn(function, *arguments)

"""Something that goes on while a test measures something else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def meanwhile(name: str, run: Callable[[threading.Event], object]) -> Iterator[None]:
    """`run` on a thread of that name, until the event that it gets is set."""
    over = threading.Event()
    thread = threading.Thread(target=run, args=(over,), name=name)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()

"""The parts of a submission that was split, as one future. Any thread."""

from __future__ import annotations

import threading
from concurrent.futures import Future

from turbostream.stream.engine_api import Picture


def joined(parts: list[Future[list[Picture]]]) -> Future[list[Picture]]:
    """One future of all the pictures, in order; if several parts fail, the first error is set."""
    combined: Future[list[Picture]] = Future()
    remaining = [len(parts)]
    lock = threading.Lock()

    def on_done(_: Future[list[Picture]]) -> None:
        with lock:
            remaining[0] -= 1
            if remaining[0]:
                return
        errors = [error for part in parts if (error := part.exception()) is not None]
        if errors:
            combined.set_exception(errors[0])
        else:
            combined.set_result([picture for part in parts for picture in part.result()])

    for part in parts:
        part.add_done_callback(on_done)
    return combined

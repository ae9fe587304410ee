"""Download progress: adds up huggingface_hub's progress bars into one number of bytes.

Called concurrently from its download threads.
"""

from __future__ import annotations

import threading
from typing import Any

from turbostream.stream.engine_api import Report
from turbostream.stream.state import State, Status


class ByteCounter:
    """Reports the bytes downloaded so far, of `total`, for the model `name`."""

    def __init__(self, report: Report, name: str, total: int) -> None:
        self._report = report
        self._name = name
        self._total = total
        self._done = 0
        self._lock = threading.Lock()

    def add(self, count: float) -> None:
        with self._lock:
            self._done = min(self._total, self._done + int(count))
            done = self._done
        self._report(
            Status(
                State.DOWNLOADING,
                f"Downloading {self._name}: {done / 1e6:,.0f} of {self._total / 1e6:,.0f} MB.",
                done,
                self._total,
            )
        )

    def bar_class(self) -> type:
        """A progress bar class for huggingface_hub that draws nothing and counts bytes."""
        from huggingface_hub.utils import tqdm  # only subclasses of this tqdm receive a name

        counter = self

        class Bar(tqdm):  # type: ignore[misc]
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                # Two bars count bytes: one what came over the network (`...transfer`), the other
                # what was written to disk. Only the second ends at the files' sizes.
                name = str(kwargs.get("name"))
                self._bytes = kwargs.get("unit") == "B" and not name.endswith(".transfer")
                kwargs["disable"] = True
                super().__init__(*args, **kwargs)

            def update(self, n: float | None = 1) -> None:
                if self._bytes and n:
                    counter.add(n)

        return Bar

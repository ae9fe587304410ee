"""How far a download is: huggingface_hub's progress bars, added up into one number of bytes.

Called from its downloading threads, several at once.
"""

from __future__ import annotations

import threading
from typing import Any

from turbostream.stream.engine_api import Report
from turbostream.stream.state import State, Status


class ByteCounter:
    """Reports `done` of `total` bytes of the model `name`."""

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
        """A progress bar, as huggingface_hub asks for it, that draws nothing and adds bytes."""
        from huggingface_hub.utils import tqdm  # only a bar of this kind is told its name

        counter = self

        class Bar(tqdm):  # type: ignore[misc]
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                # Two bars count bytes: what came over the network (`...transfer`), and what is
                # on the disk, which is the one that ends at the files' sizes.
                name = str(kwargs.get("name"))
                self._bytes = kwargs.get("unit") == "B" and not name.endswith(".transfer")
                kwargs["disable"] = True
                super().__init__(*args, **kwargs)

            def update(self, n: float | None = 1) -> None:
                if self._bytes and n:
                    counter.add(n)

        return Bar

"""The last used input pictures, each under the digest that shots name it by. Any thread."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict

from turbostream.sources.picture import Pixels

MOST = 64  # pictures: many more than can be in flight
MOST_BYTES = 256_000_000
LEAST = 4  # are kept even if they take more


def digest(pixels: Pixels) -> str:
    """Of a stage picture, uint8 RGB [H, W, 3]: see `InputPicture`."""
    height, width = pixels.shape[:2]
    found = hashlib.sha256(f"{width}x{height}\n".encode())
    found.update(pixels.data)
    return found.hexdigest()


class Store:
    """Pictures that are added are not changed afterwards. The one that was not used for longest is
    forgotten, so one that the probes of a long fade start from stays."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pictures: OrderedDict[str, Pixels] = OrderedDict()
        self._bytes = 0

    def add(self, pixels: Pixels) -> str:
        """Keep a C-contiguous picture, uint8 RGB [H, W, 3]; returns its digest."""
        name = digest(pixels)
        pixels.flags.writeable = False
        with self._lock:
            if name not in self._pictures:
                self._pictures[name] = pixels
                self._bytes += pixels.nbytes
            self._pictures.move_to_end(name)
            while len(self._pictures) > MOST or (
                self._bytes > MOST_BYTES and len(self._pictures) > LEAST
            ):
                _, oldest = self._pictures.popitem(last=False)
                self._bytes -= oldest.nbytes
        return name

    def find(self, sha256: str) -> Pixels | None:
        with self._lock:
            found = self._pictures.get(sha256)
            if found is not None:
                self._pictures.move_to_end(sha256)
            return found

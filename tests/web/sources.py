"""Input pictures for the web's tests: what `sources/` does, without decoding anything."""

from __future__ import annotations

import hashlib
import threading
import time

from turbostream.stream.channel import Channel
from turbostream.stream.source_status import SourceError, SourceStatus

BAD = b"bad"  # a file that contains it is refused
SENTENCE = "The file is not a picture."
PICTURE = b"\xff\xd8 a picture as JPEG"  # as far as the web is concerned


class FakeSources:
    """Offered pictures wait until `handle`, or are handled at once with `at_once`."""

    def __init__(self, channel: Channel, at_once: bool = False) -> None:
        self.put_with: list[tuple[bytes, str, bool]] = []
        self.senders: list[object] = []  # of each picture that was offered
        self.left: list[object] = []
        self.threads: set[int] = set()
        self.takes_s = 0.0
        self.offered: bytes | None = None
        self.newest: bytes | None = None
        self._channel, self._at_once = channel, at_once
        self._from, self._message, self._at = "", "", 0.0
        self._received = self._used = self._dropped = self._refused = 0

    def offer(self, data: bytes, origin: str, sender: object = None) -> None:
        self.senders.append(sender)
        self._received += 1
        self._dropped += self.offered is not None
        self.offered, self._from = data, origin
        if self._at_once:
            self.handle()

    def leave(self, sender: object) -> None:
        self.left.append(sender)

    def handle(self) -> None:
        """What the thread of the sources does."""
        data, self.offered = self.offered, None
        assert data is not None
        try:
            self._take(data)
        except SourceError as error:
            self._message = str(error)

    def put(self, data: bytes, fit: str, mirror: bool, timeout_s: float) -> str:
        self.threads.add(threading.get_ident())
        time.sleep(self.takes_s)
        self.put_with.append((data, fit, mirror))
        self._received += 1
        self._from = "request"
        return self._take(data)

    def _take(self, data: bytes) -> str:
        if BAD in data:
            self._refused += 1
            raise SourceError(SENTENCE, 415)
        self._used += 1
        self.newest, self._message, self._at = data, "", time.monotonic()
        digest = hashlib.sha256(data).hexdigest()
        self._channel.give_picture(digest)
        return digest

    def clear(self) -> None:
        self.newest, self._from = None, ""
        self._channel.give_picture(None)

    def picture(self) -> bytes | None:
        self.threads.add(threading.get_ident())
        return None if self.newest is None else PICTURE

    def status(self) -> SourceStatus:
        return {
            "kind": self._channel.scene.source,
            "from": self._from,
            "size": None if self.newest is None else [640, 480],
            "age_s": None if self.newest is None else time.monotonic() - self._at,
            "received": self._received,
            "used": self._used,
            "dropped": self._dropped,
            "refused": self._refused,
            "message": self._message,
        }

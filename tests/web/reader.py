"""A strict multipart reader: whatever is not exactly as it should be raises."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    number: int
    timestamp: float
    jpeg: bytes
    revision: int = 0


def read_parts(chunks: Iterable[bytes], boundary: str) -> Iterator[Part]:
    """The parts of a stream of bytes, however it is cut into chunks."""
    mark = f"--{boundary}\r\n".encode()
    data = b""
    started = False
    for chunk in chunks:
        data += chunk
        while True:
            if not started:
                if len(data) < len(mark):
                    break
                assert data.startswith(mark), data[:80]
                data, started = data[len(mark) :], True
            head, found, rest = data.partition(b"\r\n\r\n")
            if not found:
                break
            lines = head.decode("ascii").split("\r\n")
            names = [line.partition(": ")[0] for line in lines]
            assert names == [
                "Content-Type", "Content-Length", "X-Timestamp", "X-Frame-Id", "X-Revision",
            ]  # fmt: skip
            values = dict(line.split(": ", 1) for line in lines)
            assert values["Content-Type"] == "image/jpeg"
            length = int(values["Content-Length"])
            if len(rest) < length + 2 + len(mark):
                break
            jpeg, tail = rest[:length], rest[length:]
            assert jpeg.startswith(b"\xff\xd8")
            assert jpeg.endswith(b"\xff\xd9")
            assert tail.startswith(b"\r\n" + mark), tail[:80]
            revision = int(values["X-Revision"])
            yield Part(int(values["X-Frame-Id"]), float(values["X-Timestamp"]), jpeg, revision)
            data = tail[2 + len(mark) :]

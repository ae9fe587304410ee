"""The newest frame, and nothing but the newest."""

from __future__ import annotations

import threading

from turbostream.stream.frame import Frame, FrameBuffer
from turbostream.stream.scene import Shot

SHOT = Shot("words", 0, 1, 0.0)


def frame(number: int) -> Frame:
    return Frame(number, b"jpeg %d" % number, SHOT, float(number), {}, "test")


def test_a_reader_gets_the_newest_frame() -> None:
    buffer = FrameBuffer()
    assert buffer.newest() is None
    buffer.publish(frame(1))
    buffer.publish(frame(2))
    assert buffer.newest() == frame(2)


def test_an_older_frame_never_replaces_a_newer_one() -> None:
    buffer = FrameBuffer()
    buffer.publish(frame(5))
    assert not buffer.publish(frame(4))
    assert not buffer.publish(frame(5))
    assert buffer.newest() == frame(5)


def test_listeners_hear_of_each_frame_once_it_is_there() -> None:
    buffer = FrameBuffer()
    heard: list[int] = []
    buffer.listen(lambda: heard.append(buffer.newest().number))  # type: ignore[union-attr]
    buffer.publish(frame(1))
    buffer.publish(frame(1))
    buffer.publish(frame(3))
    assert heard == [1, 3]


def test_many_readers_see_numbers_that_only_rise() -> None:
    buffer = FrameBuffer()
    done = threading.Event()
    faults: list[tuple[int, int]] = []

    def read() -> None:
        last = 0
        while not done.is_set():
            newest = buffer.newest()
            if newest is not None:
                if newest.number < last:
                    faults.append((last, newest.number))
                last = newest.number

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for number in range(1, 5000):
        buffer.publish(frame(number))
    done.set()
    for reader in readers:
        reader.join()
    assert not faults

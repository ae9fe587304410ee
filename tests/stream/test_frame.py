"""The buffer holds the newest frame alone."""

from __future__ import annotations

import threading

from turbostream.stream.frame import Frame, FrameBuffer
from turbostream.stream.shot import Shot

SHOT = Shot.single("words", 0)


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


def test_listeners_receive_each_frame_once_it_is_the_newest() -> None:
    buffer = FrameBuffer()
    heard: list[tuple[int, Frame | None]] = []
    buffer.listen(lambda frame: heard.append((frame.number, buffer.newest())))
    buffer.publish(frame(1))
    buffer.publish(frame(1))
    buffer.publish(frame(3))
    assert heard == [(1, frame(1)), (3, frame(3))]


class Noticing:
    """A lock that reports when somebody has to wait for it."""

    def __init__(self, waited_for: threading.Event) -> None:
        self._lock = threading.Lock()
        self._waited_for = waited_for

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self._waited_for.set()
            self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_a_newer_frame_that_comes_while_an_older_is_compared_stays_the_newest() -> None:
    buffer = FrameBuffer()
    buffer.publish(frame(1))
    goes_on = threading.Event()  # the newer one was published, or has to wait for the lock
    buffer._lock = Noticing(goes_on)  # type: ignore[assignment]

    def publish_newer() -> None:
        buffer.publish(frame(7))
        goes_on.set()

    newer = threading.Thread(target=publish_newer)

    class Compared(int):
        """The older frame's number: while it is compared, the newer one comes."""

        def __le__(self, other: int) -> bool:
            newer.start()
            assert goes_on.wait(30)
            return int(self) <= other

    assert buffer.publish(frame(Compared(5)))
    newer.join()
    newest = buffer.newest()
    assert newest is not None
    assert newest.number == 7


def test_each_frame_wakes_the_listeners_with_the_buffer_free_for_readers() -> None:
    buffer = FrameBuffer()
    read: list[int] = []

    def listen(_: Frame) -> None:
        reader = threading.Thread(target=lambda: read.append(buffer.newest().number))  # type: ignore[union-attr]
        reader.start()
        reader.join(30)

    buffer.listen(listen)
    buffer.publish(frame(1))
    assert read == [1], "a reader never waits for a listener"

"""The shots of the last frames: only the newest are kept, up to the limit."""

from __future__ import annotations

from turbostream.stream.frame import Frame, FrameBuffer
from turbostream.stream.recent_shots import PaintedShot, RecentShots
from turbostream.stream.shot import Shot


def frame(number: int) -> Frame:
    return Frame(number, b"jpeg", Shot.single("words", number), 1.0, {}, f"engine {number}")


def test_the_last_frames_of_a_buffer_are_found_by_number_and_older_ones_are_forgotten() -> None:
    buffer, recent = FrameBuffer(), RecentShots(most=3)
    buffer.listen(recent.add)
    for number in (1, 2, 5, 4, 6, 9):  # 4 is refused: the stream never goes back
        buffer.publish(frame(number))
    assert len(recent) == 3
    assert [number for number in range(12) if recent.find(number)] == [5, 6, 9]
    assert recent.find(6) == PaintedShot(6, Shot.single("words", 6), "engine 6")


def test_thousands_of_frames_are_kept() -> None:
    recent = RecentShots()
    for number in range(1, 5001):
        recent.add(frame(number))
    assert len(recent) == 4096
    assert recent.find(5000) is not None
    assert recent.find(5000 - 4096) is None

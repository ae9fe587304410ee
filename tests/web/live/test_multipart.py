"""The wire format, and which bytes a viewer gets when. Time here is simulated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import Headers

from tests.web.reader import Part, read_parts
from turbostream.stream import recipe
from turbostream.stream.frame import Frame
from turbostream.stream.shot import Shot
from turbostream.web.auth.origin import is_browser
from turbostream.web.live import multipart, schedule
from turbostream.web.live.multipart import BOUNDARY, OPENING, Image, PartCache, part
from turbostream.web.live.schedule import KEEPALIVE_S, parts

SHOT = Shot.single("words", 0)
JPEG = b"\xff\xd8%s\xff\xd9"


def frame(number: int, content: bytes = b"picture") -> Frame:
    return Frame(number, JPEG % content, SHOT, 1000.0 + number, {}, "test")


class Script:
    """A Source whose clock moves only while it waits; `frame_at` says what is newest when, and
    `revision_at` the channel's revision."""

    with_recipe = padded = False

    def __init__(self, frame_at: Callable[[float], Frame | None], end_s: float) -> None:
        self.time = 0.0
        self.room = True
        self.sent_numbers: list[int] = []
        self.revision_at: Callable[[float], int] = lambda time: 0
        self._frame_at = frame_at
        self._end_s = end_s

    def now(self) -> float:
        return self.time

    def revision(self) -> int:
        return self.revision_at(self.time)

    def newest(self) -> Frame | None:
        return self._frame_at(self.time)

    def placeholder(self) -> bytes | None:
        return None if self.newest() else part(Image(0, JPEG % b"wait", 0.0, self.revision()))

    def wait(self, timeout_s: float) -> None:
        assert timeout_s > 0
        self.time += min(timeout_s, 0.005)  # as if something rang now and then

    def has_room(self) -> bool:
        return self.room

    def sent(self, number: int) -> None:
        self.sent_numbers.append(number)

    def open(self) -> bool:
        return self.time < self._end_s


def watch(
    frame_at: Callable[[float], Frame | None], end_s: float, fps: float | None = None
) -> list[tuple[float, Part]]:
    source = Script(frame_at, end_s)
    seen: list[tuple[float, Part]] = []
    stream = parts(source, PartCache(), 1 / fps if fps else 0.0)
    for found in read_parts(stream, BOUNDARY):
        seen.append((source.time, found))
    return seen


def at_rate(fps: float) -> Callable[[float], Frame]:
    return lambda time: frame(1 + int(time * fps))


def test_at_sixty_frames_a_second_each_is_sent_once() -> None:
    numbers = [found.number for _, found in watch(at_rate(60), 2.0)]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == pytest.approx(120, abs=2)


def test_a_frame_is_sent_again_when_the_next_is_late_so_that_chrome_paints_it() -> None:
    seen = watch(at_rate(2), 1.9)
    assert [found.number for _, found in seen] == [1, 1, 2, 2, 3, 3, 4, 4]
    first, again = seen[0][0], seen[1][0]
    assert again - first == pytest.approx(schedule.REPEAT_AFTER_S, abs=0.011)


def test_a_frozen_picture_is_repeated_once_a_second() -> None:
    seen = watch(lambda time: frame(1), 5.5)
    gaps = [b[0] - a[0] for a, b in zip(seen[1:], seen[2:], strict=False)]
    assert gaps == pytest.approx([KEEPALIVE_S] * len(gaps), abs=0.02)
    assert len(gaps) >= 4


def test_a_viewer_that_asks_for_fewer_frames_gets_fewer() -> None:
    numbers = [found.number for _, found in watch(at_rate(60), 5.0, fps=10)]
    distinct = sorted(set(numbers))
    assert numbers == sorted(numbers)
    assert len(distinct) == pytest.approx(50, abs=2)


def test_a_viewer_at_a_low_rate_is_asked_again_only_when_something_is_due() -> None:
    class Undisturbed(Script):
        """Waits for the whole time, since nothing wakes it."""

        waits = 0

        def wait(self, timeout_s: float) -> None:
            self.waits += 1
            self.time += timeout_s

    source = Undisturbed(at_rate(60), 5.0)
    stream = read_parts(parts(source, PartCache(), 1 / 10), BOUNDARY)
    numbers = {found.number for found in stream}
    assert len(numbers) == pytest.approx(50, abs=2)
    assert source.waits <= 3 * len(numbers)


def test_a_placeholder_shows_until_there_is_a_frame_and_never_after() -> None:
    seen = watch(lambda time: frame(3) if time > 1 else None, 3.0)
    numbers = [found.number for _, found in seen]
    assert numbers[0] == 0
    assert numbers == sorted(numbers)


def test_nothing_new_is_sent_to_a_viewer_who_is_behind() -> None:
    source = Script(at_rate(60), 3.0)
    stream = read_parts(parts(source, PartCache()), BOUNDARY)
    next(stream)
    source.room = False
    rest = [found.number for found in stream]
    assert set(rest) <= {1}
    assert source.sent_numbers == [1]


def test_all_viewers_share_the_bytes_of_a_frame() -> None:
    cache = PartCache()
    assert cache(frame(1)) is cache(frame(1))
    assert cache(frame(2)) != cache(frame(1))


def test_each_variant_of_a_frame_is_built_once_and_only_when_it_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built: list[tuple[int, int]] = []

    def counted(image: Image) -> bytes:
        built.append((image.number, len(image.jpeg)))
        return part(image)

    monkeypatch.setattr(multipart, "part", counted)
    cache, here = PartCache(), frame(1)
    for _ in range(40):
        cache(here, 5)
    assert len(built) == 1, "nobody wants the recipe"
    for _ in range(40):
        assert cache(here, 5, with_recipe=True) is cache(here, 5, with_recipe=True)
        assert cache(here, 5) is cache(here, 5)
    (_, plain), (_, with_recipe) = built
    assert plain == len(here.jpeg) < with_recipe


def test_only_the_part_with_the_recipe_holds_the_words() -> None:
    cache, here = PartCache(), replace(frame(1), shot=Shot.single("secret words", 7))
    plain, full = (cache(here, 3, with_recipe) for with_recipe in (False, True))
    assert b"secret" not in plain
    (found,) = read_parts([OPENING, full], BOUNDARY)
    assert recipe.read(found.jpeg) == recipe.Recipe(here.shot, "test")
    assert (found.number, found.timestamp, found.revision) == (1, here.published, 3)
    assert found.jpeg.endswith(here.jpeg[2:])


def test_a_recipe_never_holds_the_boundary() -> None:
    here = replace(frame(1), shot=Shot.single(f"--{BOUNDARY}", 7))
    assert PartCache()(here, with_recipe=True) == PartCache()(here)


def test_a_new_frame_and_a_repeat_carry_the_revision_of_the_moment() -> None:
    source = Script(lambda time: frame(1 if time < 4 else 2), 6.0)
    source.revision_at = lambda time: int(time // 1.5)
    stream = read_parts(parts(source, PartCache()), BOUNDARY)
    seen = [(found.number, found.revision, int(source.time // 1.5)) for found in stream]
    assert all(revision == now for _, revision, now in seen)
    assert {revision for number, revision, _ in seen if number == 1} == {0, 1, 2}
    assert {number for number, _, _ in seen} == {1, 2}


def test_a_placeholder_that_follows_a_frame_is_repeated_as_it_was() -> None:
    class Failing(Script):
        def placeholder(self) -> bytes | None:
            return part(Image(0, JPEG % b"failed", 0.0)) if self.time > 1 else None

    stream = read_parts(parts(Failing(lambda time: frame(1), 4.5), PartCache()), BOUNDARY)
    numbers = [found.number for found in stream]
    assert numbers == sorted(numbers, reverse=True)
    assert numbers.count(0) >= 3


def test_two_channels_with_the_same_number_do_not_share_a_part_nor_replace_each_others() -> None:
    cache, here = PartCache(), frame(1)
    there = replace(here, channel="other", jpeg=b"the other channel's picture")
    part_here, part_there = cache(here), cache(there)
    assert here.jpeg in part_here
    assert there.jpeg in part_there
    assert there.jpeg not in part_here
    assert cache(here) is part_here, "built once, although the other channel's came in between"
    assert cache(there) is part_there


@given(
    st.lists(st.binary(max_size=200), min_size=1, max_size=8),
    st.lists(st.integers(1, 97), min_size=1, max_size=40),
)
def test_the_framing_survives_any_content_and_any_cutting(
    contents: list[bytes], cuts: list[int]
) -> None:
    images = [Image(index, JPEG % content, index) for index, content in enumerate(contents)]
    data = multipart.OPENING + b"".join(part(image) for image in images)
    chunks, place = [], 0
    while place < len(data):
        size = cuts[len(chunks) % len(cuts)]
        chunks.append(data[place : place + size])
        place += size
    found = list(read_parts(chunks, BOUNDARY))
    assert [(one.number, one.jpeg) for one in found] == [
        (image.number, image.jpeg) for image in images
    ]


def test_the_boundary_is_long_and_new_for_each_process() -> None:
    assert len(BOUNDARY) > 40


def test_the_probing_bytes_are_how_every_part_begins() -> None:
    assert part(Image(7, JPEG % b"x", 1.0)).startswith(multipart.PREFIX)


@pytest.mark.parametrize(
    ("agent", "dest", "script", "twice"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64) Chrome/150.0", "image", False, True),
        ("Mozilla/5.0 (X11; Linux x86_64) Firefox/153.0", None, False, True),
        ("Mozilla/5.0 (X11; Linux x86_64) Chrome/150.0", "empty", True, False),
        ("curl/8.5.0", None, False, False),
        ("Lavf/61.7.100", None, False, False),
        ("", None, False, False),
    ],
)
def test_only_a_browser_that_shows_the_stream_itself_gets_a_frame_twice(
    agent: str, dest: str | None, script: bool, twice: bool
) -> None:
    headers = Headers({"User-Agent": agent} | ({} if dest is None else {"Sec-Fetch-Dest": dest}))
    again_s = schedule.repeat_after_s(is_browser(headers), script)
    assert again_s == (schedule.REPEAT_AFTER_S if twice else KEEPALIVE_S)

"""The scene in force survives the process, whatever lies where its file should be."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.stream.running import wait_until
from turbostream.stream import scene_file as module
from turbostream.stream import state_folder
from turbostream.stream.channel import Channel
from turbostream.stream.frame import Frame
from turbostream.stream.scene import Scene
from turbostream.stream.scene_file import SceneFile, file_for
from turbostream.stream.scene_json import VERSION as JSON_VERSION

INITIAL = Scene.single("first words")


@contextmanager
def keeping(file: Path | None) -> Iterator[Channel]:
    channel = Channel("main", INITIAL)
    keeper = SceneFile(file, channel, INITIAL)
    keeper.restore()
    keeper.start(lambda: True)
    try:
        yield channel
    finally:
        keeper.stop(timeout_s=30.0)


def restored(file: Path) -> Scene:
    channel = Channel("main", INITIAL)
    SceneFile(file, channel, INITIAL).restore()
    return channel.scene


def shown(scene: Scene) -> dict[str, object]:
    """What the web shows of it, without the beat, which depends on the clock."""
    return {**scene.as_dict(0.0), "beat": None}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = file_for(tmp_path, 8000)
    assert found is not None
    return found


def test_a_change_is_kept_at_once_and_nobody_else_may_read_it(file: Path) -> None:
    with keeping(file) as channel:
        channel.change({"prompt": "typed", "motion": "hold"})
        wait_until(file.exists)
        assert restored(file).prompt == "typed"
        assert file.stat().st_mode & 0o777 == 0o600
    assert [found.name for found in file.parent.iterdir()] == [file.name]


def test_a_fade_between_blends_of_the_longest_prompts_is_kept(file: Path) -> None:
    blends = [
        [{"text": chr(0x1F300 + 8 * place + number) * 1000} for number in range(8)]
        for place in range(3)
    ]
    with keeping(file) as channel:
        for blend in blends:
            channel.change({"prompts": blend, "fade_s": 600})
        scene = channel.scene
    assert file.stat().st_size < module.MOST_BYTES / 2
    assert restored(file).prompts == scene.prompts


def test_the_last_change_before_the_end_is_kept(file: Path) -> None:
    with keeping(file) as channel:
        channel.change({"prompt": "first"})
        wait_until(file.exists)
        channel.change({"prompt": "last"})  # within the second, so it waits
    assert restored(file).prompt == "last"


def test_a_walk_that_is_watched_is_kept_where_it_has_come(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WRITE_EVERY_S", 0.02)
    with keeping(file) as channel:
        channel.change({"speed": 4})

        def moved() -> bool:
            number, shot, _ = channel.take_shot()
            channel.buffer.publish(Frame(number, b"", shot, 0.0, {}, "test"))
            return file.exists() and json.loads(file.read_text())["phase"] > 0.2

        wait_until(moved)


def test_it_is_written_once_a_second_at_most_and_not_for_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every_s = 0.2
    monkeypatch.setattr(module, "WRITE_EVERY_S", every_s)
    written: list[tuple[float, str]] = []
    real = state_folder.write

    def write(file: Path, text: str, sync: bool = True) -> None:
        written.append((time.monotonic(), threading.current_thread().name))
        real(file, text, sync)

    monkeypatch.setattr(state_folder, "write", write)
    with keeping(file) as channel:
        channel.change({"motion": "hold"})
        count = 0

        def changed() -> bool:
            nonlocal count
            channel.change({"prompt": f"words {(count := count + 1)}"})
            return len(written) >= 4

        wait_until(changed)
        wait_until(lambda: restored(file).prompt == f"words {count}")
        before = len(written)
        for _ in range(10):  # frames that show nothing new
            number, shot, _ = channel.take_shot()
            channel.buffer.publish(Frame(number, b"", shot, 0.0, {}, "test"))
    assert len(written) == before
    gaps = [later[0] - earlier[0] for earlier, later in zip(written, written[1:], strict=False)]
    assert min(gaps) >= every_s * 0.99
    assert {name for _, name in written} == {"scene file"}


def test_a_full_disk_is_said_once_keeps_the_old_file_and_is_tried_again(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "WRITE_EVERY_S", 0.01)
    with keeping(file) as channel:
        channel.change({"prompt": "kept"})
        wait_until(file.exists)
        attempts = 0
        real = state_folder.write

        def full(file: Path, text: str, sync: bool = True) -> None:
            nonlocal attempts
            attempts += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(state_folder, "write", full)

        def tried() -> bool:
            channel.change({"prompt": f"words {attempts}"})
            return attempts > 5

        wait_until(tried)
        assert restored(file).prompt == "kept"
        assert caplog.text.count("No space left on device") == 1
        monkeypatch.setattr(state_folder, "write", real)
        channel.change({"prompt": "room again"})
        wait_until(lambda: restored(file).prompt == "room again")


def test_a_process_that_has_handed_over_writes_no_more(file: Path) -> None:
    channel = Channel("main", INITIAL)
    keeper = SceneFile(file, channel, INITIAL)
    serves = True
    keeper.start(lambda: serves)
    channel.change({"prompt": "typed"})
    wait_until(file.exists)
    serves = False
    channel.change({"prompt": "too late"})
    keeper.stop(timeout_s=30.0)
    assert restored(file).prompt == "typed"


def test_servers_on_two_ports_have_two_files_and_one_on_any_port_has_none(tmp_path: Path) -> None:
    assert file_for(tmp_path, 8000) != file_for(tmp_path, 8001)
    assert file_for(tmp_path, 0) is None
    with keeping(None) as channel:
        channel.change({"prompt": "typed"})
    assert not list(tmp_path.iterdir())


SOUND = json.dumps(
    {"version": JSON_VERSION, "prompt": "typed", "speed": 1, "seed": 0, "phase": 0.5}
)


@pytest.mark.parametrize(
    "content",
    [
        "",
        SOUND[:40],
        "\x00" * 200,
        "[]",
        "null",
        "7",
        '{"prompt": "typed", "speed": NaN}',
        '{"prompt": "typed", "phase": Infinity}',
        '{"prompt": "typed", "phase": 1e999}',
        '{"prompt": "typed", "seed": ' + "9" * 5000 + "}",
        "[" * 60_000,
        '{"prompt":' * 5_000,
        SOUND + " " * 2**23,
        SOUND.replace(f'"version": {JSON_VERSION}', f'"version": {JSON_VERSION + 1}'),
        SOUND.replace('"speed"', '"source"'),
        SOUND.replace("typed", "\\u0000"),
        SOUND.replace("typed", "\\ud800"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line_and_the_initial_scene(
    file: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    file.write_text(content)
    file.chmod(0o600)
    assert shown(restored(file)) == shown(INITIAL)
    (record,) = caplog.records
    assert str(file) in record.getMessage()
    assert record.getMessage().startswith("[scene] ")
    assert record.exc_info is None
    assert len(record.getMessage().splitlines()) == 1
    with keeping(file) as channel:
        channel.change({"prompt": "typed later"})
    assert restored(file).prompt == "typed later", "the next scene replaces it"


def test_a_file_that_is_not_utf8_is_refused_too(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.write_bytes(b"\xff\xfe" + SOUND.encode())
    file.chmod(0o600)
    assert shown(restored(file)) == shown(INITIAL)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("kind", ["link", "fifo", "folder", "writable", "foreign"])
def test_what_others_may_have_put_there_is_not_believed(
    file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    target = tmp_path / "elsewhere"
    if kind == "link":
        target.write_text(SOUND)
        file.symlink_to(target)
    elif kind == "fifo":
        os.mkfifo(file, 0o600)
    elif kind == "folder":
        file.mkdir()
    else:
        file.write_text(SOUND)
        file.chmod(0o666 if kind == "writable" else 0o600)
        if kind == "foreign":
            if os.geteuid():
                pytest.skip("only root can give a file away")
            os.chown(file, 12345, 12345)
    assert shown(restored(file)) == shown(INITIAL)
    assert len(caplog.records) == 1


def test_no_file_is_no_news(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert shown(restored(file)) == shown(INITIAL)
    assert not caplog.records

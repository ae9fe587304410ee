"""The session file: what is written is read, whatever happened to the file in between."""

from __future__ import annotations

import gzip
import json
import os
import resource
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from tests.sinks.sessions import HEADER, frame, written
from turbostream.sinks.session import SessionWriter, digest
from turbostream.sinks.session_lines import FrameAt, PictureAt, SceneAt, SessionError, Shown
from turbostream.sinks.session_reader import read_session
from turbostream.sinks.source_file import Place
from turbostream.stream.scene import Scene

ONE = Scene.single("one", speed=0.5, seed=3)


def lines(path: Path) -> list[dict]:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in content.splitlines()]


def test_a_session_holds_frames_scenes_and_fingerprints(tmp_path: Path) -> None:
    two = ONE.changed(101.0, {"prompt": "two", "fade_s": 4.0})
    writer = SessionWriter(tmp_path / "show.jsonl", HEADER)
    writer.scene(ONE, 100.0)
    writer.frame(frame(1, 100.25, ONE))
    writer.frame(frame(2, 100.5, ONE, "other"))
    writer.scene(two, 101.0)
    writer.frame(frame(5, 102.0, two, "other"))
    path = writer.close()
    assert path == tmp_path / "show.jsonl.gz"
    assert list(tmp_path.iterdir()) == [path], "the plain file is gone"
    assert [next(iter(line)) for line in lines(path)] == [
        *("session", "scene", "fingerprint", "frame", "fingerprint", "frame", "scene", "frame"),
    ]  # fmt: skip
    session = read_session(path)
    assert session.header == HEADER
    frames = list(session.frames())
    assert [(f.number, f.at, f.fingerprint) for f in frames] == [
        (1, 0.25, "colour"), (2, 0.5, "other"), (5, 2.0, "other"),
    ]  # fmt: skip
    assert frames[2].shot == two.shot_at(102.0, 5), "equal to the last digit"
    assert frames[0].sha256 == digest(frame(1, 100.25, ONE).jpeg)
    scenes = list(session.scenes())
    assert [scene.at for scene in scenes] == [0.0, 1.0]
    again = scenes[1].scene.shot_at(2.0, 5)
    for (text, weight), (was, before) in zip(again.prompts, frames[2].shot.prompts, strict=True):
        assert (text, weight) == (was, pytest.approx(before, abs=1e-9))
    assert {type(event) for event in session.events()} == {FrameAt, SceneAt}
    assert session.truncated == ""


def test_the_first_call_must_be_the_scene(tmp_path: Path) -> None:
    writer = SessionWriter(tmp_path / "show.jsonl", HEADER)
    with pytest.raises(ValueError, match="scene at the start"):
        writer.frame(frame(1, 100.0, ONE))
    writer.close()


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "show.jsonl").write_text("mine")
    with pytest.raises(FileExistsError):
        SessionWriter(tmp_path / "show.jsonl", HEADER)
    assert (tmp_path / "show.jsonl").read_text() == "mine"


def test_a_killed_program_leaves_what_was_flushed(tmp_path: Path) -> None:
    code = """
        import os, signal, sys
        from pathlib import Path
        from tests.sinks.sessions import HEADER, frame
        from tests.sinks.test_session import ONE, SessionWriter
        writer = SessionWriter(Path(sys.argv[1]), HEADER)
        writer.scene(ONE, 0.0)
        for number in range(1, 1001):
            writer.frame(frame(number, number / 10, ONE))
            if number == 900:
                writer.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    """
    path = tmp_path / "show.jsonl"
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(path)], check=False)
    assert done.returncode == -9
    numbers = [f.number for f in read_session(path).frames()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 900


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_that_ends_within_a_line_is_used_up_to_there(tmp_path: Path, packed: bool) -> None:
    path = written(tmp_path, frames=400, packed=packed)
    path.write_bytes(path.read_bytes()[:-100])
    session = read_session(path)
    numbers = [f.number for f in session.frames()]
    assert 1 < len(numbers) < 400
    assert numbers == list(range(1, len(numbers) + 1))
    assert "ends within line" in session.truncated
    assert str(path) in session.truncated


def test_a_line_that_the_power_failure_left_as_zeros_is_the_end(tmp_path: Path) -> None:
    path = written(tmp_path, frames=3)
    path.write_bytes(path.read_bytes() + b"\0" * 4096)
    session = read_session(path)
    assert len(list(session.frames())) == 3
    assert session.truncated


def test_an_earlier_frame_is_read_unless_it_is_too_long_for_a_line(tmp_path: Path) -> None:
    writer = SessionWriter(tmp_path / "show.jsonl", HEADER)
    writer.scene(ONE, 0.0)
    small = frame(3, 0.5, ONE)
    writer.shown(small)
    writer.shown(replace(small, number=4, jpeg=bytes(7 * 2**20)))
    writer.picture("a" * 64, Place(5, 6))
    writer.frame(frame(7, 1.0, ONE))
    session = read_session(writer.close())
    assert [one for one in session.events() if not isinstance(one, FrameAt | SceneAt)] == [
        Shown(3, small.jpeg),
        PictureAt("a" * 64, Place(5, 6)),
    ]
    assert [one.number for one in session.frames()] == [7]
    assert len(list(session.scenes())) == 1


def forged(path: Path, line: int, text: str) -> None:
    content = path.read_text().splitlines()
    content[line - 1] = text
    path.write_text("\n".join(content) + "\n")


SHOT = '{"version":2,"prompts":[["a",1.0]],"noise":[[7,1.0]]}'
SHA = '"sha256":"0123456789abcdef"'


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "it is not the JSON"),
        ("[" * 100_000, "it is not the JSON"),
        ("[]", "it is not a JSON object"),
        ('{"x": 1}', "neither a frame nor a scene"),
        ('{"picture": 4, "offset": 0, "bytes": 1}', "SHA-256 of 64"),
        ('{"picture": "x"}', "a picture has the fields"),
        (f'{{"picture":"{"0" * 64}","offset":-1,"bytes":1}}', "whole numbers from 0"),
        (f'{{"picture":"{"0" * 64}","offset":true,"bytes":1}}', "whole numbers from 0"),
        ('{"shown": 4}', "an earlier frame has the fields"),
        ('{"shown": 0, "jpeg": ""}', "whole number from 1"),
        ('{"shown": 4, "jpeg": "_"}', "must be base64"),
        ('{"shown": 4, "jpeg": 4}', "must be base64"),
        ('{"frame": 4}', "a frame has the fields"),
        (f'{{"frame":4,"at":NaN,"shot":{SHOT},{SHA}}}', "it is not the JSON"),
        (f'{{"frame":4,"at":1e300,"shot":{SHOT},{SHA}}}', "at must be"),
        (f'{{"frame":1,"at":9,"shot":{SHOT},{SHA}}}', "must rise"),
        (f'{{"frame":4,"at":0,"shot":{SHOT},{SHA}}}', "must rise"),
        (f'{{"frame":true,"at":9,"shot":{SHOT},{SHA}}}', "whole number from 1"),
        (f'{{"frame":4,"at":9,"shot":{SHOT},"sha256":"../../etc"}}', "hexadecimal"),
        (
            f'{{"frame":4,"at":9,"shot":{SHOT.replace("1.0]]", "0.5]]", 1)},{SHA}}}',
            "weights of a shot's prompts must add up to 1",
        ),
        (f'{{"frame":4,"at":9,"shot":{SHOT.replace(":2", ":99")},{SHA}}}', "a newer version"),
        ('{"scene":{"prompt":"a","motion":"fly"},"at":0}', "motion"),
        ('{"scene":{"prompt":"a","version":99},"at":0}', "newer version"),
        ('{"scene":{"prompt":"a"},"at":-1}', "must rise"),
    ],
)
def test_a_forged_line_is_refused_with_its_number(tmp_path: Path, line: str, sentence: str) -> None:
    path = written(tmp_path, frames=5)
    forged(path, 6, line)
    with pytest.raises(SessionError, match=sentence) as refused:
        list(read_session(path).events())
    assert "show.jsonl, line 6: " in str(refused.value)
    assert str(refused.value).count("\n") == 0


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        ('{"session": 3, "new": 1}', "a newer version of this program wrote it: format 3"),
        ('{"session": 1}', "lacks a field"),
        ('{"prompt": "a"}', "not that of a session"),
        ("a red heart", "not the JSON"),
        ("", "not the JSON"),
    ],
)
def test_what_is_no_session_is_refused(tmp_path: Path, header: str, sentence: str) -> None:
    path = written(tmp_path, frames=2)
    forged(path, 1, header)
    with pytest.raises(SessionError, match=sentence):
        read_session(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="There is no session"):
        read_session(tmp_path / "none.jsonl")
    with pytest.raises(SessionError, match="not a file"):
        read_session(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SessionError, match="not a file"):
        read_session(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    with pytest.raises(SessionError, match="holds no session"):
        read_session(tmp_path / "empty")
    (tmp_path / "video.mp4").write_bytes(bytes(range(256)) * 8192)
    with pytest.raises(SessionError, match="is not a session"):
        read_session(tmp_path / "video.mp4")


def test_damaged_compressed_data_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, frames=2000, packed=True)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    path.write_bytes(content)
    with pytest.raises(SessionError):
        list(read_session(path).events())


def test_a_line_without_end_is_refused_in_little_memory(tmp_path: Path) -> None:
    """A kilobyte per megabyte: what a compressed file can hold."""
    path = tmp_path / "bomb.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b'{"session": "')
        for _ in range(200):
            file.write(b"a" * 2**20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(SessionError, match="at most 8,388,608 bytes"):
        read_session(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB


def test_memory_does_not_grow_with_the_length_of_a_session(tmp_path: Path) -> None:
    path = written(tmp_path, frames=2)
    head, last = path.read_bytes().rsplit(b"\n", 2)[:2]
    line = json.loads(last)
    count = 60_000
    with path.open("wb") as file:
        file.write(head + b"\n")
        for number in range(2, count):
            file.write(json.dumps({**line, "frame": number, "at": number / 30}).encode() + b"\n")
    assert path.stat().st_size > 10 * 2**20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sum(1 for _ in read_session(path).frames()) == count - 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4 * 1024  # KiB

"""The tokens on disk: made once, private, and left unchanged when damaged."""

from __future__ import annotations

import json
import logging
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from turbostream.web.auth.tokens import NAME, Tokens, TokensUnusable, load_tokens


def test_tokens_are_made_once_and_only_the_owner_can_read_them(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    first, second = load_tokens(folder), load_tokens(folder)
    assert first == second
    assert first.kept
    assert first.owner != first.watch
    assert len(first.owner) >= 43
    assert stat.S_IMODE((folder / NAME).stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == [NAME]


def test_a_file_that_others_could_read_is_closed_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load_tokens(tmp_path)
    (tmp_path / NAME).chmod(0o644)
    load_tokens(tmp_path)
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600
    assert "0600 again" in caplog.text


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", "[" * 60_000, "9" * 400, "NaN",
     '{"owner": "short", "watch": "short"}', '{"owner": 1, "watch": 2}',
     json.dumps({"owner": "a" * 43, "watch": "a" * 43})],
)  # fmt: skip
def test_a_damaged_tokens_file_is_named_and_left_unchanged(tmp_path: Path, content: str) -> None:
    (tmp_path / NAME).write_text(content)
    (tmp_path / NAME).chmod(0o600)
    with pytest.raises(TokensUnusable, match=NAME):
        load_tokens(tmp_path)
    assert (tmp_path / NAME).read_text() == content


def test_without_a_writable_folder_tokens_last_for_this_run_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    tokens = load_tokens(tmp_path / "file" / "state")
    assert not tokens.kept
    assert "end with this run" in caplog.text
    assert tokens.owner not in caplog.text


def test_two_programs_that_start_at_once_agree_on_the_tokens(tmp_path: Path) -> None:
    found: list[Tokens] = []
    threads = [
        threading.Thread(target=lambda: found.append(load_tokens(tmp_path))) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({token.owner for token in found}) == 1


def test_printing_tokens_does_not_show_them(caplog: pytest.LogCaptureFixture) -> None:
    tokens = Tokens.for_this_run()
    with caplog.at_level(logging.INFO):
        logging.getLogger("t").info("%s %r", tokens, tokens)
    for token in (tokens.owner, tokens.watch):
        assert token not in caplog.text


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away needs root")
def test_tokens_planted_by_another_user_are_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    file = tmp_path / NAME
    file.write_text(json.dumps({"owner": "a" * 43, "watch": "b" * 43}))
    for mode in (0o600, 0o644):
        file.chmod(mode)
        os.chown(file, 65534, 65534)
        with pytest.raises(TokensUnusable, match="another user"):
            load_tokens(tmp_path)
        assert stat.S_IMODE(file.stat().st_mode) == mode


def test_tokens_that_others_may_write_are_refused(tmp_path: Path) -> None:
    load_tokens(tmp_path)
    (tmp_path / NAME).chmod(0o622)
    with pytest.raises(TokensUnusable, match="other users"):
        load_tokens(tmp_path)


@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_in_the_place_of_the_tokens_is_refused_and_its_target_left_alone(
    tmp_path: Path, dangling: bool
) -> None:
    target = tmp_path / "target"
    if not dangling:
        target.write_text(json.dumps({"owner": "a" * 43, "watch": "b" * 43}))
        target.chmod(0o644)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / NAME).symlink_to(target)
    with pytest.raises(TokensUnusable, match="symbolic link"):
        load_tokens(tmp_path / "state")
    assert target.exists() is not dangling
    if not dangling:
        assert stat.S_IMODE(target.stat().st_mode) == 0o644


@pytest.mark.timeout(20)
@pytest.mark.parametrize("plant", [os.mkfifo, Path.mkdir], ids=["fifo", "folder"])
def test_tokens_that_are_not_a_regular_file_are_refused_with_one_sentence(
    tmp_path: Path, plant: Callable[[Path], object]
) -> None:
    plant(tmp_path / NAME)
    with pytest.raises(TokensUnusable, match="not a regular file; delete it"):
        load_tokens(tmp_path)

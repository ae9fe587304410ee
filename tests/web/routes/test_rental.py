"""The guard's file as /status shows it, and the request for more time."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from flask import Flask

from tests.disks import mounted, needs_mounts
from turbostream.web import rental
from turbostream.web.routes import rental as rental_route


@pytest.fixture
def client(tmp_path: Path):
    app = Flask(__name__)
    rental_route.add_routes(app, tmp_path)
    return app.test_client()


def written(folder: Path, **values: object) -> None:
    (folder / "guard.json").write_text(json.dumps(values))


def test_without_a_guard_status_shows_none(tmp_path: Path) -> None:
    assert rental.read(tmp_path, 100.0) is None


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{", '{"ends_at": "soon", "written_at": 1}', "[" * 60_000,
     '{"written_at": 1, "ends_at": 1' + "0" * 400 + "}", '{"written_at": 1, "ends_at": NaN}',
     '{"written_at": 1e999, "ends_at": 1}'],
    ids=range(9),
)  # fmt: skip
def test_a_file_that_is_no_guard_shows_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "guard.json").write_text(text)
    assert rental.read(tmp_path, 100.0) is None


@pytest.mark.timeout(20)
def test_a_fifo_or_a_link_in_its_place_shows_none_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "guard.json")
    assert rental.read(tmp_path, 100.0) is None
    (tmp_path / "guard.json").rename(tmp_path / "fifo")
    written(tmp_path, ends_at=500, written_at=95, message="", armed=True)
    (tmp_path / "guard.json").rename(tmp_path / "real")
    (tmp_path / "guard.json").symlink_to("real")
    assert rental.read(tmp_path, 100.0) is None


def test_a_guard_that_writes_is_shown_as_it_is(tmp_path: Path) -> None:
    written(tmp_path, ends_at=500, written_at=95, message="until 12:00", armed=True)
    found = rental.read(tmp_path, 100.0)
    assert found == {"ends_at": 500.0, "written_at": 95, "message": "until 12:00", "armed": True}


def test_a_silent_guard_is_not_called_armed(tmp_path: Path) -> None:
    written(tmp_path, ends_at=5000, written_at=100, message="until 12:00", armed=True)
    found = rental.read(tmp_path, 100.0 + rental.SILENT_S + 1)
    assert found is not None
    assert not found["armed"]
    assert "nothing ends this rental" in found["message"]


def test_extending_leaves_one_request_for_the_guard(tmp_path: Path, client, monkeypatch) -> None:
    monkeypatch.setattr(rental_route.time, "time", lambda: 100.0)
    written(tmp_path, ends_at=500, written_at=99, message="", armed=True)
    assert client.post("/guard/extend").json == {"status": "ok", "minutes": 60}
    assert client.post("/guard/extend").status_code == 200
    assert (tmp_path / "guard.extend").read_text() == "60\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["guard.extend", "guard.json"]


def test_extending_without_a_guard_is_refused(client) -> None:
    assert client.post("/guard/extend").status_code == 409


@needs_mounts
def test_a_rental_is_extended_on_a_full_disk_too(tmp_path: Path, client, monkeypatch) -> None:
    monkeypatch.setattr(rental_route.time, "time", lambda: 100.0)
    with mounted(tmp_path) as disk:
        written(tmp_path, ends_at=500, written_at=99, message="", armed=True)
        disk.fill()
        assert client.post("/guard/extend").json == {"status": "ok", "minutes": 60}
        assert (tmp_path / "guard.extend").read_bytes() == b""  # which the guard takes for an hour
        names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["filler", "guard.extend", "guard.json"]


@needs_mounts
@pytest.mark.parametrize("trouble", ["no inodes", "read-only"])
def test_a_rental_that_cannot_be_extended_gets_one_sentence(
    tmp_path: Path, client, monkeypatch, trouble: str
) -> None:
    monkeypatch.setattr(rental_route.time, "time", lambda: 100.0)
    with mounted(tmp_path, "size=256k,nr_inodes=20") as disk:
        written(tmp_path, ends_at=500, written_at=99, message="", armed=True)
        disk.use_up_inodes() if trouble == "no inodes" else disk.make_read_only()
        answer = client.post("/guard/extend")
        assert not [path for path in tmp_path.iterdir() if "extend" in path.name]
    assert answer.status_code == 507
    assert "The guard could not be asked" in answer.text
    assert "make room on the disk of this machine, then ask again." in answer.text

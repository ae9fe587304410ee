"""`GET /export` and `POST /import`, and what both share with the looks: limits and the disk."""

from __future__ import annotations

import errno
import io
import json
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.web.answers import error_of
from tests.web.routes.repertoire import ENTRIES, encoded, everything, names
from tests.web.routes.test_mappings import SOUND
from turbostream.stream import looks_json, state_folder
from turbostream.web.context import AppContext


def test_an_export_brings_everything_to_another_server(
    client: FlaskClient, context: AppContext, looks: None
) -> None:
    client.put("/setlist", json={"entries": ENTRIES, "loop": True})
    exported = client.get("/export")
    assert "attachment" in exported.headers["Content-Disposition"]
    before = client.get("/looks").json, client.get("/setlist").json
    client.put("/setlist", json={"entries": []})
    for name in "ab":
        client.delete(f"/looks/{name}")
    client.put("/looks/c", json={"scene": {"prompt": "changed"}})
    client.put("/looks/d", json={"scene": {"prompt": "stays"}})
    assert client.post("/import", data=exported.data).json == {"looks": 3, "replaced": 1}
    assert names(client) == ["c", "d", "a", "b"]
    client.delete("/looks/d")
    client.patch("/looks", json={"order": ["a", "b", "c"]})
    assert (client.get("/looks").json, client.get("/setlist").json) == before
    assert client.get("/export").data == exported.data


def bad_file(**changes: object) -> bytes:
    good = {"name": "new", "scene": {"prompt": "x"}}
    return json.dumps({"version": 1, "looks": [good, {**good, **changes}]}).encode()


BAD_IMPORTS: dict[str, tuple[bytes, int]] = {
    "empty": (b"", 400),
    "not JSON": (b"looks", 400),
    "not UTF-8": (b"\xff\xfe{}", 400),
    "deep": (b"[" * 100_000, 400),
    "a newer version": (b'{"version": 3, "looks": []}', 400),
    "NaN": (b'{"version": 1, "looks": [], "setlist": {"entries": [NaN]}}', 400),
    "a bad second look": (bad_file(name="a/b"), 400),
    "a newer second look": (bad_file(name="b", scene={"version": 9, "prompt": "x"}), 400),
    "a thumbnail that is not a picture": (bad_file(name="b", thumbnail=encoded(b"x")), 400),
    "two of one name": (bad_file(), 400),
    "a setlist of nothing": (b'{"version": 1, "setlist": {"entries": [{"look": "no"}]}}', 400),
    "9 MB": (b" " * 9_000_000, 413),
}


@pytest.mark.parametrize("name", BAD_IMPORTS)
def test_an_import_is_all_or_nothing(
    client: FlaskClient, context: AppContext, looks: None, name: str
) -> None:
    before = everything(context)
    body, status = BAD_IMPORTS[name]
    error_of(client.post("/import", data=body), status)
    assert everything(context) == before


def test_a_larger_body_is_accepted_by_the_import_and_by_no_other_route(
    client: FlaskClient, context: AppContext
) -> None:
    spaces = b" " * 7_000_000
    assert client.post("/import", data=bad_import_of(spaces)).status_code == 200
    for method, path in (("PATCH", "/scene"), ("POST", "/prompt"), ("PATCH", "/looks"),
                         ("PUT", "/looks/a"), ("POST", "/undo"), ("PUT", "/setlist"),
                         ("POST", "/looks/new/recall"), ("POST", "/setlist/next")):  # fmt: skip
        answer = client.open(path, method=method, data=spaces, content_type="application/json")
        error_of(answer, 413)


def test_a_chunked_body_that_is_too_large_is_413_and_not_cut(
    client: FlaskClient, context: AppContext
) -> None:
    before = everything(context)
    for path, most, start in (
        ("/import", looks_json.MOST_BYTES, bad_import_of(b"")),
        ("/prompt", 65_536, b'{"prompt": "cut"}'),
    ):
        whole = start.ljust(most)
        for body, status in ((whole + b" ", 413), (whole, 200)):
            answer = client.post(
                path,
                input_stream=io.BytesIO(body),
                content_type="application/json",
                environ_overrides={"wsgi.input_terminated": True},
            )
            assert answer.status_code == status
            assert (everything(context) == before) == (status == 413)
        before = everything(context)


def test_an_import_of_too_many_values_is_refused_before_it_is_read(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_folder, "parse", None)  # it would fail with 500
    body = b'{"looks": [' + b"{}," * 250_000 + b"{}]}"
    assert "250,000 values" in error_of(client.post("/import", data=body), 400)


def bad_import_of(filler: bytes) -> bytes:
    return b'{"version": 1, "looks": [{"name": "new", "scene": {"prompt": "x"}}]}' + filler


def test_a_full_disk_is_507_and_changes_nothing(
    client: FlaskClient,
    context: AppContext,
    looks: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
) -> None:
    collection = context.repertoire.collection
    monkeypatch.setattr(collection, "_file", tmp_path / "looks-1.json")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(state_folder, "write", full)
    before = everything(context)
    requests: tuple[Callable[[], Any], ...] = (
        lambda: client.put("/looks/d", json={"scene": {"prompt": "x"}}),
        lambda: client.delete("/looks/a"),
        lambda: client.patch("/looks/a", json={"name": "z"}),
        lambda: client.patch("/looks", json={"order": ["c", "b", "a"]}),
        lambda: client.put("/setlist", json={"entries": ENTRIES}),
        lambda: client.put("/mappings", json={"midi": [], "sound": [SOUND]}),
        lambda: client.post("/import", data=bad_import_of(b"")),
    )
    for request in requests:
        assert "No space left on device" in error_of(request(), 507)
    assert everything(context) == before
    assert not list(tmp_path.iterdir())


def test_requests_that_change_nothing_write_nothing(
    client: FlaskClient, looks: None, context: AppContext
) -> None:
    revision = context.channel.revision
    client.patch("/looks", json={"order": ["a", "b", "c"]})
    client.patch("/looks/a", json={"name": "a"})
    assert context.channel.revision == revision
    assert not [t for t in threading.enumerate() if t.name == "setlist"]

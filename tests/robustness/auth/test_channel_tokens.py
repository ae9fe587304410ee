"""Tokens of one channel: what they are, what they open, and what they show of the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.engines import ColourEngine
from tests.robustness.auth.visitor import Visitor, basic, bearer
from tests.web.answers import error_of
from tests.web.reader import read_parts
from turbostream.stream.engine_api import WorkerStatus
from turbostream.stream.parameters import PARAMETERS
from turbostream.web.auth import channel_limits
from turbostream.web.auth.authenticator import Authenticator, Grant
from turbostream.web.auth.tokens import Tokens, load_tokens
from turbostream.web.context import AppContext
from turbostream.web.live.multipart import BOUNDARY

HTML = "text/html,application/xhtml+xml,*/*;q=0.8"
SECRET = "words that only main shows"


@pytest.fixture
def artist(gallery: Any, context: AppContext) -> Visitor:
    """Somebody elsewhere with the control token of left."""
    return Visitor(gallery, Authorization=bearer(context.tokens.of_channel("left").owner))


@pytest.fixture
def screen(gallery: Any, context: AppContext) -> Visitor:
    """Somebody elsewhere with the view-only token of left."""
    return Visitor(gallery, Authorization=bearer(context.tokens.of_channel("left").watch))


def test_the_tokens_of_a_channel_differ_by_role_name_and_server_and_stay_over_restarts(
    tmp_path: Path,
) -> None:
    tokens, other = load_tokens(tmp_path), Tokens.for_this_run()
    left, right = tokens.of_channel("left"), tokens.of_channel("right")
    made = [left.owner, left.watch, right.owner, right.watch, other.of_channel("left").owner,
            other.of_channel("left").watch]  # fmt: skip
    secrets = [token.partition(".")[2] for token in made]
    assert len(set(secrets)) == len(made)
    assert {len(secret) for secret in secrets} == {43}, "256 bits in base64url"
    assert load_tokens(tmp_path).of_channel("left") == left
    (tmp_path / "tokens.json").unlink()
    again = load_tokens(tmp_path).of_channel("left")
    assert again.owner != left.owner
    assert again.watch != left.watch


def test_the_tokens_of_a_channel_do_not_show_those_of_the_server(context: AppContext) -> None:
    left = context.tokens.of_channel("left")
    for token in (left.owner, left.watch, repr(left)):
        assert context.tokens.owner not in token
        assert context.tokens.watch not in token
    assert left.owner not in repr(left)


def test_a_token_gives_its_role_on_its_channel_and_no_other_name_or_secret_does() -> None:
    tokens = Tokens.for_this_run()
    grant_of = Authenticator(tokens, loopback_owner=True).grant_of
    left = tokens.of_channel("left")
    assert grant_of(left.owner) == Grant("owner", "left")
    assert grant_of(left.watch) == Grant("watcher", "left")
    secret = left.owner.partition(".")[2]
    for wrong in (
        secret, f".{secret}", f"right.{secret}", f"Left.{secret}", f"left.{secret}.", "left.",
        f"left.{tokens.owner}", f"left{secret}", f"left.{secret[:-1]}", f"left/x.{secret}",
        f"{'x' * 300}.{secret}", f"\udc80.{secret}",
    ):  # fmt: skip
        assert grant_of(wrong) is None, wrong


def test_a_wrong_token_of_a_channel_is_counted_like_any_other(
    gallery: Any, clock: list[float]
) -> None:
    guesser = Visitor(gallery)
    codes = [guesser.log_in(f"left.guess{n}").status_code for n in range(6)]
    assert codes == [401] * 5 + [429]


def test_an_artist_changes_the_channel_and_a_screen_only_watches_it(
    artist: Visitor, screen: Visitor, context: AppContext
) -> None:
    words = {"prompt": "of the artist"}
    assert artist.ask("POST", "/prompt?channel=left", words).status_code == 200
    assert screen.ask("GET", "/scene?channel=left").json["prompt"] == "of the artist"
    refused = screen.ask("POST", "/prompt?channel=left", {"prompt": "of the screen"})
    assert "view-only" in error_of(refused, 403)
    for query in ("", "?channel=main", "?channel=right"):
        assert "channel left only" in error_of(artist.ask("POST", f"/prompt{query}", words), 403)
    assert [live.channel.scene.prompt for live in context.channels] == [
        "first words", "of the artist", "first words",
    ]  # fmt: skip


def test_a_player_may_send_the_view_only_token_of_a_channel_as_a_password(
    gallery: Any, context: AppContext
) -> None:
    left, visitor = context.tokens.of_channel("left"), Visitor(gallery)
    shown = visitor.ask("GET", "/status?channel=left", Authorization=basic("x", left.watch))
    assert shown.json["role"] == "watcher"
    refused = visitor.ask("GET", "/status?channel=left", Authorization=basic("x", left.owner))
    assert "view-only token" in error_of(refused, 401)


def test_the_status_says_nothing_of_the_server_or_of_other_channels(
    artist: Visitor, gallery: Any
) -> None:
    seen = artist.ask("GET", "/status?channel=left").json
    assert (seen["role"], seen["limited_to"]) == ("owner", "left")
    for field in ("settings", "setlist", "recording", "broadcast", "controllers"):
        assert seen[field] is None, field
    assert seen["source"]["kind"] == "none", "its own input picture"
    assert gallery.get("/status").json["limited_to"] is None


class WorkerEngine(ColourEngine):
    workers = (WorkerStatus("worker-1", "node", "ready", "", 0, 7, 0),)


@pytest.mark.parametrize("context", [WorkerEngine], indirect=True)
def test_the_status_leaves_out_the_workers_which_paint_for_all_channels(
    artist: Visitor, gallery: Any
) -> None:
    gallery.get("/snapshot.jpg")  # so the engine is open
    whole = gallery.get("/status?channel=left").json["engine"]
    assert [one["frames"] for one in whole.pop("workers")] == [7]
    assert artist.ask("GET", "/status?channel=left").json["engine"] == whole


def test_no_answer_holds_the_words_or_the_name_of_another_channel(
    artist: Visitor, screen: Visitor, gallery: Any
) -> None:
    gallery.put("/channels/vestibule")
    for query in ("", "?channel=vestibule"):
        gallery.post(f"/prompt{query}", json={"prompt": SECRET})
    asked = 0
    for visitor in (artist, screen):
        for rule in gallery.application.url_map.iter_rules():
            if "GET" not in rule.methods or rule.endpoint in ("stream", "static"):
                continue
            for query in ("", "?channel=left"):
                found = visitor.ask("GET", rule.rule.replace("<number>", "1") + query)
                assert SECRET.encode() not in found.data, rule
                assert b"vestibule" not in found.data, rule
                asked += found.status_code == 200
    assert asked > 12


def test_it_acknowledges_frames_of_its_own_channel_only(
    gallery: Any, artist: Visitor, screen: Visitor
) -> None:
    streams = [screen.ask("GET", "/stream?channel=left"), gallery.get("/stream", buffered=False)]
    for stream in streams:
        next(iter(stream.response))
    own, other = (f"/stream/{it.headers['X-Stream-Id']}/shown?channel=left" for it in streams)
    assert screen.ask("POST", own, {"frame": 0}).status_code == 204
    error_of(artist.ask("POST", other, {"frame": 0}), 404)
    for stream in streams:
        stream.close()


def test_a_screen_whose_channel_is_removed_is_told_and_goes_on_when_it_is_made_again(
    screen: Visitor, gallery: Any
) -> None:
    stream = screen.ask("GET", "/stream?channel=left")
    parts = read_parts(stream.response, BOUNDARY)
    assert next(parts).jpeg
    gallery.delete("/channels/left")
    assert sum(1 for _ in parts) < 50, "it ends"
    stream.close()
    for path in ("/stream", "/status", "/"):
        sentence = error_of(screen.ask("GET", f"{path}?channel=left"), 404)
        assert sentence.startswith("The channel left was removed")
        error_of(screen.ask("GET", f"{path}?channel=main"), 403)
    gallery.put("/channels/left")
    assert screen.ask("GET", "/snapshot.jpg?channel=left").status_code == 200


def test_the_owner_is_given_the_links_of_a_channel(gallery: Any, context: AppContext) -> None:
    left = context.tokens.of_channel("left")
    owner = Visitor(gallery, Authorization=bearer(context.tokens.owner))
    assert owner.ask("GET", "/channels/left/links").json == {
        "control": f"http://stream.example:8000/?channel=left#{left.owner}",
        "view": f"http://stream.example:8000/?channel=left#{left.watch}",
    }
    error_of(owner.ask("GET", "/channels/none/links"), 404)
    sentence = error_of(gallery.get("/channels/left/links"), 409)
    assert "listens on this machine only" in sentence


OF_THE_SERVER = {
    "look", "look_number", "previous_look", "next_look", "setlist_play", "setlist_previous",
    "setlist_next", "record",
}  # fmt: skip


def test_every_parameter_that_acts_on_more_than_its_channel_is_refused(
    artist: Visitor, gallery: Any, context: AppContext
) -> None:
    refused = {name for name in PARAMETERS if channel_limits.refused_parameters("left", [name])}
    assert refused == OF_THE_SERVER
    gallery.put("/looks/opening", json={"scene": {"prompt": SECRET}})
    before = context.channels.get("left").channel.last_change
    for values in ({"look": "opening"}, {"look_number": 1}, {"speed": 1, "next_look": 1}):
        sentence = error_of(artist.ask("PATCH", "/parameters?channel=left", values), 403)
        assert "needs a link to the server" in sentence
    assert context.channels.get("left").channel.last_change is before
    values = {"speed": 1, "freeze": "on"}
    assert artist.ask("PATCH", "/parameters?channel=left", values).json["speed"] == 1


def test_a_token_of_the_default_channel_does_not_record_or_play_the_setlist(
    gallery: Any, context: AppContext
) -> None:
    main = context.tokens.of_channel("main")
    visitor = Visitor(gallery, Authorization=bearer(main.owner))
    gallery.put("/looks/a", json={"scene": {"prompt": "a"}})
    gallery.put("/setlist", json={"entries": [{"look": "a"}]})
    assert gallery.get("/status").json["setlist"]["look"] == "a"
    assert visitor.ask("POST", "/prompt", {"prompt": "a"}).status_code == 200
    for values in ({"record": "on"}, {"setlist_play": "on"}):
        assert "link to the server" in error_of(visitor.ask("PATCH", "/parameters", values), 403)
    seen = visitor.ask("GET", "/status").json
    assert [seen[it] for it in ("settings", "setlist", "recording")] == [None] * 3


def test_the_page_without_a_channel_leads_to_that_of_the_token(screen: Visitor) -> None:
    for asked, page in (("/", "./?channel=left"), ("/?view=watch", "./?channel=left&view=watch")):
        found = screen.ask("GET", asked)
        assert (found.status_code, found.headers["Location"]) == (302, page)


def test_a_browser_gets_the_page_that_asks_for_a_link_where_its_own_does_not_lead(
    screen: Visitor,
) -> None:
    for path in ("/?channel=main", "/overview"):
        page = screen.ask("GET", path, Accept=HTML)
        assert (page.status_code, page.mimetype) == (403, "text/html")
        assert "location.hash" in page.get_data(as_text=True)
        assert json.loads(screen.ask("GET", path).data)["status"] == "error"

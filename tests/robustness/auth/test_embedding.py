"""Frames and images on pages of other sites: only where EMBED_ORIGINS names the site."""

from __future__ import annotations

from typing import Any

import pytest

from tests.robustness.auth.visitor import FAR, OUT

STUDIO = "https://studio.example"
BOTH = f"{STUDIO},http://localhost:3000"
FRAME = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
IMAGE = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
SCRIPT = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"}
FETCH = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_named_site_may_frame_the_page(make: Any, site: str) -> None:
    asked = {**FRAME, "Sec-Fetch-Site": site, "Referer": f"{STUDIO}/"}
    answer = make(embed_origins=BOTH).get("/?clean", headers=asked)
    assert answer.status_code == 200
    policy = answer.headers["Content-Security-Policy"]
    assert f"frame-ancestors http://localhost:3000 {STUDIO};" in policy
    assert "'none'; script-src 'self'" in policy
    assert "X-Frame-Options" not in answer.headers


def test_a_page_that_reloads_itself_in_its_frame_stays_there(make: Any) -> None:
    own = {"Sec-Fetch-Site": "same-origin", "Referer": "http://localhost/"}
    policy = make(embed_origins=STUDIO).get("/", headers=own).headers["Content-Security-Policy"]
    assert f"frame-ancestors {STUDIO};" in policy


@pytest.mark.parametrize("path", ["/stream", "/snapshot.jpg"])
def test_a_named_site_may_show_the_pictures(make: Any, path: str) -> None:
    client = make(embed_origins=BOTH)
    for referer in (f"{STUDIO}/", STUDIO, "http://localhost:3000/wall/"):
        answer = client.get(path, headers={**IMAGE, "Referer": referer})
        assert answer.status_code == 200
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        answer.close()


@pytest.mark.parametrize(
    "referer",
    [
        None,
        "",
        "null",
        "file:///home/me/page.html",
        "https://evil.example/",
        "http://studio.example/",
        "https://studio.example:444/",
        "https://studio.example.evil.example/",
        "https://studio.example@evil.example/",
        "https://evil.example/?https://studio.example/",
        "https://evil.example/https://studio.example/",
        "https://[studio.example/",
    ],
)
def test_another_site_or_one_that_is_not_told_may_not(make: Any, referer: str | None) -> None:
    client = make(embed_origins=BOTH)
    told = {} if referer is None else {"Referer": referer}
    for path, marks in (("/", FRAME), ("/stream", IMAGE), ("/snapshot.jpg", IMAGE)):
        refused = client.get(path, headers={**marks, **told})
        assert refused.status_code == 403
        assert "EMBED_ORIGINS" in refused.get_data(as_text=True)
        assert refused.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert refused.headers["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in refused.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("method", "path", "marks"),
    [
        ("GET", "/status", FRAME),
        ("GET", "/scene", IMAGE),
        ("GET", "/looks", FETCH),
        ("GET", "/page/page.js", SCRIPT),
        ("GET", "/stream", FRAME),
        ("GET", "/stream", FETCH),
        ("GET", "/snapshot.jpg", FETCH),
        ("GET", "/", IMAGE),
        ("GET", "/", FETCH),
        ("GET", "/", {**FRAME, "Sec-Fetch-Dest": "object"}),
        ("POST", "/prompt", FRAME),
        ("PATCH", "/scene", FETCH),
        ("POST", "/", FRAME),
    ],
)
def test_a_named_site_may_do_nothing_else(
    make: Any, method: str, path: str, marks: dict[str, str]
) -> None:
    headers = {**marks, "Referer": f"{STUDIO}/", "Origin": STUDIO}
    if method == "GET" and marks is not FETCH:
        del headers["Origin"]
    client = make(embed_origins=STUDIO)
    refused = client.open(path, method=method, headers=headers, json={"prompt": "x"})
    assert refused.status_code == 403
    assert not [name for name, _ in refused.headers if name.startswith("Access-Control")]


def test_without_the_setting_no_site_may_embed(make: Any) -> None:
    client = make()
    for path, marks in (("/", FRAME), ("/stream", IMAGE), ("/snapshot.jpg", IMAGE)):
        assert client.get(path, headers={**marks, "Referer": f"{STUDIO}/"}).status_code == 403


def test_a_named_site_is_no_token(make: Any) -> None:
    client = make(embed_origins=STUDIO)
    for path, marks in (("/", FRAME), ("/stream", IMAGE)):
        headers = {**marks, **OUT, "Referer": f"{STUDIO}/", "Accept": "text/html"}
        asked = client.get(path, headers=headers, environ_overrides=FAR)
        assert asked.status_code == 401
        assert asked.headers["X-Frame-Options"] == "DENY", "nobody types a token into a frame"
        assert "frame-ancestors 'none'" in asked.headers["Content-Security-Policy"]

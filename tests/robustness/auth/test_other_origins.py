"""Cross-origin requests: only from the origins that the setting names."""

from __future__ import annotations

from typing import Any

from tests.robustness.auth.visitor import FAR, OUT
from turbostream.web.context import AppContext


def test_only_a_permitted_origin_may_send_requests(make: Any, context: AppContext) -> None:
    client = make(cors_origins="https://studio.example,http://localhost:3000")
    named = {"Origin": "https://studio.example", "Sec-Fetch-Site": "cross-site"}
    before = client.options(
        "/prompt", headers={**named, "Access-Control-Request-Method": "POST",
                            "Access-Control-Request-Headers": "content-type"}
    )  # fmt: skip
    assert before.status_code == 200
    assert before.headers["Access-Control-Allow-Origin"] == "https://studio.example"
    for method in ("PUT", "DELETE"):
        asked = {**named, "Access-Control-Request-Method": method}
        allowed = client.options("/looks/a", headers=asked).headers["Access-Control-Allow-Methods"]
        assert method in allowed
    answer = client.post("/prompt", json={"prompt": "x"}, headers=named)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "https://studio.example"
    for origin in ("https://evil.example", "https://studio.example.evil.example", "null"):
        other = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
        refused = client.post("/prompt", json={"prompt": "x"}, headers=other)
        assert refused.status_code == 403
        assert "Access-Control-Allow-Origin" not in refused.headers
    elsewhere = client.post("/prompt", json={"prompt": "x"}, headers={**named, **OUT},
                            environ_overrides=FAR)  # fmt: skip
    assert elsewhere.status_code == 401, "an origin is not a token"


def test_without_the_setting_no_origin_is_permitted(make: Any) -> None:
    headers = make().get("/status", headers={"Origin": "https://studio.example"}).headers
    assert not [name for name in headers.keys() if name.startswith("Access-Control")]  # noqa: SIM118

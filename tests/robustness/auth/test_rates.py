"""How often a scene may be changed."""

from __future__ import annotations

from typing import Any

from tests.robustness.auth.visitor import Visitor, bearer
from turbostream.web.auth.rate_limits import MOST_KEYS, RateLimit
from turbostream.web.context import AppContext


def test_a_token_may_change_the_prompt_twenty_times_a_second_and_the_local_owner_without_limit(
    make: Any, context: AppContext, clock: list[float]
) -> None:
    client = make()
    visitor = Visitor(client)
    owner = bearer(context.tokens.owner)

    def change(**headers: str) -> int:
        return int(visitor.ask("POST", "/prompt", {"prompt": "x"}, **headers).status_code)

    codes = [change(Authorization=owner) for _ in range(60)]
    assert codes == [200] * 20 + [429] * 40
    refused = visitor.ask("POST", "/prompt", {"prompt": "x"}, Authorization=owner)
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "1"
    assert visitor.ask("POST", "/preview", {}, Authorization=owner).status_code == 429
    visitor.log_in(context.tokens.owner)
    mark = {"Sec_Fetch_Site": "same-origin"}
    assert change(**mark) == 200, "a cookie has a rate of its own"
    clock[0] += int(refused.headers["Retry-After"])
    assert change(Authorization=owner) == 200
    for _ in range(60):
        assert client.post("/prompt", json={"prompt": "x"}).status_code == 200


def test_the_record_of_rates_stays_bounded_and_refills() -> None:
    rate = RateLimit(20)
    for n in range(5000):
        rate.take(str(n), 0.0)
    assert len(rate._left) == MOST_KEYS
    assert sum(rate.take("a", 1.0) for _ in range(30)) == 20
    assert sum(rate.take("a", 1.5) for _ in range(30)) == 10

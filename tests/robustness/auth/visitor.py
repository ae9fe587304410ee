"""A client from another address, for the application without a socket."""

from __future__ import annotations

import base64
from typing import Any

from flask.testing import FlaskClient

FAR = {"REMOTE_ADDR": "192.0.2.7"}
OUT = {"Host": "stream.example:8000"}


class Visitor:
    """Somebody elsewhere, who keeps cookies."""

    def __init__(self, client: FlaskClient, peer: str = "192.0.2.7", **headers: str) -> None:
        self._client, self._peer = client, peer
        self._headers = {**OUT, **headers}
        self.cookie = ""

    def ask(self, method: str, path: str, json: Any = None, **headers: str) -> Any:
        sent = {**self._headers, **{k.replace("_", "-"): v for k, v in headers.items()}}
        if self.cookie:
            sent["Cookie"] = self.cookie
        answer = self._client.open(
            path, method=method, json=json, headers=sent,
            environ_overrides={"REMOTE_ADDR": self._peer}, buffered=False,
        )  # fmt: skip
        if "Set-Cookie" in answer.headers:
            self.cookie = answer.headers["Set-Cookie"].partition(";")[0]
        return answer

    def log_in(self, token: str) -> Any:
        return self.ask("POST", "/login", json={"token": token})


def bearer(token: str) -> str:
    return f"Bearer {token}"


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()

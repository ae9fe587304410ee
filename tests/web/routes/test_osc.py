"""`GET /osc`: the list of addresses, whose lines to copy work."""

from __future__ import annotations

import shlex

import pytest
from flask.testing import FlaskClient

from tests.control.sending import message
from turbostream.control.osc_messages import decode
from turbostream.stream.parameters import PARAMETERS, check_value
from turbostream.web.context import AppContext

NUMBERS = {"i": int, "h": int, "f": float}


@pytest.fixture
def listed(client: FlaskClient) -> dict[str, dict[str, str]]:
    return {row["address"]: row for row in client.get("/osc").json["addresses"]}


def test_it_lists_every_parameter(listed: dict[str, dict[str, str]]) -> None:
    assert list(listed) == [row.address for row in PARAMETERS.values()]
    assert listed["/speed"] == {
        "address": "/speed",
        "type": "f",
        "range": "0 to 4 seeds per second",
        "help": PARAMETERS["speed"].help,
        "example": "oscsend localhost 9000 /speed f 0.5",
    }
    assert listed["/new_seed"]["example"] == "oscsend localhost 9000 /new_seed"
    assert listed["/prompt"]["example"] == "oscsend localhost 9000 /prompt s 'a blue fish'"
    assert listed["/seed"]["range"] == f"0 to {2**63 - 1}"


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_line_to_copy_is_a_message_that_is_accepted(
    listed: dict[str, dict[str, str]], name: str
) -> None:
    row = listed[f"/{name}"]
    program, host, port, address, *argument = shlex.split(row["example"])
    assert (program, host, port, address) == ("oscsend", "localhost", "9000", f"/{name}")
    assert argument[:1] == ([row["type"]] if row["type"] else [])
    arguments = []
    if argument:
        kind, text = argument
        arguments.append((kind, NUMBERS.get(kind, str)(text)))
    found, value = decode(message(address, *arguments))
    assert found == name
    check_value(name, value)
    assert row["help"]
    assert row["range"]


def test_it_names_the_port_and_the_bridge(client: FlaskClient) -> None:
    found = client.get("/osc").json
    assert (found["port"], found["host"]) == (0, "127.0.0.1")
    assert found["bridge"] == "./tunnel_to_stream.sh --osc 9000"


def test_only_an_owner_may_read_it(client: FlaskClient, context: AppContext) -> None:
    elsewhere = {"environ_overrides": {"REMOTE_ADDR": "192.0.2.7"}}
    assert client.get("/osc", **elsewhere).status_code == 401
    watcher = {"Authorization": f"Bearer {context.tokens.watch}"}
    assert client.get("/osc", headers=watcher, **elsewhere).status_code == 403
    owner = {"Authorization": f"Bearer {context.tokens.owner}"}
    assert client.get("/osc", headers=owner, **elsewhere).status_code == 200

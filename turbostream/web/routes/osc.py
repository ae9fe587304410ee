"""`GET /osc`: every address with its type, its range and a line to copy. Only for owners."""

from __future__ import annotations

import shlex

from flask import Flask, jsonify
from werkzeug.wrappers import Response

from turbostream.stream.parameter import Parameter
from turbostream.stream.parameters import OFF_ON, PARAMETERS
from turbostream.web.auth.access_control import AccessControl
from turbostream.web.context import AppContext

BRIDGE_PORT = 9000  # of the examples, where OSC_PORT is 0
MOST_INT32 = 2**31 - 1
TEXTS = {"prompt": "a blue fish", "negative": "fog", "look": "opening"}


def add_routes(app: Flask, context: AppContext, access: AccessControl) -> None:
    port, host = context.settings.osc_port, context.settings.osc_host

    @app.get("/osc")
    def osc() -> Response:
        access.require_owner()
        return jsonify(
            port=port,
            host=host,
            bridge=f"./tunnel_to_stream.sh --osc {BRIDGE_PORT}",
            addresses=[_address(row, port or BRIDGE_PORT) for row in PARAMETERS.values()],
        )


def _address(row: Parameter, port: int) -> dict[str, str]:
    kind, value = _argument(row)
    words = ["oscsend", "localhost", str(port), row.address, *filter(None, (kind, value))]
    return {
        "address": row.address,
        "type": kind,
        "range": _range(row),
        "help": row.help,
        "example": shlex.join(words),
    }


def _argument(row: Parameter) -> tuple[str, str]:
    """(OSC type, a valid value as oscsend takes it); both empty for a trigger."""
    low, high = row.swept
    match row.kind:
        case "continuous":
            return "f", f"{low + (high - low) / 8:g}"
        case "whole":
            return ("i" if row.high <= MOST_INT32 else "h"), str(int(low + (high - low) / 2))
        case "choice":
            return "s", row.choices[-1]
        case "trigger":
            return "", ""
    return "s", TEXTS[row.name]


def _range(row: Parameter) -> str:
    match row.kind:
        case "continuous":
            return f"{row.low:g} to {row.high:g} {row.unit}".rstrip()
        case "whole":
            return f"{int(row.low)} to {int(row.high)}"
        case "choice":
            more = "; also T and F, 1 and 0" if row.choices == OFF_ON else ""
            return ", ".join(row.choices) + more
        case "trigger":
            return "no argument, or any; 0 and F do nothing"
    return "text"

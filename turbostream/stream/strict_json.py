"""JSON objects that others send, read strictly; each fault is one sentence. Pure, any thread."""

from __future__ import annotations

import json
from typing import Any


class NotAnObject(ValueError):
    """One sentence on why bytes hold no JSON object."""


class _DuplicateField(ValueError):
    pass


def read_object(data: bytes | bytearray, what: str, example: str) -> dict[str, Any]:
    """The JSON object in `data`; raises NotAnObject, whose sentence names `what` (such as "body")
    and tells to send `example`. Numbers may be infinite: 1e999 is JSON."""
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_object, parse_constant=_refuse_constant
        )
    except UnicodeDecodeError:
        raise NotAnObject(f"The {what} is not UTF-8.") from None
    except _DuplicateField:
        raise NotAnObject("The JSON names a field twice; name each once.") from None
    except RecursionError:
        raise NotAnObject("The JSON is nested too deeply; send one flat object.") from None
    except ValueError:
        raise NotAnObject(f"The {what} is not JSON; send {example}.") from None
    if not isinstance(value, dict):
        raise NotAnObject(f"The {what} is not a JSON object; send {example}.")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise _DuplicateField
    return result


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")

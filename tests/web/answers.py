"""What every test of an answer checks."""

from __future__ import annotations

from typing import Any


def error_of(response: Any, status: int) -> str:
    """The sentence of an error in the one shape that all errors have."""
    assert response.status_code == status, response.get_data(as_text=True)
    assert response.is_json
    assert set(response.json) == {"status", "error"}
    assert response.json["status"] == "error"
    sentence = response.json["error"]
    assert sentence[0].isupper()
    assert sentence.endswith((".", "..}."))
    return str(sentence)

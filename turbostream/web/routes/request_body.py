"""Request bodies: strict JSON objects and plain form posts; each fault gets one sentence.

Knows no route.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from flask import Request
from werkzeug.exceptions import (
    BadRequest,
    ClientDisconnected,
    RequestEntityTooLarge,
    UnsupportedMediaType,
)

from turbostream.stream.strict_json import NotAnObject, read_object


class WholeRequest(Request):
    """A request whose body is either read completely or refused.

    werkzeug truncates a chunked body at the limit without an error.
    """

    def get_data(self, *arguments: Any, **options: Any) -> Any:
        data = super().get_data(*arguments, **options)
        most = self.max_content_length
        if self.content_length is None and most is not None and len(data) >= most:
            try:
                more = self.environ["wsgi.input"].read(1)
            except OSError:
                raise ClientDisconnected from None
            if more:
                raise RequestEntityTooLarge
        return data


def json_object(request: Request, fields: tuple[str, ...]) -> dict[str, Any]:
    """The JSON object in the body, with known fields only; raises BadRequest otherwise."""
    try:
        value = read_object(request.get_data(), "body", _example(fields))
    except NotAnObject as fault:
        raise BadRequest(str(fault)) from None
    unknown = sorted(set(value) - set(fields))
    if unknown:
        known = ", ".join(fields) or "none"
        raise BadRequest(f"There is no field {unknown[0][:40]!r} here; known: {known}.")
    return value


def _example(fields: tuple[str, ...]) -> str:
    return f'an object such as {{"{fields[0]}": ...}}' if fields else "an empty body"


def optional_object(request: Request, fields: tuple[str, ...]) -> dict[str, Any]:
    """`json_object`, or an empty dict if the body is empty."""
    if not request.get_data():
        return {}
    return json_object(request, fields)


def field_of(request: Request, name: str) -> tuple[object, bool]:
    """(the body's one field, whether a form sent it); raises BadRequest or UnsupportedMediaType."""
    if request.mimetype == "application/json":
        body = json_object(request, (name,))
        if name not in body:
            raise BadRequest(f'The field "{name}" is missing; send {{"{name}": "..."}}.')
        return body[name], False
    if request.mimetype == "application/x-www-form-urlencoded":
        try:
            # Not request.form, which lets bytes through that are not UTF-8.
            fields = parse_qsl(
                request.get_data().decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=10,
            )
        except ValueError:
            raise BadRequest("The form is not UTF-8, or not a form.") from None
        if [found for found, _ in fields] != [name]:
            raise BadRequest(f'Send one form field "{name}" and nothing else.')
        return fields[0][1], True
    raise UnsupportedMediaType(f'Send JSON: Content-Type application/json and {{"{name}": "..."}}.')

"""Whether the installed libraries still have the names that this program should not rely on.

`private_names.py` lists them. The tests report each name that is missing or has changed; the
engine asks `usable` while it opens, on its own thread, before it takes a faster way that has a
slower one to fall back to. Knows no library: it imports what a `Use` names.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from types import CodeType
from typing import Any

log = logging.getLogger(__name__)

KEYWORDS = "*"  # in a signature: what follows is given by name


@dataclass(frozen=True, eq=False)
class Use:
    """What one file needs of one library."""

    library: str  # as requirements.txt has it
    used_by: str  # the file or folder, from the root of the repository
    without: str  # what happens when a name is missing, one clause
    # Dotted name -> the parameters that the file gives, as "a, b, *, c"; None: it is not called.
    names: Mapping[str, str | None] = field(default_factory=dict)
    # Dotted name of a function -> names and texts that its code has to contain: attributes that it
    # sets, methods that it calls.
    code: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def problems(use: Use) -> Iterator[str]:
    """One sentence for each name that is missing or has changed."""
    found = f"{use.library} {version(use.library)}"
    for name, expected in use.names.items():
        try:
            target = _resolved(name)
        except (ImportError, AttributeError):
            yield f"{found} has no {name}, on which {use.used_by} relies: {use.without}."
            continue
        if expected is not None and (actual := _mismatch(target, expected)):
            yield (
                f"{found} has {name} with the parameters ({actual}), and {use.used_by} gives "
                f"({expected}): {use.without}."
            )
    for name, contained in use.code.items():
        try:
            code = inspect.unwrap(_resolved(name)).__code__
        except (ImportError, AttributeError):
            yield f"{found} has no {name}, on which {use.used_by} relies: {use.without}."
            continue
        texts = set(_texts(code))
        for text in contained:
            if text not in texts:
                yield (
                    f"{found} has no {text!r} in {name}, on which {use.used_by} relies: "
                    f"{use.without}."
                )


@functools.cache
def usable(use: Use) -> bool:
    """False, with one line in the log, where a name is missing or has changed."""
    problem = next(problems(use), None)
    if problem is not None:
        log.warning("[init] %s", problem)
    return problem is None


def _resolved(name: str) -> Any:
    """The object of a dotted name; ImportError or AttributeError where there is none."""
    parts = name.split(".")
    target: Any = importlib.import_module(parts[0])
    for count, part in enumerate(parts[1:], 2):
        if not hasattr(target, part) and inspect.ismodule(target):
            importlib.import_module(".".join(parts[:count]))
        target = getattr(target, part)
    return target


def _mismatch(target: Any, expected: str) -> str | None:
    """The parameters of `target` as text if a call with those expected would fail, else None."""
    parameters = _parameters(target)
    by_place, _, by_name = (part.strip(", ") for part in expected.partition(KEYWORDS))
    places = [one.strip() for one in by_place.split(",") if one.strip()]
    given = places + [one.strip() for one in by_name.split(",") if one.strip()]
    names = [name for name, _ in parameters]
    required = {name for name, needed in parameters if needed}
    if names[: len(places)] == places and required <= set(given) <= set(names):
        return None
    return ", ".join(names)


def _parameters(target: Any) -> list[tuple[str, bool]]:
    """(name, whether it has to be given) of a function, a class, or an operator of torch."""
    schema = getattr(target, "_schema", None)
    if schema is not None:
        found = [(one.name, not one.has_default_value()) for one in schema.arguments]
    else:
        try:
            found = [
                (one.name, one.default is one.empty)
                for one in inspect.signature(target).parameters.values()
                if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
            ]
        except (TypeError, ValueError):  # pybind11 writes signatures into the docstring only
            head = (target.__doc__ or "").partition("\n")[0].partition("->")[0]
            pieces = re.split(r"(\w+): ", head)[1:]
            found = [
                (name, "=" not in kind)
                for name, kind in zip(pieces[::2], pieces[1::2], strict=True)
            ]
    return [one for one in found if one[0] != "self"]


def _texts(code: CodeType) -> Iterator[str]:
    """The names and the texts in a function and in the functions inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, CodeType):
            yield from _texts(constant)

"""The JSON form of a shot: for manifests, files and other processes. Pure, any thread.

    {"version": 2, "prompts": [["a red heart", 1.0]], "noise": [[7, 1.0]]}

Fields with their default value are left out. A source is {"picture": SHA-256} or {"frame": number}
with what is done to the frame: zoom, rotation, shift_x, shift_y, and its channel unless that is
the default one.

A field that `Shot` gains needs no new version: it is written only where it is used, and a program
that does not know it refuses it by name. VERSION rises when a field of today changes its meaning.
Version 1 has no number and was written until 2026-11-26:
{"prompt", "seed_from", "seed_to", "angle", "width", "height"}.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from turbostream.stream.shot import (
    TRANSFORMS,
    EarlierFrame,
    InputPicture,
    Shot,
    ShotError,
    Source,
    great_circle,
)

VERSION = 2
VERSION_1 = ("prompt", "seed_from", "seed_to", "angle", "width", "height")


class NewerShotError(ShotError):
    """The shot has a version or a field that only a later program knows."""


def to_json(shot: Shot) -> dict[str, Any]:
    """The shot as plain data. Numbers keep all their digits, so `from_json` returns an equal shot,
    also by way of `json.dumps` and `json.loads`."""
    values: dict[str, Any] = {"version": VERSION}
    for field in fields(shot):
        value = getattr(shot, field.name)
        if value != field.default:
            values[field.name] = _WRITE[field.name](value) if field.name in _WRITE else value
    return values


def from_json(data: object) -> Shot:
    """The shot of `to_json`, written by this version of the program or an earlier one.

    Raises NewerShotError for a version or a field that it does not know, and ShotError for
    anything else that is not a shot; both are one sentence that names the field.
    """
    if not isinstance(data, Mapping):
        raise ShotError("A shot must be a JSON object.")
    values = dict(data)
    version = values.pop("version", 1)
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ShotError("A shot's version must be a whole number from 1.")
    if version > VERSION:
        raise NewerShotError(
            f"The shot has version {str(version)[:20]} and this program reads up to {VERSION}: use "
            "a newer version of the program."
        )
    if version == 1:
        return _from_version_1(values)
    _check_names(values, [field.name for field in fields(Shot)], ("prompts", "noise"))
    return Shot(
        **{name: _READ[name](values[name]) if name in _READ else values[name] for name in values}
    )


def _check_names(
    values: Mapping[Any, object], known: list[str] | tuple[str, ...], needed: tuple[str, ...]
) -> None:
    for name in values:
        if name not in known:
            raise NewerShotError(
                f"The shot has the field {str(name)[:40]!r}, which this program does not know: use "
                "a newer version of the program."
            )
    for name in needed:
        if name not in values:
            raise ShotError(f"The shot has no {name}.")


def _from_version_1(values: Mapping[str, Any]) -> Shot:
    """A single prompt, and noise on the great circle between two seeds."""
    _check_names(values, VERSION_1, ("prompt", "seed_from", "seed_to", "angle"))
    angle = values["angle"]
    if isinstance(angle, bool) or not isinstance(angle, int | float):
        raise ShotError("A shot's angle must be a number.")
    if not 0 <= angle <= math.pi / 2:
        raise ShotError("A shot's angle must be from 0 to pi/2.")
    return Shot(
        ((values["prompt"], 1.0),),
        great_circle(values["seed_from"], values["seed_to"], angle),
        width=values.get("width"),
        height=values.get("height"),
    )


def _write_mix(mix: tuple[tuple[Any, float], ...]) -> list[list[Any]]:
    return [[value, float(weight)] for value, weight in mix]


def _read_mix(data: object) -> object:
    """The tuples that `Shot` checks; what does not look like pairs is left for it to refuse."""
    if not isinstance(data, list):
        return data
    return tuple(tuple(pair) if isinstance(pair, list) else pair for pair in data)


def _write_source(source: Source) -> dict[str, Any]:
    if isinstance(source, InputPicture):
        return {"picture": source.sha256}
    done = {name: float(getattr(source, name)) for name in TRANSFORMS}
    still = EarlierFrame(source.number)  # compared as text: -0.0 equals 0.0
    return {
        "frame": source.number,
        **{name: value for name, value in done.items() if str(value) != str(getattr(still, name))},
        **({} if source.channel is None else {"channel": source.channel}),
    }


def _read_source(data: object) -> Source:
    if isinstance(data, Mapping) and "picture" in data and len(data) == 1:
        return InputPicture(data["picture"])
    if isinstance(data, Mapping) and "frame" in data and "picture" not in data:
        done = {name: value for name, value in data.items() if name != "frame"}
        for name in done:
            if name not in (*TRANSFORMS, "channel"):
                raise NewerShotError(
                    f"The shot's source has the field {str(name)[:40]!r}, which this program does "
                    "not know: use a newer version of the program."
                )
        return EarlierFrame(data["frame"], **done)
    raise ShotError('A shot\'s source must be {"picture": SHA-256} or {"frame": number}.')


_WRITE: dict[str, Callable[[Any], Any]] = {
    "prompts": _write_mix,
    "noise": _write_mix,
    "adapters": _write_mix,
    "source": _write_source,
    "brightness": float,
    "guidance": float,
    "negative": _write_mix,
}
_READ: dict[str, Callable[[Any], Any]] = {
    "prompts": _read_mix,
    "noise": _read_mix,
    "adapters": _read_mix,
    "source": _read_source,
    "negative": _read_mix,
}

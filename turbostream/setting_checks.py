"""Checks for settings: each turns the text of a value into the value, or raises.

A check's docstring says what it accepts; `--help` and the sentence about a wrong value quote it.
Called at start, in the main thread, before anything slow is imported. Knows no setting by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from turbostream.stream import adapters, channel_names, push_address, source_address
from turbostream.stream.scene_checks import check_prompt

Check = Callable[[str], Any]

YES = ("yes", "true", "on", "1")
NO = ("no", "false", "off", "0")


class Refusal(ValueError):
    """Why a value of the right form cannot be used; SettingError's sentence quotes it."""


def number(low: float, high: float) -> Check:
    def check(text: str) -> float:
        value = float(text)
        if not low <= value <= high:  # also refuses nan
            raise ValueError
        return value

    check.__doc__ = f"a number from {low:g} to {high:g}"
    return check


def whole(low: int, high: int, multiple: int = 1, auto: bool = False) -> Check:
    def check(text: str) -> int | None:
        if auto and text.lower() == "auto":
            return None
        if not re.fullmatch(r"[+-]?[0-9]{1,20}", text):
            raise ValueError
        value = int(text)
        if not low <= value <= high or value % multiple:
            raise ValueError
        return value

    kind = f"a multiple of {multiple}" if multiple > 1 else "a whole number"
    check.__doc__ = f"{kind} from {low} to {high}" + (" or 'auto'" if auto else "")
    return check


def yes_or_no(auto: bool = False) -> Check:
    def check(text: str) -> bool | None:
        given = text.lower()
        if auto and given == "auto":
            return None
        if given not in (*YES, *NO):
            raise ValueError
        return given in YES

    check.__doc__ = "one of " + ("auto, yes, no" if auto else "yes, no")
    return check


def one_of(*choices: str) -> Check:
    def check(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError
        return text.lower()

    check.__doc__ = "one of " + ", ".join(choices)
    return check


def text(what: str, pattern: str = r".+") -> Check:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError
        return value

    check.__doc__ = what
    return check


def prompt(value: str) -> str:
    """1 to 1,000 characters of text without control characters"""
    return check_prompt(value)


def folder(value: str) -> Path:
    """a folder"""
    try:
        path = Path(value).expanduser()
        wrong = path.exists() and not path.is_dir()
    except RuntimeError:
        raise Refusal("the home folder that its ~ stands for is unknown") from None
    except OSError as error:
        raise Refusal(error.strerror) from None
    if wrong:
        raise ValueError
    return path


def folder_or_auto(value: str) -> Path | None:
    """a folder or 'auto'"""
    return None if value.lower() == "auto" else folder(value)


def origins(value: str) -> str:
    """'none' or origins such as https://example.com, separated by commas"""
    if value.strip().lower() == "none":
        return "none"
    found = [one.strip().lower() for one in value.split(",")]
    if not all(re.fullmatch(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?", one) for one in found):
        raise ValueError
    return ",".join(found)


def push_target(value: str) -> str:
    """'none' or rtmp://HOST/APP/KEY, rtmps://HOST/APP/KEY, srt://HOST:PORT, hls:/FOLDER"""
    if value.strip().lower() == "none":
        return "none"
    try:
        push_address.parse(value)
    except push_address.PushAddressError as error:
        raise Refusal(str(error).rstrip(".")) from None
    return value.strip()


def loras(value: str) -> str:
    """'none' or NAME=PATH-OR-HUB-ID[@WEIGHT], separated by commas"""
    try:
        found = adapters.parse(value)
    except adapters.AdapterError as error:
        raise Refusal(str(error)) from None
    return value.strip() if found else "none"


def channels(value: str) -> str:
    """names such as main,left,right, separated by commas"""
    try:
        return ",".join(channel_names.parse(value))
    except channel_names.ChannelError as error:
        raise Refusal(str(error).rstrip(".")) from None


def push_shown(value: str) -> str:
    """A value of `push_target` without its key."""
    return value if value == "none" else push_address.parse(value).shown


def source_place(value: str) -> str:
    """'none', a picture, a folder of pictures, a video, or an address (http, https, rtsp, rtsps)"""
    try:
        kind = source_address.parse(value).kind
    except source_address.SourceAddressError as error:
        raise Refusal(str(error).rstrip(".")) from None
    return "none" if kind == "none" else value.strip()


def source_shown(value: str) -> str:
    """A value of `source_place` without user name, password and query."""
    return source_address.shown(value)


def shown(value: object) -> str:
    """A setting's value as text that its check accepts."""
    if value is None:
        return "auto"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)

"""The heads of weight files: what is damaged, and the tensors that a safetensors file declares."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Any

POINTER = b"version https://git-lfs"
ZIP = b"PK\x03\x04"
PICKLE = "a pickle can run any code when it is opened; convert it to safetensors"
PICKLES = (".ckpt", ".bin", ".pt", ".pth", ".pkl")
UNREADABLE = "it is damaged: its header cannot be read"
MAX_HEADER = 100_000_000  # bytes; the limit of safetensors itself


def damage_of_head(file: Path) -> str | None:
    """What the first bytes say is wrong with the file, as a clause, or None."""
    with file.open("rb") as opened:
        head = opened.read(64)
    if head.startswith(ZIP) and _is_torch_archive(file):
        return PICKLE
    return damage_of(head)


def damage_of(head: bytes) -> str | None:
    """As `damage_of_head`, of the first 64 bytes of a file or more."""
    if head.startswith(POINTER):
        return "it is a git-lfs pointer instead of the file; 'git lfs pull' downloads the file"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "it is a web page; a download link saved the page instead of the file"
    if head.startswith(ZIP):  # torch.save writes the pickle first
        return PICKLE if b"/data.pkl" in head else "it is a zip archive; unpack it"
    if head.startswith(b"\x80") and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        # Also the length of a header: then its JSON follows.
        return None if head[8:9] == b"{" else PICKLE
    return None if head else "it is empty"


def _is_torch_archive(file: Path) -> bool:
    try:
        with zipfile.ZipFile(file) as archive:
            return any(name.endswith("data.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile, ValueError):
        return False


def header_of(file: Path) -> dict[str, Any]:
    """The header of a safetensors file; ValueError if it is damaged or does not match the file's
    size. Source: the format description in huggingface/safetensors."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        head = opened.read(8)
        head += opened.read(_length(head, size))
    header = header_in(head, size)
    assert header is not None
    return header


def header_in(head: bytes, size: int | None) -> dict[str, Any] | None:
    """As `header_of`, from the beginning of a file of `size` bytes, None where that is not known;
    None if it ends before the header does."""
    length = _length(head, size)
    if len(head) < 8 + length:
        return None
    header = parsed(head[8 : 8 + length])
    try:
        ends = [entry["data_offsets"][1] for entry in tensors(header).values()]
        expected = 8 + length + max(ends, default=0)
    except (KeyError, TypeError, IndexError):
        raise ValueError(UNREADABLE) from None
    if size not in (None, expected):
        raise ValueError(f"it is damaged: it has {size:,} of {expected:,} bytes")
    return header


def _length(head: bytes, size: int | None) -> int:
    length = int.from_bytes(head[:8], "little")
    if len(head) < 8 or length > (MAX_HEADER if size is None else min(size - 8, MAX_HEADER)):
        raise ValueError("it is damaged or incomplete")
    return length


def parsed(text: bytes) -> dict[str, Any]:
    """The header in `text`; ValueError if it is no JSON object of objects."""
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(UNREADABLE) from None
    if not isinstance(header, dict) or not all(isinstance(v, dict) for v in header.values()):
        raise ValueError(UNREADABLE)
    return header


def tensors(header: dict[str, Any]) -> dict[str, Any]:
    """The header's entries without its metadata."""
    return {key: entry for key, entry in header.items() if key != "__metadata__"}


def shape_of(header: dict[str, Any], key: str) -> tuple[int, ...]:
    """The shape of a tensor; empty if there is none of that name."""
    shape = header.get(key, {}).get("shape")
    if isinstance(shape, list) and all(isinstance(length, int) for length in shape):
        return tuple(shape)
    return ()


def count(headers: Iterable[dict[str, Any]]) -> int:
    """The numbers in all tensors of these headers."""
    return sum(prod(shape_of(header, key)) for header in headers for key in tensors(header))

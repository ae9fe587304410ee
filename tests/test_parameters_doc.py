"""The table of docs/playing.md is the parameter table."""

from __future__ import annotations

import dataclasses
from itertools import groupby
from pathlib import Path

from turbostream.stream.parameter import Parameter
from turbostream.stream.parameters import PARAMETERS

DOC = Path(__file__).resolve().parent.parent / "docs" / "playing.md"
HEAD = (
    "| parameter | values | a knob sweeps | default | what it does | modulation |\n"
    "| --- | --- | --- | --- | --- | --- |\n"
)


def number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def values(row: Parameter) -> str:
    if row.choices:
        return ", ".join(f"`{choice}`" for choice in row.choices)
    if row.kind not in ("continuous", "whole"):
        return row.kind
    whole = "whole, " if row.kind == "whole" else ""
    return f"{whole}{number(row.low)} to {number(row.high)} {row.unit}".rstrip()


def line(rows: list[Parameter]) -> str:
    """One line for a row, or for several that differ in the number in name and help."""
    first, last = rows[0], rows[-1]
    names, help_text = f"`{first.name}`", first.help
    if first is not last:
        names += f" to `{last.name}`"
        help_text = help_text.replace(" 1", f" 1 to {len(rows)}")
    knob = " to ".join(map(number, first.knob)) if first.knob else ""
    default = first.default
    if isinstance(default, int | float):
        default = number(default)
    cells = [names, values(first), knob, str(default or ""), help_text, first.modulation]
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells) + "\n"


def stem(row: Parameter) -> str:
    return row.name.rstrip("0123456789")


def table() -> str:
    return HEAD + "".join(line(list(rows)) for _, rows in groupby(PARAMETERS.values(), stem))


def test_the_table_of_the_docs_is_the_parameter_table() -> None:
    wanted = table()
    assert wanted in DOC.read_text(), f"docs/playing.md needs this table:\n{wanted}"


def test_rows_that_share_a_line_differ_only_in_their_number() -> None:
    for _, rows in groupby(PARAMETERS.values(), stem):
        first, *others = rows
        for row in others:
            number = row.name.removeprefix(stem(row))
            as_first = dataclasses.replace(
                row, name=stem(row) + "1", help=row.help.replace(f" {number}", " 1")
            )
            assert as_first == first

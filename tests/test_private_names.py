"""Private names of libraries: each is in the table, and the installed version still has it."""

from __future__ import annotations

import ast
import dataclasses
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import requires
from importlib.util import find_spec
from pathlib import Path

import pytest

from turbostream import private_names
from turbostream.library_check import Use, problems, usable

ROOT = Path(__file__).resolve().parent.parent
PINS = dict(re.findall(r"(?m)^([\w-]+)==(\S+)", (ROOT / "requirements.txt").read_text()))
REQUIRED_BY = {"httpx2": "huggingface_hub"}

# Of the tests themselves.
TESTS = (
    Use(
        "torch",
        "tests/engine/rewrite/test_traced.py",
        "the test of a module that fails while it is traced cannot run",
        {"torch.utils._python_dispatch._get_current_dispatch_mode": ""},
    ),
    Use(
        "torch",
        "tests/engine/meeting.py",
        "two threads that import torch at once are tested no longer",
        {"torch._meta_registrations.register_meta": None},
    ),
    Use(
        "transformers",
        "tests/engine/meeting.py",
        "two threads that import torch at once are tested no longer",
        {"transformers.masking_utils": None},
    ),
    Use(
        "Pillow",
        "tests/engine/test_parts.py",
        "the chroma of a JPEG is tested no longer",
        {},
        {"PIL.JpegImagePlugin.SOF": ("layer",)},
    ),
)
ALL = (*private_names.ALL, *TESTS)

NAMED_TUPLE = {"_replace"}  # documented


def _id(use: Use) -> str:
    return f"{use.library}-{use.used_by}"


def _sentences(use: Use) -> list[str]:
    library = REQUIRED_BY.get(use.library, use.library)
    return [f"{one} requirements.txt has {library} {PINS[library]}." for one in problems(use)]


@pytest.mark.parametrize("use", ALL, ids=_id)
def test_the_installed_library_has_every_private_name_as_it_is_used(use: Use) -> None:
    found = _sentences(use)
    assert not found, "\n".join(found)


def test_every_library_of_the_table_is_pinned_or_required_by_one_that_is() -> None:
    for use in ALL:
        required = requires(REQUIRED_BY.get(use.library, use.library)) or []
        assert use.library in PINS or any(one.startswith(use.library) for one in required)


@pytest.mark.parametrize("use", ALL, ids=_id)
def test_every_name_of_the_table_is_used_where_it_says(use: Use) -> None:
    place = ROOT / use.used_by
    files = sorted(place.glob("*.py")) if place.is_dir() else [place]
    text = "".join(file.read_text() for file in files)
    for name in use.names:
        words = [word for word in name.split(".") if word != "default" and "__" not in word]
        assert re.search(rf"\b{words[-1]}\b", text), f"{use.used_by} does not use {name}"


# -- nothing private is missing in the table -----------------------------------------------------


def _private_attributes(tree: ast.AST) -> Iterator[str]:
    """Names of one underscore that are reached through something other than self or cls."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            base = node.value.id if isinstance(node.value, ast.Name) else ""
            if base not in ("self", "cls", "os") and re.match(r"_[a-zA-Z]", node.attr):
                yield node.attr
        elif isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names]
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for module in modules:
                yield from (part for part in module.split(".") if re.match(r"_[a-zA-Z]", part))


def _defined(tree: ast.AST) -> Iterator[str]:
    """Names of one underscore that are our own."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and node.value.id == "self":
                yield node.attr
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _not_in_table(files: list[Path]) -> dict[str, str]:
    trees = {file: ast.parse(file.read_text()) for file in files}
    own = {name for tree in trees.values() for name in _defined(tree)}
    listed = {part for use in ALL for name in use.names for part in name.split(".")}
    listed |= {text for use in ALL for texts in use.code.values() for text in texts}
    return {
        name: str(file)
        for file, tree in trees.items()
        for name in _private_attributes(tree)
        if name not in own | listed | NAMED_TUPLE
    }


def test_no_private_name_of_a_library_is_used_that_is_not_in_the_table(tmp_path: Path) -> None:
    files = [*(ROOT / "turbostream").rglob("*.py"), ROOT / "realtime_stream.py"]
    assert _not_in_table(files) == {}
    bad = tmp_path / "bad.py"
    bad.write_text("import torch._new\nself._own = connection._socket\n")
    assert set(_not_in_table([bad])) == {"_new", "_socket"}


# -- a name that is gone is reported ---------------------------------------------------------------


def renamed(use: Use) -> Use:
    """As if the library had renamed everything in it."""
    return dataclasses.replace(
        use,
        names={f"{name}_renamed": given for name, given in use.names.items()},
        code={name: tuple(f"{one}_renamed" for one in texts) for name, texts in use.code.items()},
    )


@pytest.mark.parametrize("use", ALL, ids=_id)
def test_each_name_that_is_gone_is_one_sentence_that_names_it(use: Use) -> None:
    other = renamed(use)
    gone = [*other.names, *(text for texts in other.code.values() for text in texts)]
    found = _sentences(other)
    assert len(found) == len(gone)
    for name, sentence in zip(gone, found, strict=True):
        for part in (name, use.library, use.used_by, use.without):
            assert part in sentence
        assert "\n" not in sentence


@pytest.mark.parametrize(
    ("expected", "fits"),
    [
        ("first, second", True),
        ("first, second, *, named", True),
        ("second, first", False),  # the order has changed
        ("first", False),  # one more has to be given
        ("first, second, third", False),
        ("first, second, *, other", False),
        ("*, first, second", True),
    ],
)
def test_parameters_that_no_longer_fit_the_call_are_reported(
    expected: str, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def function(first: int, second: int, *rest: int, named: int = 0, **others: int) -> None:
        pass

    monkeypatch.setattr(private_names, "function", function, raising=False)
    use = Use("gevent", "here", "nothing", {"turbostream.private_names.function": expected})
    found = list(problems(use))
    assert (not found) is fits
    for sentence in found:
        assert "with the parameters (first, second, named), and here gives" in sentence


def test_what_is_not_usable_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    gone = renamed(private_names.WAKEUP)
    with caplog.at_level(logging.WARNING):
        assert usable(private_names.WAKEUP)
        assert not usable(gone)
        assert not usable(gone)
    assert len(caplog.records) == 1
    assert caplog.records[0].getMessage().startswith("[init] gevent ")


# -- for real: a copy of the library in which one name is another ----------------------------------

COPIES = [
    ("VIEWER_SOCKET", "gevent", "_socketcommon.py _socket3.py", "_sock"),
    (
        "END_OF_TRANSFORMER",
        "diffusers/models/transformers",
        "transformer_2d.py",
        "_get_output_for_continuous_inputs",
    ),
    ("COMPILED", "torch/_inductor", "config.py", "package_constants_in_so"),
]


def copied(folder: str, files: list[str], name: str, into: Path) -> None:
    """The package of `folder` below `into`, with links to all that is unchanged, and `name` renamed
    in `files`."""
    spec = find_spec(folder.partition("/")[0])
    assert spec is not None
    assert spec.origin is not None
    site = Path(spec.origin).parent.parent
    place = Path(folder)
    for part in (*reversed(place.parents[:-1]), place):
        (into / part).mkdir()
        changed = files if part == place else [place.parts[len(part.parts)]]
        for entry in (site / part).iterdir():
            if entry.name not in (*changed, "__pycache__"):
                (into / part / entry.name).symlink_to(entry)
    for file in files:
        text = (site / place / file).read_text()
        (into / place / file).write_text(re.sub(rf"\b{name}\b", f"{name}_renamed", text))


@pytest.mark.parametrize(("row", "folder", "files", "name"), COPIES)
def test_a_name_that_is_renamed_in_a_copy_of_the_library_is_named(
    row: str, folder: str, files: str, name: str, tmp_path: Path
) -> None:
    copied(folder, files.split(), name, tmp_path)
    code = (
        "from turbostream import library_check, private_names\n"
        f"print(*library_check.problems(private_names.{row}), sep='\\n')"
    )
    environ = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environ, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    use = getattr(private_names, row)
    sentences = ended.stdout.splitlines()
    assert sentences
    for sentence in sentences:
        assert sentence.startswith(f"{use.library} ")
        assert re.search(rf"\b{name}\b", sentence)
        assert sentence.endswith(f"{use.without}.")

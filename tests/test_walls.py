"""Who may import whom, read from the code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "turbostream"
TORCH = {"torch", "diffusers", "transformers", "accelerate", "xformers", "huggingface_hub"}
WEB = {"flask", "flask_cors", "gevent", "werkzeug"}
INSIDE = "turbostream"

# room -> what it may not import
FORBIDDEN = {
    "stream": TORCH | WEB | {f"{INSIDE}.engine", f"{INSIDE}.web"},
    "engine": WEB | {f"{INSIDE}.web"},
    "web": TORCH | {f"{INSIDE}.engine"},
    "web/http": {"flask", "flask_cors", "werkzeug", f"{INSIDE}.stream"},
}


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def breaches(file: Path, forbidden: set[str]) -> list[str]:
    return [
        name
        for name in imports(file)
        if any(name == wall or name.startswith(wall + ".") for wall in forbidden)
    ]


@pytest.mark.parametrize("room", FORBIDDEN)
def test_a_room_imports_nothing_from_behind_its_walls(room: str) -> None:
    files = list((PACKAGE / room).rglob("*.py"))
    assert files
    assert {str(file): found for file in files if (found := breaches(file, FORBIDDEN[room]))} == {}


def test_settings_and_the_entry_point_import_nothing_slow_at_the_top() -> None:
    for file in (PACKAGE / "settings.py", PACKAGE / "engine" / "weights.py"):
        top = [
            node
            for node in ast.parse(file.read_text()).body
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        names = {name for node in top for name in _names(node)}
        assert not {name.partition(".")[0] for name in names} & (TORCH | WEB), file


def _names(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [alias.name for alias in node.names]


def test_only_one_place_reads_the_environment_and_the_command_line() -> None:
    readers = [
        str(file.relative_to(ROOT))
        for file in PACKAGE.rglob("*.py")
        if "os.environ" in file.read_text() or "sys.argv" in file.read_text()
    ]
    assert readers == []


def test_a_breach_would_be_seen(tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    file.write_text(
        "def late():\n    from turbostream.engine import model\n    import torch.cuda\n"
    )
    assert len(breaches(file, FORBIDDEN["web"])) == 2


def test_the_script_that_wires_all_of_it_stays_short():
    assert len((ROOT / "realtime_stream.py").read_text(encoding="utf-8").splitlines()) < 120

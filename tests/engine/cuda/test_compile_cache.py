"""The key of compiled code changes with every file that decides the code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from turbostream.engine.cuda import compile_cache
from turbostream.engine.cuda.compile_cache import COMPILER, ROOT, sources

LOADED = f"""
import importlib, sys
importlib.import_module({COMPILER!r})
rooms = tuple(f"turbostream.engine.{{room}}." for room in ("model", "rewrite", "cuda"))
print(*(module.__file__ for name, module in sys.modules.items() if name.startswith(rooms)))
"""


def tree(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def test_every_module_that_the_compiler_loads_is_in_the_key() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=ROOT, capture_output=True, text=True, check=True
    )
    files = {Path(name) for name in loaded.stdout.split()}
    assert Path(compile_cache.__file__).with_name("aot.py") in files
    assert files <= set(sources(ROOT, COMPILER))


def test_a_module_that_is_imported_anywhere_is_found(tmp_path: Path) -> None:
    tree(
        tmp_path,
        {
            "a/__init__.py": "",
            "a/main.py": "from a import first\nfrom a.inside import name\nimport a.last, sys",
            "a/first.py": "def late():\n    from a.second import thing",
            "a/second.py": "from a import main  # a circle ends",
            "a/inside/__init__.py": "name = 1",
            "a/last.py": "",
            "a/other.py": "",
        },
    )
    found = [str(file.relative_to(tmp_path)) for file in sources(tmp_path, "a.main")]
    assert found == ["a/first.py", "a/inside/__init__.py", "a/last.py", "a/main.py", "a/second.py"]


def test_the_key_changes_with_a_source_and_with_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compile_cache, "ROOT", tmp_path)
    monkeypatch.setattr(compile_cache, "COMPILER", "a.main")
    files = {"a/main.py": "from a.part import x", "a/part.py": "x = 1", "a/other.py": "1"}
    keys = []
    for changed in ({}, {"a/part.py": "x = 2"}, {"a/main.py": "from a.part import x as y"}):
        tree(tmp_path, files | changed)
        keys += [compile_cache.key("job", "card"), compile_cache.key("another job", "card")]
    keys.append(compile_cache.key("another job", "another card"))
    assert len(set(keys)) == 7
    tree(tmp_path, {"a/other.py": "2"})
    assert compile_cache.key("another job", "another card") == keys[-1]

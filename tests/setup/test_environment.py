"""deploy/environment, the part of setup.sh that is Python."""

from __future__ import annotations

import ast
import importlib
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.setup.machine import ROOT, Machine, pins

FOLDER = ROOT / "deploy/environment"
FILES = sorted(FOLDER.glob("*.py"))
TORCH = pins((ROOT / "requirements.txt").read_text())["torch"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_it_uses_the_oldest_supported_python_and_its_standard_library_only(file: Path) -> None:
    tree = ast.parse(file.read_text(), feature_version=(3, 11))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module).partition(".")[0])
    assert imported <= sys.stdlib_module_names | {other.stem for other in FILES}


@pytest.fixture
def progress(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    before = dict(sys.modules)
    monkeypatch.syspath_prepend(str(FOLDER))
    module = importlib.import_module("progress")
    for name in sys.modules.keys() - before.keys():
        monkeypatch.delitem(sys.modules, name)
    return module


@pytest.mark.parametrize(
    ("log", "shown"),
    [
        ("", "working"),
        ("Collecting torch\n  Downloading https://x/a/torch-2.9-cp312.whl (1 MB)", "torch-2.9"),
        ("  Downloading torch-2.9-py3-none.whl\nProgress 1000 of 2000", "torch-2.9"),
        ("  Downloading a-1-cp311.whl\nProgress 30000000 of 90000000", "a-1: 30 of 90 MB"),
        ("  Downloading a-1-py3.whl\nInstalling collected packages: a, b\n", "unpacking"),
    ],
)
def test_the_progress_names_the_package_and_its_megabytes(
    progress: ModuleType, log: str, shown: str
) -> None:
    assert progress.summary(log) == shown


def test_a_half_installed_environment_gets_the_same_build_of_torch_again(
    quick_program: Machine, index: str
) -> None:
    quick_program.environment["TORCH_INDEX"] = index
    quick_program.fake_card("550.54.15", "8.9")
    quick_program.setup()
    (quick_program.home / ".venv/.setup/torn").touch()
    said = quick_program.setup().stderr
    assert "interrupted while unpacking: creating the environment again" in said
    assert quick_program.version_of("torch") == f"{TORCH}+cu126"


def test_without_the_folder_deploy_it_says_what_to_copy(program: Machine) -> None:
    shutil.rmtree(program.home / "deploy")
    [sentence] = program.setup(status=1).stderr.splitlines()
    assert sentence == (
        f"[setup] The folder {program.home}/deploy is missing: copy it there, and start again."
    )

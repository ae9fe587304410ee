from __future__ import annotations

import compileall
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.setup.machine import ROOT, Machine, serve, write_index


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with only setup.sh."""
    return Machine(tmp_path)


@pytest.fixture(scope="session")
def index_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    requirements = (ROOT / "requirements.txt").read_text()
    write_index(folder, [requirements, "pytest==9.2.0", "ray==2.60.0"], ["cpu", "cu126"])
    return folder


@pytest.fixture(scope="session")
def environment_template(index_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with only pip in it."""
    folder = tmp_path_factory.mktemp("template") / "venv"
    venv.create(folder, symlinks=True)
    [packages] = folder.glob("lib/python*/site-packages")
    [wheel] = (index_folder / "simple/pip").glob("*.whl")
    with zipfile.ZipFile(wheel) as pip:
        pip.extractall(packages)
    compileall.compile_dir(packages, quiet=2)
    return folder


@pytest.fixture
def quick_machine(machine: Machine, environment_template: Path) -> Machine:
    machine.hurry(environment_template)
    return machine


@pytest.fixture
def index(index_folder: Path) -> Iterator[str]:
    """The address of an index with small stand-ins for every pinned package."""
    with serve(index_folder) as address:
        yield address


@pytest.fixture
def program(machine: Machine, index: str) -> Machine:
    """A machine with the program's root files, which reaches PyPI's index, but not PyTorch's."""
    machine.copy("requirements.txt", "deploy")
    (machine.home / "requirements-dev.txt").write_text("pytest==9.2.0\n")
    (machine.home / "requirements-cluster.txt").write_text("ray==2.60.0\n")
    (machine.home / "realtime_stream.py").write_text(
        "import sys\nassert sys.argv[1:] == ['--check']\nopen('painted', 'a').write('x')\n"
    )
    machine.environment["PIP_INDEX_URL"] = f"{index}/simple/"
    return machine


@pytest.fixture
def quick_program(program: Machine, environment_template: Path) -> Machine:
    program.hurry(environment_template)
    return program

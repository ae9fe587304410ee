from __future__ import annotations

import importlib.metadata
import re
from itertools import zip_longest

import pytest

from tests.setup.machine import ROOT, Machine, normal, pins

REQUIREMENTS = (ROOT / "requirements.txt").read_text()
PINS = pins(REQUIREMENTS)
LISTS = ["requirements.txt", "requirements-dev.txt", "requirements-cluster.txt"]
DEV_PINS = pins("".join((ROOT / name).read_text() for name in LISTS[1:]))
NINE = [
    "torch",
    "diffusers",
    "transformers",
    "accelerate",
    "xformers",
    "Flask",
    "Flask-CORS",
    "Pillow",
    "NumPy",
]
NVIDIA_ONLY = {"xformers", "nvidia-cuda-runtime-cu12"}
# Below these, known CVEs.
FLOORS = {
    "torch": "2.10",
    "transformers": "5.3",
    "diffusers": "0.38",
    "pillow": "10.3",
    "flask-cors": "6.0",
}


@pytest.mark.parametrize("file", LISTS)
def test_every_pin_is_exact(file: str) -> None:
    for line in (ROOT / file).read_text().splitlines():
        assert re.fullmatch(r"[A-Za-z0-9_-]+==[0-9]+(\.[0-9]+)+|#.*|", line), line


@pytest.mark.parametrize("name", NINE)
def test_the_list_names_all_nine_packages(name: str) -> None:
    assert normal(name) in PINS


@pytest.mark.parametrize("name", FLOORS)
def test_no_pin_is_below_a_known_vulnerability(name: str) -> None:
    parts = zip_longest(PINS[name].split("."), FLOORS[name].split("."), fillvalue="0")
    pinned, floor = zip(*((int(a), int(b)) for a, b in parts), strict=True)
    assert pinned >= floor


def test_the_tests_run_with_the_pinned_versions() -> None:
    wanted = {name: v for name, v in {**PINS, **DEV_PINS}.items() if name not in NVIDIA_ONLY}
    here = {name: importlib.metadata.version(name).split("+")[0] for name in wanted}
    assert here == wanted


def test_the_development_list_repeats_no_pin() -> None:
    assert not PINS.keys() & DEV_PINS.keys()


def test_no_script_has_a_second_list_of_versions() -> None:
    for script in [
        ROOT / "Makefile",
        ROOT / ".ci/run",
        *ROOT.glob("*.sh"),
        *ROOT.glob("deploy/*.sh"),
    ]:
        assert not re.search(r"[a-z]==[0-9]", script.read_text()), script


def test_the_list_for_the_cpu_leaves_out_what_only_a_card_needs(
    machine: Machine,
) -> None:
    machine.copy("requirements.txt", "deploy")
    listed = pins(machine.setup("--list").stdout)
    assert listed == {name: v for name, v in PINS.items() if name not in NVIDIA_ONLY}


def test_the_list_for_a_card_with_a_new_driver_is_the_file(machine: Machine) -> None:
    machine.copy("requirements.txt", "deploy")
    machine.fake_card("580.65.06", "8.9")
    assert pins(machine.setup("--list").stdout) == PINS


@pytest.mark.parametrize(
    ("driver", "capability"), [("550.54.15", "8.9"), ("580.65.06", "7.0"), ("525.60.13", "9.0")]
)
def test_the_list_for_an_older_driver_or_card_leaves_the_runtime_to_torch(
    machine: Machine, driver: str, capability: str
) -> None:
    machine.copy("requirements.txt", "deploy")
    machine.fake_card(driver, capability)
    listed = pins(machine.setup("--list").stdout)
    assert listed == {k: v for k, v in PINS.items() if k != "nvidia-cuda-runtime-cu12"}


def test_the_list_for_the_cpu_can_be_chosen_with_a_card(machine: Machine) -> None:
    machine.copy("requirements.txt", "deploy")
    machine.fake_card("580.65.06", "8.9")
    assert "xformers" not in pins(machine.setup("--list", "--cpu").stdout)

"""The list of states in the files that cannot import it: the page and the scripts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from turbostream.stream.state import State
from turbostream.web.live.placeholder import TITLES

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "turbostream" / "web" / "page"
STATES = {str(state) for state in State}
OF_THE_PAGE = {"connecting", "lost", "refused"}  # what only a window can know of its stream
OF_THE_BROWSER = {"granted", "connected"}  # of a permission, and of a MIDI port
SCRIPTS = sorted([*ROOT.glob("*.sh"), *(ROOT / "deploy").rglob("*.sh")])

# A state that is compared with, as each language writes it.
COMPARED_BY_THE_PAGE = re.compile(r"\bstate\b\)?\s*[!=]==\s*'([a-z-]+)'")
STYLED = re.compile(r'\[data-state="([a-z-]+)"\]')
COMPARED_BY_A_SCRIPT = re.compile(r'\$\{?state\}?"?\s*[!=]=\s*"?([a-z-]+)')
LISTED_BY_A_SCRIPT = re.compile(r"^HOST_FAILED_STATES=\((.*)\)$", re.MULTILINE)


def states_of_the_page() -> set[str]:
    """The names that page.js has a word for."""
    found = re.search(r"^const STATES = \{(.*?)^\};", (PAGE / "page.js").read_text(), re.M | re.S)
    assert found, "page.js has no list of states"
    return set(re.findall(r"([a-z]+): '", re.sub(r"//.*", "", found[1])))


def test_the_page_has_a_word_for_every_state_and_for_no_other() -> None:
    assert states_of_the_page() == STATES | OF_THE_PAGE


def test_the_placeholder_has_a_title_for_every_state_and_for_no_other() -> None:
    assert set(TITLES) == set(State)


@pytest.mark.parametrize("file", sorted(PAGE.glob("*.js")), ids=lambda file: file.name)
def test_a_script_of_the_page_compares_with_states_that_exist(file: Path) -> None:
    found = set(COMPARED_BY_THE_PAGE.findall(file.read_text()))
    assert found <= STATES | OF_THE_PAGE | OF_THE_BROWSER


def test_the_page_compares_with_the_states_that_it_treats_differently() -> None:
    """The pattern above still finds something."""
    found = COMPARED_BY_THE_PAGE.findall((PAGE / "page.js").read_text())
    assert set(found) == {"downloading", "failed"}


def test_the_style_sheet_knows_states_that_exist() -> None:
    found = set(STYLED.findall((PAGE / "style.css").read_text()))
    assert found >= {"streaming", "resting", "failed"}
    assert found <= STATES | OF_THE_PAGE


def test_the_scripts_list_the_failed_states_once_and_they_exist() -> None:
    lists = [found for file in SCRIPTS for found in LISTED_BY_A_SCRIPT.findall(file.read_text())]
    assert [set(names.split()) for names in lists] == [{State.FAILED}]


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_no_script_compares_the_state_with_a_name_of_its_own(file: Path) -> None:
    assert COMPARED_BY_A_SCRIPT.findall(file.read_text()) == []

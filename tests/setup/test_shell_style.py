from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.setup.machine import ROOT

SCRIPTS = [ROOT / ".ci/run", *sorted(ROOT.glob("*.sh")), *sorted(ROOT.glob("deploy/**/*.sh")),
           *sorted(ROOT.glob("training/*.sh"))]  # fmt: skip

# What macOS's Bash 3.2 does not know, or breaks on.
NOT_IN_BASH_3_2 = {
    "associative array": r"\b(declare|local|typeset) -[a-zA-Z]*[An]\b",
    "mapfile": r"\b(mapfile|readarray)\b",
    "case change": r"\$\{[A-Za-z_]\w*(\[[^]]*\])?(,,?|\^\^?)",
    "transformation": r"\$\{[A-Za-z_]\w*(\[[^]]*\])?@[A-Za-z]\}",
    "printf time": r"printf [^|;]*%\([^)]*\)T",
    "|& or &>>": r"\|&|&>>",
    "wait -n": r"\bwait -[a-z]*[np]",
    "negative index": r"\$\{[A-Za-z_]\w*\[ *-[0-9]",
    "coproc": r"^\s*coproc\b",
    "epoch variables": r"\bEPOCH(SECONDS|REALTIME)\b",
    "fractional read": r"\bread\b[^|;]* -t *[0-9]*\.[0-9]",
}


def code(script: Path) -> str:
    return re.sub(r"(^|\s)#.*$", r"\1", script.read_text(), flags=re.MULTILINE)


def bare_arrays(text: str) -> list[str]:
    """Arrays that may be empty and are expanded bare: Bash 3.2 calls that an unset variable."""
    text = re.sub(r'\$\{\w+\[@\]\+"\$\{\w+\[@\]\}"\}', "", text)  # the guarded form
    functions = re.findall(r"^\w+\(\) \{.*?^\}", text, re.MULTILINE | re.DOTALL)
    local = [set(re.findall(r"\blocal\b.*?\b(\w+)=\(\)", body)) for body in functions]
    anywhere = set(re.findall(r"\b(\w+)=\(\)", text)) - set().union(*local)
    found = anywhere & set(re.findall(r"\$\{(\w+)\[@\]", text))
    for names, body in zip(local, functions, strict=True):
        found |= names & set(re.findall(r"\$\{(\w+)\[@\]", body))
    return sorted(found)


def named(scripts: list[Path]) -> list[object]:
    return [pytest.param(script, id=str(script.relative_to(ROOT))) for script in scripts]


@pytest.mark.parametrize("script", named(SCRIPTS))
def test_shellcheck_finds_nothing(script: Path) -> None:
    tool = Path(sys.executable).with_name("shellcheck")
    found = str(tool) if tool.exists() else shutil.which("shellcheck")
    assert found, "run ./setup.sh --dev"
    done = subprocess.run([found, "-x", str(script)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", named(SCRIPTS))
def test_bash_3_2_of_macos_can_run_it(script: Path) -> None:
    text = code(script)
    found = {
        what: m[0] for what, rule in NOT_IN_BASH_3_2.items() if (m := re.search(rule, text, re.M))
    }
    assert not found
    assert not bare_arrays(text)


@pytest.mark.parametrize(
    "line",
    [
        "declare -A map",
        "local -n ref=$1",
        "mapfile -t lines",
        "echo ${name,,}",
        "echo ${name^^}",
        "make |& tee log",
        "echo ${list[-1]}",
        "printf '%(%s)T' -1",
    ],
)
def test_the_rules_for_bash_3_2_find_what_they_name(line: str) -> None:
    assert any(re.search(rule, line) for rule in NOT_IN_BASH_3_2.values())


def test_the_rules_for_bash_3_2_find_a_bare_empty_array() -> None:
    assert bare_arrays('a=()\nrun "${a[@]}"') == ["a"]
    assert bare_arrays('a=()\nrun ${a[@]+"${a[@]}"}') == []
    assert bare_arrays('a=(x)\nrun "${a[@]}"') == []


@pytest.mark.parametrize("script", named([s for s in SCRIPTS if os.access(s, os.X_OK)]))
def test_every_script_that_is_run_stops_at_its_first_error(script: Path) -> None:
    text = script.read_text()
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "\nset -Eeuo pipefail\n" in text


# The functions that ask a server on this machine, and how: no proxy of the environment and no
# setting in ~/.curlrc (--disable has to come first) may answer in its place.
LOOPBACK_ASKERS = {"server_status.sh": "host_ask", "tunnel_to_stream.sh": "tunnel_ask"}
DIRECTLY = "curl --disable --noproxy '*' "


def loopback_questions(text: str, asker: str) -> list[str]:
    """Lines that send a request to this machine without `asker`."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        here = re.search(r"127\.|localhost|\[::1\]|0\.0\.0\.0", line)
        if not here or not re.search(r"\b(curl|wget)\b|urlopen|/dev/tcp/\S*/\$?\w+.*GET", line):
            continue
        if not (asker and DIRECTLY in line):
            found.append(line.strip())
    return found


@pytest.mark.parametrize("script", named(SCRIPTS))
def test_a_request_to_this_machine_uses_no_proxy(script: Path) -> None:
    text, asker = code(script), LOOPBACK_ASKERS.get(script.name, "")
    assert not loopback_questions(text, asker)
    calls = re.findall(r"^.*\bcurl\b +-.*$", text, re.MULTILINE)
    assert all(DIRECTLY in call for call in calls)
    assert len(calls) == (1 if asker else 0)
    if asker:
        assert re.search(rf"^{asker}\(\) \{{[^}}]*{re.escape(DIRECTLY)}", text, re.MULTILINE)


@pytest.mark.parametrize(
    "line",
    [
        'curl --silent "http://127.0.0.1:$port/status"',
        "curl --noproxy '*' http://localhost:8000/",
        "wget -qO- http://[::1]:8000/",
        "curl --silent \\\n  http://localhost/",
    ],
)
def test_the_rule_for_requests_to_this_machine_finds_them(line: str) -> None:
    assert loopback_questions(line, "host_ask")


def test_no_python_code_opens_a_url_through_an_unnoticed_proxy() -> None:
    """urlopen takes those of the environment; with an opener the choice is visible."""
    files = list(ROOT.glob("*.py"))
    for folder in ("turbostream", "deploy", "benchmarks", "training"):
        files += (ROOT / folder).rglob("*.py")
    assert len(files) > 50
    assert not [file for file in files if re.search(r"\burlopen\(", file.read_text())]

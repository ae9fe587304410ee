"""The virtual environment: created, filled step by step, and what is remembered of each step.

A finished step leaves a mark in .setup below the environment, with a key of all that it depends on.
While pip may be unpacking, the mark `torn` is there as well: a package that was unpacked in part
looks installed to pip, so an environment that was left with it is created again.
"""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from pathlib import Path

from build import INDEX, INDEX_WAIT_S, Build, Pins, find_tag
from messages import SetupError, say
from progress import Runner

FORMAT = 1  # raise it to have every environment created again
EXTRAS = {  # step: (what needs the packages, the files that list them)
    "cluster": ("the workers of a cluster", ("requirements-cluster.txt",)),
    "dev": ("the tests and linters", ("requirements-dev.txt", "requirements-cluster.txt")),
}
PIP = ("-m", "pip", "install", "--disable-pip-version-check")


class VirtualEnvironment:
    """`again`: one that exists counts as unusable, so that it is created again."""

    def __init__(self, folder: Path, root: Path, build: Build, free_gb: int, again: bool) -> None:
        self.folder, self._build, self._free_gb, self._again = folder, build, free_gb, again
        self._version = ""  # of its Python, once it was asked
        self.python = folder / "bin/python"
        self._marks = folder / ".setup"
        self._list = self._marks / "requirements"
        self.pins = Pins(root / "requirements.txt")
        self._root = root

    # -- what is done ----------------------------------------------------------------------------

    def key(self, step: str) -> str:
        """What the step's mark has to say: all that its result depends on."""
        if step == "home":
            return f"{FORMAT} {self._build.kind} {self._python_version()}"
        base = f"{self.key('home')} {_hash(self.pins.lines)}"
        if step in EXTRAS:
            return f"{base} {_hash(self.listed_extra(step))}"
        return base  # base and check

    def is_done(self, step: str) -> bool:
        try:
            return (self._marks / step).read_text("utf-8").rstrip("\n") == self.key(step)
        except OSError:
            return False

    def mark(self, step: str) -> None:
        (self._marks / step).write_text(f"{self.key(step)}\n", "utf-8")

    @property
    def is_torn(self) -> bool:
        return (self._marks / "torn").exists()

    @property
    def is_usable(self) -> bool:
        """Nothing is half installed, and it is of the right kind."""
        return not self._again and not self.is_torn and self.is_done("home")

    def _python_version(self) -> str:
        """Of the environment; empty if it has no Python that runs."""
        ask = "import sys; print('%d.%d' % sys.version_info[:2])"
        if not self._version and self.python.exists():
            command = [str(self.python), "-c", ask]
            asked = subprocess.run(command, capture_output=True, text=True, check=False)
            self._version = asked.stdout.strip()
        return self._version

    # -- the steps -------------------------------------------------------------------------------

    def create(self, base: str, runner: Runner) -> None:
        """Create it, with pip in it, unless there is one that works."""
        if self.is_usable and self._has_pip():
            return
        if self.is_torn:
            say("the last run was interrupted while unpacking: creating the environment again.")
        say(f"creating {self.folder} with {base}")
        if not runner.run(base, "-m", "venv", "--clear", str(self.folder)):
            raise SetupError(f"{base} could not create {self.folder}; its output is shown above.")
        self._again, self._version = False, ""
        self._marks.mkdir(exist_ok=True)
        (self._marks / "torn").touch()
        if not runner.run(str(self.python), *PIP, "--upgrade", "pip>=25.1"):
            raise SetupError(
                "pip could not be upgraded: check the network, and run ./setup.sh again."
            )
        (self._marks / "torn").unlink()
        self.mark("home")

    def install(self, tag: str, runner: Runner) -> None:
        """The pinned packages; `tag` names the build of torch to take from PyTorch's index."""
        if self.is_done("base"):
            return
        if self._build.kind == "cpu" and not tag and platform.system() == "Linux":
            self._warn_of_plain_pip()
        lines = self.listed(tag)
        self._list.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        index = ["--extra-index-url", f"{INDEX}/{tag}"] if tag else []
        say(f"installing {len(lines)} pinned packages and their dependencies ({self._build})")
        self._pip("The packages", runner, *index, "-r", str(self._list))
        self.mark("base")

    def install_extra(self, step: str, runner: Runner) -> None:
        """`step` is one of EXTRAS."""
        if self.is_done(step):
            return
        purpose, _ = EXTRAS[step]
        say(f"installing what {purpose} need")
        lists = [word for file in self._files(step) for word in ("-r", str(file))]
        self._pip(f"The packages for {purpose}", runner, *lists, "-c", str(self._list))
        self.mark(step)

    def listed_extra(self, step: str) -> list[str]:
        """What `step` installs beside `listed`, as its files have it."""
        return [line for file in self._files(step) for line in file.read_text("utf-8").splitlines()]

    def _files(self, step: str) -> list[Path]:
        missing = [name for name in EXTRAS[step][1] if not (self._root / name).exists()]
        if missing:
            raise SetupError(
                f"{missing[0]} is not beside setup.sh: copy it there, and run ./setup.sh again."
            )
        return [self._root / name for name in EXTRAS[step][1]]

    def listed(self, tag: str = "") -> list[str]:
        return self.pins.listed(self._build, tag)

    def choose_torch(self) -> str:
        """The tag of PyTorch's index, asked for and the disk checked before anything is created."""
        if self.is_usable and self.is_done("base"):
            return ""
        if self._build.kind == "cpu":
            self._need_disk(3, "torch for the CPU")
        else:
            self._need_disk(12, "torch for CUDA (a download of about 3 GB)")
        return find_tag(self._build, self.pins.torch)

    def _pip(self, what: str, runner: Runner, *arguments: str) -> None:
        torn = self._marks / "torn"
        torn.touch()
        bar = ("--no-input", "--progress-bar", "on" if runner.is_verbose else "raw")
        if not runner.run(str(self.python), *PIP, *bar, *arguments):
            if not runner.is_verbose and not runner.log_has("Installing collected packages"):
                torn.unlink()
            raise SetupError(
                f"{what} could not be installed; pip's output is shown above. Run ./setup.sh again "
                "once the cause is fixed: it continues from here."
            )
        torn.unlink()

    def _has_pip(self) -> bool:
        command = [str(self.python), "-m", "pip", "--version"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def _need_disk(self, need_gb: int, what: str) -> None:
        if self._free_gb < need_gb:
            raise SetupError(
                f"{what} needs {need_gb} GB of disk, and {self.folder.parent} has "
                f"{self._free_gb} GB free: make room, or choose another disk with --venv DIR."
            )

    def _warn_of_plain_pip(self) -> None:
        """Without PyTorch's index: what plain pip would download instead of the CPU build."""
        say(
            f"PyTorch's index ({INDEX}/cpu) did not answer within {INDEX_WAIT_S:g} s: taking torch "
            "from plain pip."
        )
        offered = self._offered_torch()
        if offered.endswith("+cpu"):
            say(f"pip offers a CPU build ({offered}): a download of about 200 MB.")
        elif platform.machine() == "x86_64":
            say(
                "on Linux that is the CUDA build: more than 1 GB to fetch, about 3 GB, and 6 GB on "
                "the disk. It also runs without a card. Press Ctrl-C now if that is too much."
            )
            self._need_disk(10, "plain pip's torch")

    def _offered_torch(self) -> str:
        """The version of torch that plain pip would install; empty if it does not say."""
        dry_run = ("-q", "--dry-run", "--ignore-installed", "--no-deps", "--report", "-")
        asked = subprocess.run(
            [str(self.python), *PIP, *dry_run, f"torch=={self.pins.torch}"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        try:
            return str(json.loads(asked.stdout)["install"][0]["metadata"]["version"])
        except (ValueError, LookupError, TypeError):
            return ""


def _hash(lines: list[str]) -> str:
    text = "".join(f"{line}\n" for line in lines)
    return hashlib.sha256(text.encode()).hexdigest()[:16]

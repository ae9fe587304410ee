"""Which build of torch this machine gets, and the list of packages that follows from it.

A build is cpu (no NVIDIA card), cu13 (PyPI's build for CUDA 13) or cu12 (a CUDA 12 build from
PyTorch's own index, for older drivers and cards).
"""

from __future__ import annotations

import os
import platform
import re
import ssl
import threading
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from messages import SetupError

INDEX = os.environ.get("TORCH_INDEX") or "https://download.pytorch.org/whl"
INDEX_WAIT_S = float(os.environ.get("TORCH_INDEX_WAIT_S") or 10)

CUDA_13_DRIVER = (580, 0)
TURING = (7, 5)  # the oldest compute capability that CUDA 13 supports
BLACKWELL = (10, 0)  # supported from CUDA 12.8 on; Volta and older up to CUDA 12.6


def version(text: str) -> tuple[int, ...]:
    """The first two numbers of 570.86.15; () for an empty text."""
    return tuple(int(number) for number in re.findall(r"[0-9]+", text)[:2])


@dataclass(frozen=True)
class Build:
    """A kind of build, for the card whose driver it was chosen for (empty without a card)."""

    kind: str
    driver: str = ""
    cu12_tags: tuple[str, ...] = ()  # the CUDA 12 builds that the card supports, newest first

    @classmethod
    def choose(cls, want: str, driver: str, capability: str) -> Build:
        """`want` is cpu, gpu or empty: whatever was found."""
        if want == "cpu" or not driver:
            return cls("cu13" if want == "gpu" else "cpu")
        card = version(capability)
        tags: tuple[str, ...] = ("cu129", "cu128", "cu126")
        if card and card >= BLACKWELL:
            tags = ("cu129", "cu128")
        elif card and card < TURING:
            tags = ("cu126",)
        is_new = version(driver) >= CUDA_13_DRIVER and (not card or card >= TURING)
        return cls("cu13" if is_new else "cu12", driver, tags)

    def __str__(self) -> str:
        return {
            "cpu": "for the CPU",
            "cu12": f"for an NVIDIA card with driver {self.driver}: CUDA 12",
            "cu13": "for an NVIDIA card: CUDA 13",
        }[self.kind]


class Pins:
    """requirements.txt, and how it becomes this machine's list: here and nowhere else."""

    def __init__(self, file: Path) -> None:
        lines = (re.sub(r"\s*#.*", "", line) for line in file.read_text("utf-8").splitlines())
        self.lines = [line for line in lines if line.strip()]

    @property
    def torch(self) -> str:
        """The pinned version of torch."""
        return next(line.partition("==")[2] for line in self.lines if line.startswith("torch=="))

    def listed(self, build: Build, tag: str = "") -> list[str]:
        """The packages of this build; `tag` is that of PyTorch's index, as in torch==2.9.1+cpu."""
        left_out = {
            "cpu": "xformers|nvidia-[a-z0-9-]*",
            "cu12": "nvidia-[a-z0-9-]*",  # this build of torch brings its own
            "cu13": "",
        }[build.kind]
        if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
            left_out = "xformers|nvidia-[a-z0-9-]*"  # xformers has no other build
        lines = [line for line in self.lines if not re.match(rf"({left_out})==", line)]
        if tag:
            lines = [re.sub(r"^(torch==[^+]*)$", rf"\1+{tag}", line) for line in lines]
        return lines


def index_has(tag: str, torch: str) -> bool:
    """PyTorch's index answers in time, and lists this version of torch in that build."""
    url = f"{INDEX}/{tag}/torch/"
    authorities = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
    found: list[str] = []

    def fetch() -> None:
        try:
            context = ssl.create_default_context(cafile=authorities or None)
            opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
            with opener.open(url, timeout=INDEX_WAIT_S) as page:
                found.append(page.read().decode("utf-8", "replace"))
        except (OSError, ValueError):
            return

    # In a thread: no timeout covers the name look-up or a server that sends a byte now and then.
    fetching = threading.Thread(target=fetch, name="package-index", daemon=True)
    fetching.start()
    fetching.join(INDEX_WAIT_S)
    return any(
        f"torch-{torch}{plus}{tag}-" in page for page in found for plus in ("+", "%2B", "%2b")
    )


def find_tag(build: Build, torch: str) -> str:
    """The tag of the build to take from PyTorch's index; empty: torch comes from plain pip."""
    if build.kind == "cpu":
        return "cpu" if platform.system() == "Linux" and index_has("cpu", torch) else ""
    if build.kind == "cu13":
        return ""
    for tag in build.cu12_tags:
        if index_has(tag, torch):
            return tag
    raise SetupError(
        f"the NVIDIA driver {build.driver} needs a CUDA 12 build of torch {torch}, and {INDEX} has "
        f"none that this card supports (tried: {' '.join(build.cu12_tags)}): make it reachable, "
        "set TORCH_INDEX to a mirror, update the driver to 580 or newer, or use --cpu."
    )

"""The check at the end: every package imports, the card is reached, and one frame is rendered."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from messages import SetupError, say

IMPORTS = """
import importlib, sys, warnings

warnings.simplefilter("ignore")
for name in sys.argv[2:]:
    try:
        importlib.import_module(name)
    except Exception as error:
        sys.exit(f"[setup] {name} does not import: {error}")
if sys.argv[1] == "cuda":
    import torch

    if not torch.cuda.is_available():
        sys.exit("[setup] torch is installed, but does not reach the NVIDIA card.")
"""
MODULES = (
    "torch", "diffusers", "transformers", "accelerate", "safetensors", "huggingface_hub",
    "flask", "flask_cors", "werkzeug", "gevent", "PIL", "numpy",
)  # fmt: skip


def check_imports(python: Path, has_card: bool) -> None:
    say("checking: importing every package")
    device = "cuda" if has_card else "cpu"
    if _run([str(python), "-c", IMPORTS, device, *MODULES]) != 0:
        raise SetupError(
            "The check failed; the reason is shown above. ./setup.sh --force creates the "
            "environment again."
        )


def render_frame(python: Path, root: Path) -> bool:
    """True if one was rendered; False if the program is not there yet."""
    if not (root / "realtime_stream.py").exists():
        say("realtime_stream.py is not here yet: no frame was rendered.")
        return False
    say("checking: rendering one frame")
    if _run([str(python), "realtime_stream.py", "--check"], root) != 0:
        raise SetupError(
            "No frame was rendered; the reason is shown above. Run ./setup.sh again once the cause "
            "is fixed."
        )
    return True


def _run(command: list[str], folder: Path | None = None) -> int:
    process = subprocess.Popen(command, cwd=folder, stdout=sys.stderr)
    try:
        return process.wait()
    except BaseException:  # a signal ends the setup, and with it what it runs
        process.terminate()
        process.wait()
        raise

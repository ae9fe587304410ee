"""Resolves MODEL_ID: the demo model, a local folder or a repository on the hub.

No torch and no diffusers: `find` runs before anything slow is imported, so that a wrong MODEL_ID is
answered immediately with one sentence. `hub.py` downloads.
"""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from turbostream.engine.weights import kinds, model_files, single_file
from turbostream.stream.engine_api import EngineUnusable

log = logging.getLogger(__name__)

DEMO_FOLDER = Path(__file__).resolve().parents[2] / "demo_model"
SD_TURBO = "stabilityai/sd-turbo"
# The newest on 2026-11-23. A pinned revision cannot change unnoticed.
REVISIONS = {SD_TURBO: "b261bac6fd2cf515557d5d0707481eafa0485ec2"}


HUB_ID = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w.-]+(?:/[\w.-]+)*))?")


@dataclass(frozen=True)
class Weights:
    """The resolved MODEL_ID: a local folder or single file, or a repository to download.

    model_id: as given; of a repository with or without @revision, which is a branch, a tag or a
    commit. folder: a single file's is its own path. many_steps: accept a model made for many steps.
    """

    model_id: str
    folder: Path | None
    demo: bool
    many_steps: bool = False

    @property
    def repository(self) -> str:
        """The hub's name of the model; of a folder, the folder as given."""
        return self.model_id if self.folder else self.model_id.partition("@")[0]

    @property
    def revision(self) -> str | None:
        """The one to use; None: the newest."""
        if self.folder is not None:
            return None
        return self.model_id.partition("@")[2] or REVISIONS.get(self.repository)


def find(model_id: str, device: str, many_steps: bool = False) -> Weights:
    """Resolve MODEL_ID; raises EngineUnusable with one sentence if it is not usable.

    `auto` is SD-Turbo on a machine with an NVIDIA GPU or with DEVICE=cuda, else the demo model.
    many_steps: accept a model made for many steps.
    """
    if model_id == "auto":
        gpu = device == "cuda" or (device == "auto" and _has_nvidia_gpu())
        model_id = SD_TURBO if gpu else "demo"
    if model_id == "demo":
        return Weights("demo", checked(DEMO_FOLDER, str(DEMO_FOLDER)), demo=True)
    shown = model_id if len(model_id) <= 200 else model_id[:197] + "..."
    try:
        path = Path(model_id).expanduser()
        exists, is_folder = path.exists(), path.is_dir()
    except RuntimeError:
        raise EngineUnusable(
            f"MODEL_ID {shown} begins with a ~ that names no home directory on this machine; give "
            "the folder's full path."
        ) from None
    except OSError as error:
        raise EngineUnusable(
            f"MODEL_ID {shown} cannot be accessed ({error.strerror}); give a readable folder or a "
            f"hub id such as {SD_TURBO}."
        ) from None
    if is_folder:
        folder = checked(path, shown, many_steps)
        return Weights(model_id, folder, path.resolve() == DEMO_FOLDER, many_steps)
    if exists:
        single_file.identify(shown, path, many_steps)
        return Weights(model_id, path, False, many_steps)
    if model_id.startswith((".", "/", "~")) or not HUB_ID.fullmatch(model_id):
        raise EngineUnusable(
            f"MODEL_ID {shown!r} is neither a folder nor a hub id such as {SD_TURBO}, which may be "
            "followed by @ and a revision."
        )
    return Weights(model_id, None, False, many_steps)


def _has_nvidia_gpu() -> bool:
    """Ask nvidia-smi, because importing torch would delay the answer to a wrong setting."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return False
    try:
        listed = subprocess.run(
            [program, "-L"], capture_output=True, text=True, timeout=10, check=False
        )
    except subprocess.TimeoutExpired:
        log.warning("nvidia-smi did not answer within 10 s; continuing without a GPU.")
        return False
    return listed.returncode == 0 and "GPU" in listed.stdout


def checked(folder: Path, name: str, many_steps: bool = False) -> Path:
    """The folder, if it holds a complete pipeline; else EngineUnusable says what is wrong.

    name: the model's name in that sentence. many_steps: as in `kinds.check_kind`.
    """
    try:
        files = model_files.files_of(folder)
    except OSError as error:
        raise EngineUnusable(
            f"The model folder {name} cannot be read ({error.strerror}); make it readable or give "
            "another MODEL_ID."
        ) from None
    if model_files.INDEX not in files:
        raise kinds.no_pipeline(name, files)
    row = kinds.check_kind(name, folder, many_steps)
    missing = model_files.missing_file(files, row)
    if missing and (pickled := model_files.pickle_instead(files, missing)):
        raise EngineUnusable(
            f"The model {name} cannot be used: {model_files.pickle_problem(pickled)}, or give "
            "another MODEL_ID."
        )
    try:
        missing = missing or model_files.missing_shard(folder, files, row)
    except ValueError as error:
        raise EngineUnusable(
            f"The model {name} cannot be used: {error}; copy it again or give another MODEL_ID."
        ) from None
    if missing:
        raise EngineUnusable(
            f"The model {name} is incomplete: {missing} is missing; copy the whole folder again or "
            "give another MODEL_ID."
        )
    if damaged := model_files.damaged_file(folder, model_files.wanted_files(files, row)):
        file, what = damaged
        raise EngineUnusable(
            f"The model {name} cannot be used: {file} is damaged ({what}); copy it again or give "
            "another MODEL_ID."
        )
    kinds.check_words(name, folder)
    return folder

"""Where the weights are: the demo model, a local folder or the hub; fetched with progress.

No torch and no diffusers in here: `find` runs before anything slow, and answers a wrong MODEL_ID
with one sentence. Downloads go through huggingface_hub, which goes on after a dropped line, keeps
whole files in its own cache and begins half ones anew in the next run; HF_ENDPOINT (its own
variable) points it at a mirror.
"""

from __future__ import annotations

import errno
import fnmatch
import json
import logging
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from turbostream.engine.byte_counter import ByteCounter
from turbostream.stream.seam import EngineUnusable, Progress, Report

log = logging.getLogger(__name__)

DEMO_FOLDER = Path(__file__).resolve().parent.parent / "demo_model"
SD_TURBO = "stabilityai/sd-turbo"
TAESD = "madebyollin/taesd"  # the tiny decoder, MIT
# Read on 2026-11-23. A pinned revision cannot change under us.
REVISIONS = {SD_TURBO: "b261bac6fd2cf515557d5d0707481eafa0485ec2"}

WEIGHT_SUFFIXES = (".safetensors", ".bin")
# What each component of a pipeline's folder needs besides its weights.
NEEDED = {
    "unet": ("config.json",),
    "vae": ("config.json",),
    "text_encoder": ("config.json",),
    "scheduler": ("scheduler_config.json",),
    "tokenizer": ("tokenizer_config.json",),
}


@dataclass(frozen=True)
class Weights:
    """What MODEL_ID stands for on this machine: a local folder, or a repository to fetch."""

    model_id: str
    folder: Path | None
    demo: bool

    @property
    def revision(self) -> str | None:
        return REVISIONS.get(self.model_id)


def find(model_id: str, device: str) -> Weights:
    """Resolve MODEL_ID; raises EngineUnusable with one sentence if it cannot be meant.

    `auto` is SD-Turbo where an NVIDIA GPU is (or DEVICE asks for one), else the demo model.
    """
    if model_id == "auto":
        gpu = device == "cuda" or (device == "auto" and _has_nvidia_gpu())
        model_id = SD_TURBO if gpu else "demo"
    if model_id == "demo":
        return Weights("demo", _checked(DEMO_FOLDER), demo=True)
    path = Path(model_id).expanduser()
    if path.is_dir():
        return Weights(model_id, _checked(path), demo=path.resolve() == DEMO_FOLDER)
    if path.exists():
        raise EngineUnusable(
            f"MODEL_ID {model_id} is a file; give the folder that holds the model."
        )
    if model_id.startswith((".", "/", "~")) or not re.fullmatch(r"[\w.-]+/[\w.-]+", model_id):
        raise EngineUnusable(
            f"MODEL_ID {model_id!r} is neither a folder nor a hub id such as {SD_TURBO}."
        )
    return Weights(model_id, None, demo=False)


def _has_nvidia_gpu() -> bool:
    """Asked of the driver, since asking torch costs seconds before a wrong setting is answered."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return False
    try:
        listed = subprocess.run(
            [program, "-L"], capture_output=True, text=True, timeout=10, check=False
        )
    except subprocess.TimeoutExpired:
        log.warning("nvidia-smi did not answer in 10 s; going on without a GPU.")
        return False
    return listed.returncode == 0 and "GPU" in listed.stdout


def _checked(folder: Path) -> Path:
    """The folder, if all of a pipeline is there; else EngineUnusable that names what is not."""

    def missing(what: str) -> EngineUnusable:
        return EngineUnusable(
            f"The model folder {folder} is incomplete: {what} is missing; "
            "copy the whole folder again or give another MODEL_ID."
        )

    index = folder / "model_index.json"
    if not index.is_file():
        raise missing("model_index.json")
    try:
        components = json.loads(index.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise EngineUnusable(f"{index} cannot be read ({error}); copy it again.") from error
    for name, value in components.items():
        if name not in NEEDED or not isinstance(value, list) or value[:1] == [None]:
            continue
        part = folder / name
        for file in NEEDED[name]:
            if not (part / file).is_file():
                raise missing(f"{name}/{file}")
        if name == "tokenizer":
            whole = (part / "tokenizer.json").is_file()
            for file in () if whole else ("vocab.json", "merges.txt"):
                if not (part / file).is_file():
                    raise missing(f"{name}/{file}")
        elif name != "scheduler" and not any(
            entry.suffix in WEIGHT_SUFFIXES for entry in part.iterdir()
        ):
            stem = "model" if name == "text_encoder" else "diffusion_pytorch_model"
            raise missing(f"{name}/{stem}.safetensors")
    return folder


def wanted_files(files: Iterable[str]) -> list[str]:
    """The files of a hub repository that the pipeline needs: fp16 safetensors where there are
    any, never the same weights twice, and nothing that is not used (safety checker, ONNX)."""
    inside = [
        file
        for file in files
        if file == "model_index.json" or file.split("/")[0] in NEEDED and file.count("/") == 1
    ]
    wanted = []
    for component in ("", *NEEDED):
        here = [file for file in inside if file.rpartition("/")[0] == component]
        weights = [file for file in here if file.endswith(WEIGHT_SUFFIXES)]
        wanted += [file for file in here if file.endswith((".json", ".txt"))]
        for pattern in ("*.fp16.safetensors", "*.safetensors", "*.bin"):
            chosen = fnmatch.filter(weights, pattern)
            if pattern != "*.fp16.safetensors":
                chosen = [file for file in chosen if not re.search(r"\.(fp16|non_ema)\.", file)]
            if chosen:
                wanted += chosen
                break
    return wanted


def fetch(weights: Weights, report: Report) -> Path:
    """The local folder of the weights, downloaded if need be, with bytes reported on the way.

    Raises EngineUnusable with the way out when it cannot be had.
    """
    if weights.folder is not None:
        return weights.folder
    from httpx2 import HTTPError  # huggingface_hub lets its network errors through as they are
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    _quiet()
    name, revision = weights.model_id, weights.revision
    report(Progress("downloading", f"Looking for {name}."))
    try:
        try:
            info = HfApi().model_info(name, revision=revision, files_metadata=True)
        except (OSError, HTTPError, HfHubHTTPError) as error:
            try:
                cached = snapshot_download(name, revision=revision, local_files_only=True)
            except LocalEntryNotFoundError:
                raise error from None
            log.info("[init] the hub did not answer (%s); using the copy in the cache.", error)
            return _checked(Path(cached))
        sizes = {entry.rfilename: entry.size or 0 for entry in info.siblings or ()}
        files = wanted_files(sizes)
        missing = [file for file in files if not _is_cached(name, file, info.sha)]
        counter = ByteCounter(report, name, sum(sizes[file] for file in missing))
        folder = Path(
            snapshot_download(
                name, revision=revision, allow_patterns=files, tqdm_class=counter.bar_class()
            )
        )
    except (OSError, HTTPError, HfHubHTTPError, ValueError) as error:
        raise EngineUnusable(_way_out(name, error)) from error
    return _checked(folder)


def _is_cached(name: str, file: str, revision: str | None) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(name, file, revision=revision), str)


def _quiet() -> None:
    """Keep each request's address (a signed one, where the weights lie) out of the log, and let the
    hub's client speak once: it has a handler of its own."""
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    logging.getLogger("huggingface_hub").propagate = False


def _way_out(name: str, error: Exception) -> str:
    """What kept the weights away and what to do about it, in one sentence."""
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    if isinstance(error, GatedRepoError):  # a kind of the next one
        return (
            f"{name} is closed at {constants.ENDPOINT}: accept its terms there and set HF_TOKEN to "
            "your token, or give a local folder as MODEL_ID."
        )
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"{constants.ENDPOINT} shows no model {name}: correct MODEL_ID, or, where it is "
            "private, set HF_TOKEN to your token."
        )
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return (
            f"The disk is full that holds {constants.HF_HUB_CACHE}, where {name} is kept: make "
            "room, or name a folder on another disk as HF_HOME."
        )
    return (
        f"{name} cannot be fetched ({_first_line(error)}); give a local folder as MODEL_ID, "
        "or a mirror of the hub as HF_ENDPOINT."
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def fetch_tiny_decoder(folder: Path, report: Report) -> Path | str:
    """The folder of TAESD's weights, or a clause on why they are not to be had.

    `taesd` inside the model's folder comes first, so that a machine without the hub can have it.
    """
    inside = folder / "taesd"
    if (inside / "config.json").is_file():
        return inside
    from httpx2 import HTTPError
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    _quiet()
    report(Progress("downloading", f"Looking for the tiny decoder, {TAESD}."))
    files = ["config.json", "diffusion_pytorch_model.safetensors"]
    try:
        return Path(snapshot_download(TAESD, allow_patterns=files))
    except (OSError, HTTPError, HfHubHTTPError, ValueError) as error:
        return f"{TAESD} cannot be fetched ({_first_line(error)}), and {inside} is not there"

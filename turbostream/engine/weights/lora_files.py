"""LoRA files: where LORAS's entries are, what their headers tell, and why some cannot be used.

No torch and no diffusers: a wrong file is answered at once, and a file on the hub before the model
is loaded. `lora_keys.py` reads the names of its tensors; the engine's `lora.py` merges them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turbostream.engine.weights import headers, model_files
from turbostream.engine.weights.locate import HUB_ID, Weights
from turbostream.engine.weights.lora_keys import Target, refusal, targets_of
from turbostream.stream.adapters import Adapter, parse
from turbostream.stream.engine_api import EngineError, EngineUnusable, Report
from turbostream.stream.state import State, Status

WEIGHTS = "pytorch_lora_weights.safetensors"  # diffusers' own name
# By the width of the words that the cross attention reads.
FAMILIES = {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x", 2048: "SDXL"}
LIST_TIMEOUT_S = 10.0  # for the hub to list a repository's files


@dataclass(frozen=True)
class LoraFile:
    """An inspected file. words: the width of the words it was trained with; None: no tensor of it
    tells. scales: alpha by module, from the metadata, where the file has no alphas."""

    name: str
    path: Path
    targets: tuple[Target, ...]
    words: int | None
    scales: dict[str, Any]

    @property
    def family(self) -> str:
        return family_of(self.words)

    def digest(self) -> str:
        """What tells two files of one name apart: the beginning of the SHA-256."""
        with self.path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()[:12]


def family_of(words: int | None) -> str:
    """The name of the models whose words have this width."""
    return FAMILIES.get(words or 0, f"a model with words of {words} values")


def inspect(loras: str, weights: Weights) -> None:
    """Raise EngineUnusable for what LORAS names on this machine and cannot be used; for a model on
    this machine also if it has another family. Files on the hub are checked by `fetch`."""
    for adapter in parse(loras):
        if (path := _local(adapter)) is not None:
            found = read(adapter.name, path)
            if weights.folder is not None:
                check_family(found, weights.model_id, weights.folder)


def fetch(loras: str, report: Report) -> tuple[LoraFile, ...]:
    """The files of LORAS in its order, downloaded where they are on the hub.

    Raises EngineUnusable where the user has to change something, and EngineUnavailable where a
    later attempt may work."""
    found = []
    for adapter in parse(loras):
        path = _local(adapter)
        found.append(read(adapter.name, _downloaded(adapter, report) if path is None else path))
    return tuple(found)


def check_family(lora: LoraFile, model: str, folder: Path) -> None:
    """Raise EngineUnusable if the LoRA is for another family than the model in `folder`."""
    try:
        words = model_files.read_object(folder / "unet" / "config.json").get("cross_attention_dim")
    except ValueError:
        return  # the model's own check names what is wrong with it
    if lora.words is not None and isinstance(words, int) and words != lora.words:
        raise EngineUnusable(
            f"LORAS: {lora.name} ({lora.path.name}) is a LoRA for {lora.family}, and {model} is "
            f"{family_of(words)}: leave it out, or give a MODEL_ID of its family."
        )


def read(name: str, path: Path) -> LoraFile:
    """Inspect one file; raises EngineUnusable with one sentence that names it."""

    def wrong(clause: str) -> EngineUnusable:
        return EngineUnusable(f"LORAS: {name} ({_short(str(path))}) cannot be used: {clause}.")

    try:
        path = _in_folder(path) if path.is_dir() else path
        header = _header(path)
    except OSError as error:
        raise wrong(f"it cannot be read ({error.strerror}); give a readable file") from None
    except ValueError as error:
        raise wrong(str(error)) from None
    metadata = header.pop("__metadata__", {})
    shapes = {key: tuple(entry.get("shape", ())) for key, entry in header.items()}
    if clause := refusal(shapes):
        raise wrong(clause)
    targets = targets_of(shapes)
    if all(target.part != "unet" for target in targets):
        raise wrong(
            "it changes the text encoder only; give a LoRA that changes the UNet, alone or with "
            "the text encoder"
        )
    return LoraFile(name, path, targets, _words(targets, shapes), _scales(metadata))


def _words(targets: Sequence[Target], shapes: dict[str, tuple[int, ...]]) -> int | None:
    for target in targets:
        if target.part == "unet" and re.search(r"attn2_to_[kv]$", target.module):
            return shapes[target.down][1]
    return None


def _scales(metadata: Any) -> dict[str, Any]:
    """The settings that diffusers stores with a LoRA, such as unet.lora_alpha."""
    try:
        found = json.loads(metadata["lora_adapter_metadata"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _in_folder(folder: Path) -> Path:
    files = sorted(one.name for one in folder.iterdir() if one.suffix == ".safetensors")
    if WEIGHTS in files or len(files) == 1:
        return folder / (WEIGHTS if WEIGHTS in files else files[0])
    raise ValueError(f"it is a folder with {len(files)} .safetensors files; give one file")


def _header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file; ValueError has a clause about any other file."""
    if damage := headers.damage_of_head(path):
        raise ValueError(damage)
    return headers.header_of(path)


def _local(adapter: Adapter) -> Path | None:
    """The entry's path; None for a hub id. Raises EngineUnusable where it is neither."""
    place = adapter.place
    try:
        path = Path(place).expanduser()
        if path.exists():
            return path
    except RuntimeError:
        raise EngineUnusable(
            f"LORAS: {adapter.name} begins with a ~ that names no home folder on this machine; "
            "give the full path."
        ) from None
    except OSError as error:
        raise EngineUnusable(
            f"LORAS: {adapter.name} cannot be accessed ({error.strerror}); give a readable file."
        ) from None
    repository, _, file = place.partition(":")
    if place.startswith((".", "/", "~")):
        raise EngineUnusable(
            f"LORAS: {adapter.name} has no file {_short(place)}; give the path of a .safetensors "
            "file."
        )
    if not HUB_ID.fullmatch(repository):
        raise EngineUnusable(
            f"LORAS: {adapter.name} is neither a file nor a hub id ({_short(place)}); give the "
            "path of a .safetensors file, or OWNER/REPOSITORY, which may be followed by @ and a "
            "revision, and by : and a file."
        )
    if not file and place.endswith(".safetensors"):
        raise EngineUnusable(f"LORAS: {adapter.name} has no file {_short(place)}; correct it.")
    return None


def _downloaded(adapter: Adapter, report: Report) -> Path:
    """A file of the hub, from the cache where the hub does not answer."""
    from httpx2 import HTTPError, InvalidURL
    from huggingface_hub import HfApi, hf_hub_download

    from turbostream.engine.weights.hub import _quiet
    from turbostream.engine.weights.hub_errors import as_engine_error, check_proxies

    _quiet()
    given, _, file = adapter.place.partition(":")
    repository, _, revision = given.partition("@")
    report(Status(State.DOWNLOADING, f"Downloading the LoRA {adapter.name}."))
    try:
        check_proxies()
        if not file:
            info = HfApi().model_info(repository, revision=revision or None, timeout=LIST_TIMEOUT_S)
            listed = [entry.rfilename for entry in info.siblings or ()]
            file = _only_file(adapter.name, repository, listed)
        return Path(hf_hub_download(repository, file, revision=revision or None))
    except (OSError, HTTPError, InvalidURL, ValueError) as error:
        problem = as_engine_error(given, error)
        if (cached := _cached(repository, file or WEIGHTS, revision)) is not None:
            return cached
        raise _of_loras(problem) from error


def _only_file(name: str, repository: str, files: Sequence[str]) -> str:
    found = sorted(one for one in files if one.endswith(".safetensors"))
    if WEIGHTS in found:
        return WEIGHTS
    if len(found) == 1:
        return found[0]
    some = ", ".join(found[:3]) if found else "none"
    raise EngineUnusable(
        f"LORAS: {repository} of {name} has {len(found)} .safetensors files ({some}); name one "
        f"after a colon, as in {repository}:{found[0] if found else 'file.safetensors'}."
    )


def _cached(repository: str, file: str, revision: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, file, revision=revision or None)
    return Path(found) if isinstance(found, str) else None


def _of_loras(problem: EngineError) -> EngineError:
    """The hub's error, with LORAS in place of the setting of the model."""
    text = str(problem).replace("a local folder as MODEL_ID", "a local file in LORAS")
    return type(problem)(text.replace("MODEL_ID", "LORAS"))


def _short(text: str) -> str:
    return text if len(text) <= 100 else "..." + text[-97:]

"""Where LORAS's entries are: files on this machine, or on the hub.

A file on the hub is judged by its header, by a request for its first bytes, before the file is
downloaded. No torch; on the main thread during the start, then on the engine's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from turbostream.engine.weights import headers, lora_files
from turbostream.engine.weights.header_fetch import remote_head
from turbostream.engine.weights.hub import LIST_TIMEOUT_S, cached_files, cached_folders, quiet
from turbostream.engine.weights.hub_errors import as_engine_error, check_endpoint, check_proxies
from turbostream.engine.weights.locate import HUB_ID, Weights
from turbostream.engine.weights.lora_files import (
    WEIGHTS,
    LoraFile,
    check_family,
    shortened,
    unusable,
)
from turbostream.stream.adapters import Adapter, parse
from turbostream.stream.engine_api import EngineError, EngineUnavailable, EngineUnusable, Report
from turbostream.stream.state import State, Status

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _OnHub:
    """An entry on the hub. file: empty until it is known which one is meant."""

    name: str
    repository: str
    revision: str | None
    file: str

    @classmethod
    def of(cls, adapter: Adapter) -> _OnHub:
        """Raises EngineUnusable for a name that no repository can have."""
        from huggingface_hub.utils import HFValidationError, validate_repo_id

        given, _, file = adapter.place.partition(":")
        repository, _, revision = given.partition("@")
        try:
            validate_repo_id(repository)
        except HFValidationError:
            raise EngineUnusable(
                f"LORAS: {adapter.name} is not a valid hub id ({shortened(repository)}); give "
                "OWNER/REPOSITORY as the hub spells it, or the path of a .safetensors file."
            ) from None
        return cls(adapter.name, repository, revision or None, file)

    @property
    def shown(self) -> str:
        return f"{self.repository}:{self.file}"


def inspect(loras: str, weights: Weights) -> None:
    """Raise EngineUnusable for what LORAS names and cannot be used, also for another family than
    that of the model, as far as its configs are on this machine.

    Does nothing about a file on the hub while the hub is unavailable: `fetch` reports that, and is
    retried."""
    folder = weights.folder
    for adapter in parse(loras):
        path = _local(adapter)
        try:
            found = (
                _on_hub(_OnHub.of(adapter)) if path is None else lora_files.read(adapter.name, path)
            )
        except EngineUnavailable:
            continue
        if folder is None:
            folder = next(iter(cached_folders(weights)), None)
        if found is not None and folder is not None:
            check_family(found, weights.model_id, folder)


def fetch(loras: str, model: str, folder: Path, report: Report) -> tuple[LoraFile, ...]:
    """The files of LORAS in its order for the model in `folder`, downloaded where they are on the
    hub.

    Raises EngineUnusable where the user has to change something, and EngineUnavailable where a
    later attempt may work."""
    found = []
    for adapter in parse(loras):
        path = _local(adapter)
        if path is None:
            report(Status(State.DOWNLOADING, f"Downloading the LoRA {adapter.name}."))
            path = _downloaded(_OnHub.of(adapter), model, folder)
        found.append(lora_files.read(adapter.name, path))
        check_family(found[-1], model, folder)
    return tuple(found)


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
            f"LORAS: {adapter.name} has no file {shortened(place)}; give the path of a "
            ".safetensors file."
        )
    if not HUB_ID.fullmatch(repository):
        raise EngineUnusable(
            f"LORAS: {adapter.name} is neither a file nor a hub id ({shortened(place)}); give the "
            "path of a .safetensors file, or OWNER/REPOSITORY, which may be followed by @ and a "
            "revision, and by : and a file."
        )
    if not file and place.endswith(".safetensors"):
        raise EngineUnusable(f"LORAS: {adapter.name} has no file {shortened(place)}; correct it.")
    if file.endswith(headers.PICKLES):
        raise unusable(adapter.name, place, headers.PICKLE)
    return None


def _on_hub(place: _OnHub) -> LoraFile | None:
    """What the header of a file on the hub tells, or of its copy in the cache; None where the
    header is too long to be read before the download. Raises EngineUnusable or EngineUnavailable.
    """
    if (cached := _cached(place)) is not None:
        return lora_files.read(place.name, cached)
    try:
        with _hub_errors(place):
            place = _with_file(place)
            head = remote_head(place.repository, place.revision or "main", place.file)
    except EngineError as error:
        return lora_files.read(place.name, _instead(place, error))
    try:
        if damage := headers.damage_of(head.content):
            raise ValueError(damage)
        header = headers.header_in(head.content, head.size)
    except ValueError as error:
        raise unusable(place.name, place.shown, str(error)) from None
    if header is None:
        log.warning("[init] the LoRA %s is not checked before its download: its header is too "
                    "long.", place.name)  # fmt: skip
        return None
    return lora_files.inspected(place.name, place.shown, Path(place.file), header)


def _downloaded(place: _OnHub, model: str, folder: Path) -> Path:
    """A file of the hub, from the cache where the hub does not answer."""
    known = _cached(place) is not None
    if not known and (found := _on_hub(place)) is not None:
        check_family(found, model, folder)
    try:
        with _hub_errors(place):
            from huggingface_hub import hf_hub_download

            place = _with_file(place)
            return Path(hf_hub_download(place.repository, place.file, revision=place.revision))
    except EngineError as error:
        return _instead(place, error)


def _instead(place: _OnHub, error: EngineError) -> Path:
    """The copy in the cache of a file that the hub does not give; raises `error` if there is none,
    or if it is about the entry and not from the hub's client."""
    if error.__cause__ is not None:
        if (cached := _cached(place)) is not None:
            return cached
        files = cached_files(place.repository, place.revision, "**/*.safetensors")
        if not place.file and len({file.name for file in files}) == 1:
            return files[0]
    raise error


@contextmanager
def _hub_errors(place: _OnHub) -> Iterator[None]:
    """Turns what the hub's client raises into EngineUnusable or EngineUnavailable."""
    check_endpoint()
    from httpx2 import HTTPError, InvalidURL
    from huggingface_hub import constants
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    quiet()
    try:
        check_proxies()
        yield
    except EntryNotFoundError as error:
        if isinstance(error, LocalEntryNotFoundError):  # the hub does not answer
            raise _as_error_of_loras(place, error) from error
        raise EngineUnusable(
            f"LORAS: {place.repository} of {place.name} has no file {shortened(place.file)} at "
            f"{constants.ENDPOINT}: correct it."
        ) from error
    except (OSError, HTTPError, InvalidURL, ValueError) as error:
        raise _as_error_of_loras(place, error) from error


def _as_error_of_loras(place: _OnHub, error: Exception) -> EngineError:
    revision = f"@{place.revision}" if place.revision else ""
    problem = as_engine_error(place.repository + revision, error)
    text = str(problem).replace("a local folder as MODEL_ID", "a local file in LORAS")
    return type(problem)(text.replace("MODEL_ID", "LORAS"))


def _with_file(place: _OnHub) -> _OnHub:
    """The entry with its file, which the hub lists where none is named."""
    if place.file:
        return place
    from huggingface_hub import HfApi

    info = HfApi().model_info(place.repository, revision=place.revision, timeout=LIST_TIMEOUT_S)
    files = [entry.rfilename for entry in info.siblings or ()]
    return replace(place, file=_only_file(place, files))


def _only_file(place: _OnHub, files: Sequence[str]) -> str:
    found = sorted(one for one in files if one.endswith(".safetensors"))
    if WEIGHTS in found:
        return WEIGHTS
    if len(found) == 1:
        return found[0]
    pickles = sorted(one for one in files if one.endswith(headers.PICKLES))
    if pickles and not found:
        raise unusable(place.name, f"{place.repository}:{pickles[0]}", headers.PICKLE)
    some = ", ".join(found[:3]) if found else "none"
    raise EngineUnusable(
        f"LORAS: {place.repository} of {place.name} has {len(found)} .safetensors files ({some}); "
        "name one after a colon, as in "
        f"{place.repository}:{found[0] if found else 'file.safetensors'}."
    )


def _cached(place: _OnHub) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    file = place.file or WEIGHTS
    found = try_to_load_from_cache(place.repository, file, revision=place.revision)
    return Path(found) if isinstance(found, str) else None

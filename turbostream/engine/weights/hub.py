"""Weights from the hub: inspected before the download, downloaded with progress, and read from
the cache when the hub does not answer.

Runs on the engine's thread; no torch. Downloads go through huggingface_hub, which resumes after a
lost connection, keeps complete files in its cache and downloads partial ones again in the next run.
HF_ENDPOINT, its own variable, selects a mirror.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from turbostream.engine.weights import kinds, memory, model_files
from turbostream.engine.weights.byte_counter import ByteCounter
from turbostream.engine.weights.header_fetch import local_headers, remote_headers
from turbostream.engine.weights.headers import count
from turbostream.engine.weights.hub_errors import (
    as_engine_error,
    check_endpoint,
    check_proxies,
    first_line,
)
from turbostream.engine.weights.locate import Weights, checked
from turbostream.stream.engine_api import (
    EngineError,
    EngineUnavailable,
    EngineUnusable,
    Report,
)
from turbostream.stream.state import State, Status

log = logging.getLogger(__name__)

TINY_DECODER_FILES = ("config.json", "diffusion_pytorch_model.safetensors")
LIST_TIMEOUT_S = 10.0  # for the hub to list a repository's files


@dataclass(frozen=True)
class _Plan:
    """What to download from a repository: file names and sizes in bytes, at one commit."""

    commit: str
    sizes: dict[str, int]


def inspect(weights: Weights, device: str = "cpu") -> None:
    """Raise EngineUnusable for a model that this program does not support, or that the card has
    clearly no memory for, judged by its small files and the heads of its weights.

    Does nothing while the hub is unavailable: `fetch` reports that, and is retried. device: as in
    DEVICE; the memory is checked where an NVIDIA card would be used.
    """
    card = memory.largest_card() if device in ("auto", "cuda") else None
    if weights.folder is not None:
        if card and not weights.demo:
            memory.check(weights.model_id, count(local_headers(weights.folder)), card)
        return
    check_endpoint()
    try:
        cached = cached_folders(weights)
    except ValueError as error:  # from huggingface_hub's check of an id
        raise as_engine_error(weights.model_id, error) from error
    if cached:
        row = kinds.check_kind(weights.model_id, cached[0], weights.many_steps)
        if not model_files.missing_file(model_files.files_of(cached[0]), row):
            if card:
                memory.check(weights.model_id, count(local_headers(cached[0])), card)
            return
    try:
        plan = _planned(weights)
    except EngineUnavailable:
        return
    except EngineUnusable:
        if cached:  # an incomplete copy, and no hub: `fetch` reports it with the hub's reason
            return
        raise
    if card and (headers := remote_headers(weights.repository, plan.commit, plan.sizes)):
        memory.check(weights.model_id, count(headers), card)


def fetch(weights: Weights, report: Report) -> Path:
    """The local folder of the weights, downloaded if necessary, with progress reports in bytes.

    Raises EngineUnusable where the user has to change something, and EngineUnavailable where a
    later attempt may work.
    """
    if weights.folder is not None:
        return weights.folder
    report(Status(State.DOWNLOADING, f"Looking for {weights.model_id}."))
    try:
        plan = _planned(weights)
    except EngineError as error:
        return _from_cache(weights, error)
    return _downloaded(weights, plan, report)


def fetch_tiny_decoder(folder: Path, repository: str, report: Report) -> Path | str:
    """The folder of a tiny decoder's weights, or a clause that says why they are missing.

    folder: of the model, or its single file. repository: its name on the hub. A folder of that name
    (`taesd`) inside the model's folder, or beside its file, takes precedence, for machines without
    access to the hub.
    """
    inside = (folder.parent if folder.is_file() else folder) / repository.rpartition("/")[2]
    if (inside / "config.json").is_file():
        found = inside
    else:
        from httpx2 import HTTPError, InvalidURL
        from huggingface_hub import snapshot_download

        quiet()
        report(Status(State.DOWNLOADING, f"Looking for the tiny decoder, {repository}."))
        try:
            check_proxies()
            files = list(TINY_DECODER_FILES)
            found = Path(snapshot_download(repository, allow_patterns=files))
        except (OSError, HTTPError, InvalidURL, ValueError) as error:
            return (
                f"{repository} cannot be downloaded ({first_line(error)}), and {inside} is missing"
            )
    if damaged := model_files.damaged_file(found, TINY_DECODER_FILES):
        return f"{damaged[0]} of the tiny decoder in {found} cannot be used ({damaged[1]})"
    return found


def _planned(weights: Weights) -> _Plan:
    """List the repository's files and read its index, so that an unsupported model is refused
    before its weights are downloaded. Raises EngineUnusable or EngineUnavailable."""
    from httpx2 import HTTPError, InvalidURL
    from huggingface_hub import HfApi, hf_hub_download

    quiet()
    name, repository = weights.model_id, weights.repository
    try:
        check_proxies()
        info = HfApi().model_info(
            repository, revision=weights.revision, files_metadata=True, timeout=LIST_TIMEOUT_S
        )
        sizes = {entry.rfilename: entry.size or 0 for entry in info.siblings or ()}
        if model_files.INDEX not in sizes:
            raise kinds.no_pipeline(name, sizes)
        # By its own name, under which the cache notes the commit: found there without the hub.
        named = weights.revision or info.sha
        index = hf_hub_download(repository, model_files.INDEX, revision=named)
        for config in kinds.CONFIGS:
            if config in sizes:
                hf_hub_download(repository, config, revision=named)
    except (OSError, HTTPError, InvalidURL, ValueError) as error:
        raise as_engine_error(name, error) from error
    row = kinds.check_kind(name, Path(index).parent, weights.many_steps)
    if missing := model_files.missing_file(sizes, row):
        if pickled := model_files.pickle_instead(sizes, missing):
            raise EngineUnusable(
                f"MODEL_ID {name} cannot be used: {model_files.pickle_problem(pickled)}, or give "
                f"another model, such as {row.example}."
            )
        raise EngineUnusable(
            f"MODEL_ID {name} is incomplete on the hub: {missing} is missing; give another model, "
            f"such as {row.example}."
        )
    files = model_files.wanted_files(sizes, row)
    return _Plan(str(info.sha), {file: sizes[file] for file in files})


def _downloaded(weights: Weights, plan: _Plan, report: Report) -> Path:
    from httpx2 import HTTPError, InvalidURL
    from huggingface_hub import hf_hub_download, snapshot_download, try_to_load_from_cache

    name, repository = weights.model_id, weights.repository
    missing = [
        file
        for file in plan.sizes
        if not isinstance(try_to_load_from_cache(repository, file, revision=plan.commit), str)
    ]
    counter = ByteCounter(report, name, sum(plan.sizes[file] for file in missing))
    try:
        folder = Path(
            snapshot_download(
                repository,
                revision=plan.commit,
                allow_patterns=list(plan.sizes),
                tqdm_class=counter.bar_class(),
            )
        )
        # A file damaged after its download (a full disk, a copied cache) is downloaded once more.
        while damaged := model_files.damaged_file(folder, plan.sizes):
            file, what = damaged
            if file in missing:
                raise EngineUnusable(
                    f"MODEL_ID {name} cannot be used: {file} is damaged on the hub ({what}); give "
                    "another model."
                )
            log.warning("[init] downloading %s of %s again: %s.", file, name, what)
            report(Status(State.DOWNLOADING, f"Downloading {file} of {name} again."))
            hf_hub_download(repository, file, revision=plan.commit, force_download=True)
            missing.append(file)
    except (OSError, HTTPError, InvalidURL, ValueError) as error:
        raise as_engine_error(name, error) from error
    return checked(folder, name, weights.many_steps)


def cached_folders(weights: Weights) -> list[Path]:
    """The cache's folders that hold the model's index, newest first; they may be incomplete."""
    found = cached_files(weights.repository, weights.revision, model_files.INDEX)
    return [file.parent for file in found]


def cached_files(repository: str, revision: str | None, pattern: str) -> list[Path]:
    """The files in the cache whose paths in the repository match, of the newest snapshot first.

    Found by folder rather than by the cache's refs, which name the newest commit even before its
    files are downloaded.
    """
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    kept = repo_folder_name(repo_id=repository, repo_type="model")
    cache = Path(constants.HF_HUB_CACHE) / kept
    commit = revision or "*"
    try:
        if (named := cache / "refs" / commit).is_file():  # a branch or a tag
            commit = named.read_text(encoding="utf-8").strip()
        found = cache.glob(f"snapshots/{commit}/{pattern}")
        return sorted(found, key=lambda file: file.parent.stat().st_mtime, reverse=True)
    except OSError:
        return []


def _from_cache(weights: Weights, error: EngineError) -> Path:
    """A complete copy in the cache; raises `error` if there is none."""
    for folder in cached_folders(weights):
        try:
            checked(folder, weights.model_id, weights.many_steps)
        except EngineUnusable as problem:
            log.warning("[init] a copy in the cache cannot be used: %s", problem)
            continue
        log.warning(
            "[init] %s is not available from the hub (%s); using the copy in the cache.",
            weights.model_id,
            first_line(error.__cause__ or error),
        )
        return folder
    raise error


def quiet() -> None:
    """Keep request URLs, some of which are signed, out of the log, and stop huggingface_hub's
    messages from appearing twice: it has its own handler."""
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    logging.getLogger("huggingface_hub").propagate = False
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)

"""All code that uses torch (see README.md here). Importing this package does not import torch."""

from __future__ import annotations

import functools
import gc
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from turbostream.engine import cluster
from turbostream.engine.stages import Stages
from turbostream.engine.weights import Weights, hub, lora_places
from turbostream.settings import Settings
from turbostream.stream.engine_api import Engine, EngineUnusable, Report, Resolve

PACKAGES = ("flask", "gevent", "torch", "diffusers", "transformers", "huggingface_hub")


def open_engine(
    settings: Settings,
    weights: Weights,
    report: Report,
    resolve: Resolve | None = None,
    sharing: int = 1,
) -> Engine:
    """Open an engine and render its first picture, on the thread that will call it.

    resolve: gives the pixels of a shot's source; without it shots with a source are refused.
    sharing: how many engines share this machine's cores.

    Raises EngineUnusable or EngineUnavailable.
    """
    if settings.engine == "ray":
        return cluster.open_cluster(settings, weights, report, resolve)
    stages = Stages()
    opening = _opening(settings.device)
    stages.end("imports")
    engine: Engine = opening.open_local(settings, weights, report, resolve, stages, sharing)
    return engine


def check_usable(settings: Settings, weights: Weights) -> None:
    """Raise EngineUnusable, before anything is served, for a package that is not installed, an
    unsupported kind of weights, a file of LORAS that cannot be used, a DEVICE that this machine
    does not have, or a Ray that cannot be used.

    Only torch can list the devices, and it takes a second to import. `auto` and `cpu` are always
    available, so torch is not imported for them.
    """
    for name in PACKAGES:
        if importlib.util.find_spec(name) is None:
            raise EngineUnusable(
                f"{name} is not installed for {sys.executable}; run ./setup.sh, then make run."
            )
    device = settings.device
    hub.inspect(weights, device)
    lora_places.inspect(settings.loras, weights)
    if settings.engine == "ray":
        cluster.check(settings)
        if settings.ray_address != "local":
            return  # DEVICE is about the cluster's machines
    if device in ("cuda", "mps"):
        with _import_errors_as_unusable():
            from turbostream.engine.device import hardware

        hardware.choose(device)


@contextmanager
def _import_errors_as_unusable() -> Iterator[None]:
    """Wraps imports: a missing or damaged package stays so, so another attempt is useless."""
    try:
        yield
    except (ImportError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise EngineUnusable(
            f"{sys.executable} cannot import the engine's packages ({reason}); run ./setup.sh "
            "again, then make run."
        ) from error


@functools.cache
def _opening(device: str) -> ModuleType:
    """Import `opening` with all its dependencies, then start warming up `device`.

    The warm-up must not start earlier. Torch's packages have circular imports, and two threads
    that enter such a circle at different points each see partially initialized modules: the first
    operators on a GPU import the same modules as diffusers (torch._dynamo, torch._inductor).

    Torch and diffusers create about a million objects that are never freed. Garbage collections
    that traverse them take a seventh of the start-up time, and would later pause the stream, so
    they are frozen. This happens only once (the function is cached): freezing again would also
    keep the objects left by an engine that failed.
    """
    gc.disable()
    try:
        with _import_errors_as_unusable():
            from turbostream.engine import opening
            from turbostream.engine.device import hardware
    finally:
        gc.freeze()
        gc.enable()
    hardware.warm(device)
    return opening

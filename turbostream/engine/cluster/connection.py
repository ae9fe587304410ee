"""Connects this process to Ray: starts one for this program alone, or joins that of RAY_ADDRESS.

A process has one connection, which threads share. Every reason why there is none is one sentence.
"""

from __future__ import annotations

import importlib.util
import logging
import re
import socket
import sys
import threading
from os import environ  # written, not read: Ray takes these from nowhere else
from typing import Any

from turbostream.settings import Settings
from turbostream.stream.engine_api import EngineError, EngineUnavailable, EngineUnusable

log = logging.getLogger(__name__)

ANSWER_S = 5.0  # how long an address may take to answer
# What a client of HTTP/2, and so of gRPC, begins with, and the kind of frame that it is answered
# with: an empty SETTINGS frame (RFC 9113, 3.4).
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
SETTINGS_FRAME = 4
OBJECT_STORE_BYTES = 256_000_000  # for input pictures; of a Ray that is started here
# Ray reports how it is used to its makers, unless it is told otherwise before it is imported.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}
# The name is about other systems; on Linux "0" makes Ray listen on 127.0.0.1 alone, for which it
# has no other setting: it replaces 127.0.0.1 by an address that others reach.
LOOPBACK_ONLY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


def check(settings: Settings) -> None:
    """Raise EngineUnusable, before anything is served, where Ray is not installed, RAY_ADDRESS
    cannot be used, or no node has the GPU that DEVICE asks for. Stays connected to RAY_ADDRESS."""
    _check_installed()
    if settings.ray_address == "local":
        return
    failed: list[EngineError] = []

    def connect_here() -> None:
        try:
            connect(settings)
        except EngineError as error:
            failed.append(error)

    # Not on the main thread, whose handlers of signals Ray would replace.
    connecting = threading.Thread(target=connect_here, name="ray connection")
    connecting.start()
    connecting.join()
    if failed:
        raise EngineUnusable(str(failed[0])) from failed[0]


def connect(settings: Settings) -> int:
    """Connect, unless this process is connected; returns how many GPUs the workers may use.

    Raises EngineUnusable or EngineUnavailable.
    """
    _check_installed()
    environ.update(QUIET)
    local = settings.ray_address == "local"
    if local:
        environ.update(LOOPBACK_ONLY)
    import ray

    if not ray.is_initialized():
        logging.getLogger("ray").setLevel(logging.ERROR)
        options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
        if local:
            options |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
            if settings.device in ("cpu", "mps"):
                options["num_gpus"] = 0
        elif settings.ray_address != "auto":
            _reach(settings.ray_address)
        try:
            ray.init(address=settings.ray_address, **options)
        except Exception as error:  # Ray raises many kinds, and describes each in a paragraph
            raise _refusal(settings.ray_address, error) from error
    gpus = 0
    if settings.device in ("auto", "cuda"):
        gpus = int(ray.cluster_resources().get("GPU", 0))
    if settings.device == "cuda" and not gpus:
        ray.shutdown()
        raise EngineUnavailable(
            "DEVICE is cuda, and no node of the Ray cluster has a GPU; start Ray on a machine with "
            "one (ray start --address=HOST:PORT), or do not set DEVICE."
        )
    return gpus


def disconnect() -> None:
    """End the Ray that was started here, or leave the cluster."""
    import ray

    ray.shutdown()


def _check_installed() -> None:
    if importlib.util.find_spec("ray") is None:
        raise EngineUnusable(
            f"ENGINE is ray, and Ray is not installed for {sys.executable}; run "
            f"{sys.executable} -m pip install -r requirements-cluster.txt."
        )


def _reach(address: str) -> None:
    """Raises EngineUnavailable if nothing that may be Ray answers at `address`: Ray itself would
    wait for minutes."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), ANSWER_S) as connection:
            connection.sendall(HELLO)
            answer = connection.recv(9)
        if answer[3:4] != bytes((SETTINGS_FRAME,)):
            raise ValueError("what answers is not Ray")
    except (OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EngineUnavailable(
            f"RAY_ADDRESS is {address}, which does not answer ({reason}); start Ray there (ray "
            "start --head), or do not set RAY_ADDRESS to start one here."
        ) from error


def _refusal(address: str, error: BaseException) -> EngineError:
    """One sentence about why `ray.init` failed."""
    chain = []
    cause: BaseException | None = error
    while cause is not None:
        chain.append(str(cause))
        cause = cause.__cause__ or cause.__context__
    text = "\n".join(chain)
    versions = re.findall(r"Ray: (\S+)\s+Python: (\S+)", text)
    if len(versions) >= 2:
        (theirs, their_python), (ours, our_python) = versions[:2]
        return EngineUnusable(
            f"The Ray at RAY_ADDRESS {address} is {theirs} with Python {their_python}, and here is "
            f"{ours} with Python {our_python}; both have to be the same."
        )
    if re.search(r"authentic|token", text, re.IGNORECASE):
        return EngineUnusable(
            f"The Ray at RAY_ADDRESS {address} wants a token: set RAY_AUTH_MODE=token, and copy "
            "~/.ray/auth_token from its head node to this machine."
        )
    if re.search(r"Raylet|node_ip|local node|no node", text):
        return EngineUnavailable(
            f"No node of the Ray at RAY_ADDRESS {address} runs on this machine; run ray start "
            f"--address={address} here first."
        )
    first = next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")
    if address == "local":
        return EngineUnavailable(f"Ray could not be started here ({first.rstrip('.')}).")
    return EngineUnavailable(
        f"RAY_ADDRESS is {address}, where no Ray of this version answers ({first.rstrip('.')}); "
        "start Ray there (ray start --head), or do not set RAY_ADDRESS to start one here."
    )

"""Download errors as one sentence that says what the user can do. No torch; any thread."""

from __future__ import annotations

import errno
from urllib.request import getproxies

from turbostream.stream.engine_api import EngineError, EngineUnavailable, EngineUnusable

DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
NOT_WRITABLE = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
}
PROXIES = ("http", "https", "all")


class ProxyUnusable(OSError):
    """A proxy from the environment that the hub's client cannot use; the message is one clause."""


def check_endpoint() -> None:
    """Raise EngineUnusable for a HF_ENDPOINT that huggingface_hub cannot read."""
    try:
        import huggingface_hub.hf_api  # noqa: F401  (parses HF_ENDPOINT)
    except ValueError as error:
        raise EngineUnusable(
            f"HF_ENDPOINT is not the address of a hub ({error}): correct it or unset it."
        ) from error


def check_proxies() -> None:
    """Raise ProxyUnusable for a proxy that the hub's client would reject with errors of many
    types, some of them raised in its own threads."""
    from httpx2 import Client, InvalidURL

    try:
        Client().close()
    except (ImportError, ValueError, InvalidURL) as error:
        names = [f"{name.upper()}_PROXY" for name in getproxies() if name in PROXIES]
        raise ProxyUnusable(
            f"the proxy in {' or '.join(names)} cannot be used, correct or unset it: {error}"
        ) from error


def as_engine_error(name: str, error: Exception) -> EngineError:
    """Why the weights of `name` cannot be downloaded and what to do about it, in one sentence."""
    from httpx2 import InvalidURL, LocalProtocolError, UnsupportedProtocol
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    hub, status = constants.ENDPOINT, 0
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
    if isinstance(error, ProxyUnusable):
        sentence = f"{name} cannot be downloaded ({first_line(error)})."
    elif isinstance(error, GatedRepoError):  # a kind of RepositoryNotFoundError
        sentence = (
            f"{name} is gated at {hub}: accept its terms there and set HF_TOKEN to your token, or "
            "give a local folder as MODEL_ID."
        )
    elif isinstance(error, RepositoryNotFoundError):
        sentence = (
            f"{hub} has no model {name}: correct MODEL_ID or, if it is private, set HF_TOKEN to "
            "your token."
        )
    elif isinstance(error, RevisionNotFoundError):
        repository, _, revision = name.partition("@")
        sentence = (
            f"{hub} has no revision {revision or 'main'} of {repository}: correct MODEL_ID, or "
            "leave the revision out for the newest one."
        )
    elif status == 401:
        sentence = (
            f"{hub} rejects the token from HF_TOKEN or 'hf auth login': correct it or remove it."
        )
    elif status == 403:
        sentence = (
            f"{hub} denies access to {name} (403): set HF_TOKEN to a token that may read it, or "
            "give a local folder as MODEL_ID."
        )
    elif isinstance(error, OfflineModeIsEnabled):
        sentence = (
            f"{constants.HF_HUB_CACHE} has no complete copy of {name}, and HF_HUB_OFFLINE is set: "
            "unset it, or give a local folder as MODEL_ID."
        )
    elif isinstance(error, HFValidationError):
        shown = name if len(name) <= 100 else name[:97] + "..."
        sentence = f"MODEL_ID {shown} is not a valid hub id: correct it, or give a local folder."
    elif isinstance(error, (LocalProtocolError, UnicodeEncodeError)):
        sentence = "HF_TOKEN contains invalid characters: correct it or unset it."
    elif isinstance(error, (InvalidURL, UnsupportedProtocol)):
        sentence = f"HF_ENDPOINT {hub} is not the address of a hub: correct it or unset it."
    elif not status and isinstance(error, OSError) and error.errno in DISK_FULL:
        sentence = (
            f"The disk with {constants.HF_HUB_CACHE}, where {name} is stored, is full: free some "
            "space, or set HF_HOME to a folder on another disk."
        )
    elif not status and isinstance(error, OSError) and error.errno in NOT_WRITABLE:
        sentence = (
            f"{error.filename or constants.HF_HUB_CACHE}, where {name} is stored, cannot be "
            f"written ({error.strerror}): set HF_HOME to another folder."
        )
    else:
        sentence = (
            f"{name} cannot be downloaded ({first_line(error)}); give a local folder as MODEL_ID, "
            "or a mirror of the hub as HF_ENDPOINT."
        )
        temporary = status >= 500 or status in (0, 408, 429)
        return EngineUnavailable(sentence) if temporary else EngineUnusable(sentence)
    return EngineUnusable(sentence)


def first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")

"""What kept weights away, each with what the user can do about it, in one sentence. No torch."""

from __future__ import annotations

import errno
from urllib.request import getproxies

from turbostream.stream.engine_api import EngineError, EngineUnavailable, EngineUnusable

# What a user has to change: the disk, the folder of the cache.
DISK = {errno.ENOSPC, errno.EDQUOT}
FOLDER = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG}
PROXIES = ("http", "https", "all")


class ProxyUnusable(OSError):
    """A proxy of the environment that the hub's client cannot use; the message is one clause."""


def check_proxies() -> None:
    """Raises ProxyUnusable: left to itself the hub's client would raise errors of many kinds, some
    of them in threads of its own."""
    from httpx2 import Client, InvalidURL

    try:
        Client().close()
    except (ImportError, ValueError, InvalidURL) as error:
        names = [f"{name.upper()}_PROXY" for name in getproxies() if name in PROXIES]
        raise ProxyUnusable(
            f"the proxy in {' or '.join(names)} cannot be used, correct or unset it: {error}"
        ) from error


def way_out(name: str, error: Exception) -> EngineError:
    """What kept the weights away and what to do about it, in one sentence."""
    from httpx2 import InvalidURL, LocalProtocolError, UnsupportedProtocol
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    hub, status = constants.ENDPOINT, 0
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
    if isinstance(error, ProxyUnusable):
        said = f"{name} cannot be fetched ({first_line(error)})."
    elif isinstance(error, GatedRepoError):  # a kind of RepositoryNotFoundError
        said = (
            f"{name} is closed at {hub}: accept its terms there and set HF_TOKEN to "
            "your token, or give a local folder as MODEL_ID."
        )
    elif isinstance(error, RepositoryNotFoundError):
        said = (
            f"{hub} shows no model {name}: correct MODEL_ID, or, where it is "
            "private, set HF_TOKEN to your token."
        )
    elif status == 401:
        said = (
            f"{hub} does not accept the token in HF_TOKEN or of 'hf auth login': correct it, or "
            "remove it."
        )
    elif status == 403:
        said = (
            f"{hub} refuses to give {name} (403): set HF_TOKEN to a token that may read it, or "
            "give a local folder as MODEL_ID."
        )
    elif isinstance(error, OfflineModeIsEnabled):
        said = (
            f"No whole copy of {name} is in {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE is set: "
            "unset it, or give a local folder as MODEL_ID."
        )
    elif isinstance(error, HFValidationError):
        shown = name if len(name) <= 100 else name[:97] + "..."
        said = f"MODEL_ID {shown} cannot be a hub id: correct it, or give a local folder."
    elif isinstance(error, (LocalProtocolError, UnicodeEncodeError)):
        said = "HF_TOKEN holds characters that no token has: correct it, or unset it."
    elif isinstance(error, (InvalidURL, UnsupportedProtocol)):
        said = f"HF_ENDPOINT {hub} is no address of a hub: correct it, or unset it."
    elif not status and isinstance(error, OSError) and error.errno in DISK:
        said = (
            f"The disk is full that holds {constants.HF_HUB_CACHE}, where {name} is kept: make "
            "room, or name a folder on another disk as HF_HOME."
        )
    elif not status and isinstance(error, OSError) and error.errno in FOLDER:
        said = (
            f"{error.filename or constants.HF_HUB_CACHE} cannot be written ({error.strerror}), "
            f"where {name} is to be kept: name another folder as HF_HOME."
        )
    else:
        said = (
            f"{name} cannot be fetched ({first_line(error)}); give a local folder as MODEL_ID, "
            "or a mirror of the hub as HF_ENDPOINT."
        )
        later = status >= 500 or status in (0, 408, 429)
        return EngineUnavailable(said) if later else EngineUnusable(said)
    return EngineUnusable(said)


def first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")

"""What a token of one channel opens. A route or a parameter that is not named here is closed to
it, so that a new one is closed until somebody decides.

Pure functions of names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from turbostream.stream.adapters import PREFIX
from turbostream.stream.desk import WEIGHT
from turbostream.stream.parameters import PARAMETERS

# Endpoints that act on the channel of their request alone.
OF_CHANNEL = frozenset(
    {
        "index",
        "stream",
        "acknowledge",
        "snapshot",
        "shot_of_frame",
        "recall_recipe",
        "prompt",
        "scene",
        "patch_scene",
        "parameters",
        "patch_parameters",
        "control",
        "undo",
        "redo",
        "preview",
        "source",
        "put_source",
        "delete_source",
        "source_picture",
        "status",
    }
)
# Endpoints that say nothing of any channel, and are asked without one.
OF_NONE = frozenset({"static", "healthz", "login"})
# Parameters that are not fields of the scene and act on their channel alone. The others act on the
# looks, the setlist and recordings, which are the server's.
ACTING = frozenset({"freeze", "black", "new_seed", "undo", "redo", "tap", "fade_s", "easing"})


def refusal(own: str, endpoint: str | None, named: Sequence[str], default: str) -> str | None:
    """Why a token of the channel `own` does not open a request, in one sentence; None: it does.

    endpoint: None where no route matches. named: the channels that the request names; `default`:
    the one that it is for if it names none.
    """
    if any(channel != own for channel in named):
        return f"This link is for the channel {own} only; another channel needs a link of its own."
    if endpoint is None or endpoint in OF_NONE:
        return None
    if endpoint not in OF_CHANNEL:
        return f"This link is for the channel {own} only; this address needs a link to the server."
    if not named and own != default:
        return f"This link is for the channel {own} only; add ?channel={own}."
    return None


def refused_parameters(own: str, names: Iterable[str]) -> str | None:
    """Why a token of the channel `own` may not set one of `names`; None: it may set all of them, or
    they do not exist."""
    for name in names:
        row = PARAMETERS.get(name)
        if row is None or row.field or name in ACTING or name.startswith((WEIGHT, PREFIX)):
            continue
        return f"This link is for the channel {own} only; {name} needs a link to the server."
    return None

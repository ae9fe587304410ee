"""What the stream is doing: the one list of its states, and a state with its sentence.

Data only, any thread. Where a file cannot import this list (the page, the scripts),
`tests/test_states.py` compares what stands there with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """In the words of /status, in the order of a start."""

    STARTING = "starting"
    DOWNLOADING = "downloading"
    LOADING = "loading"
    COMPILING = "compiling"
    STREAMING = "streaming"
    RESTING = "resting"
    FAILED = "failed"


@dataclass(frozen=True)
class Status:
    """A state and one sentence about it. done_bytes, total_bytes: of a download."""

    state: State
    message: str
    done_bytes: int | None = None
    total_bytes: int | None = None

"""What of a prompt the model does not read, for every answer about a prompt."""

from __future__ import annotations

from turbostream.stream.supervisor import Supervisor

MOST_CHARACTERS = 30  # of the words that the warning quotes


def unread_words(supervisor: Supervisor, prompt: str) -> dict[str, str]:
    """The fields `dropped` and `warning`; none if the model reads all of `prompt`."""
    dropped = supervisor.dropped(prompt)
    if not dropped:
        return {}
    begin = dropped
    if len(dropped) > MOST_CHARACTERS:
        begin = f"{dropped[: MOST_CHARACTERS - 1].rstrip(' ,.;')}…"
    return {
        "dropped": dropped,
        "warning": f"The model does not read this prompt from “{begin}” on; shorten it.",
    }

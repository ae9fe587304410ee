"""The memory that a model needs at least, against what the card has. No torch."""

from __future__ import annotations

import logging
import shutil
import subprocess
from dataclasses import dataclass

from turbostream.engine.weights.families import SD
from turbostream.stream.engine_api import EngineUnusable

log = logging.getLogger(__name__)

# Besides the weights, for the context and the smallest activations: SD-Turbo's weights take 2.6 GB,
# and the plain path runs within 3 GB.
ALLOWANCE = 400e6  # bytes
SMALLEST = 3.0e9  # bytes that the smallest example needs


@dataclass(frozen=True)
class Card:
    name: str
    total: float  # bytes


def largest_card() -> Card | None:
    """The NVIDIA card with the most memory, or None where nvidia-smi lists none.

    Asks nvidia-smi, because importing torch would delay the answer to a wrong setting.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    command = [program, "--query-gpu=memory.total,name", "--format=csv,noheader,nounits"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except subprocess.TimeoutExpired:
        log.warning("nvidia-smi did not answer within 10 s; the card's memory is not checked.")
        return None
    cards = []
    for line in listed.stdout.splitlines() if listed.returncode == 0 else ():
        total, _, name = line.partition(",")
        if total.strip().isdigit():  # it says [N/A] where memory is shared with the CPU
            cards.append(Card(name.strip(), int(total) * 2**20))
    return max(cards, key=lambda card: card.total, default=None)


def check(name: str, numbers: int, card: Card) -> None:
    """Raise EngineUnusable if a model of so many numbers in fp16 clearly does not fit."""
    needed = 2 * numbers + ALLOWANCE
    if needed <= card.total:
        return
    instead = "the demo model (MODEL_ID=demo)"
    if card.total >= SMALLEST < needed:
        instead = f"{SD.example} ({SMALLEST / 1e9:.1f} GB) or {instead}"
    raise EngineUnusable(
        f"MODEL_ID {name} needs at least {needed / 1e9:.1f} GB of GPU memory, and the "
        f"{card.name} has {card.total / 1e9:.1f} GB: give a smaller model, such as {instead}."
    )

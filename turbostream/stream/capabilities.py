"""What an engine can honour of a shot, and the one sentence where it cannot. Pure, any thread.

An engine declares its capabilities and checks every shot against them before it paints, so that no
field of a shot is ever ignored.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

from turbostream.stream.shot import Shot, ShotError


@dataclass(frozen=True)
class Capabilities:
    """What an engine paints apart from noise of any mix, which every engine must honour.

    The defaults are the least: one prompt, noise alone, the model's own number of steps.

    prompts: how many prompts a shot may mix. sources: whether it may start from a picture.
    steps: the numbers of steps a shot may ask for. adapters: the names of those that are loaded.
    """

    prompts: int = 1
    sources: bool = False
    steps: Container[int] = ()
    adapters: Container[str] = ()

    def check(self, shots: Iterable[Shot]) -> None:
        """Raises ShotError for the first shot that the engine cannot paint exactly as it says."""
        for shot in shots:
            if len(shot.prompts) > self.prompts:
                raise ShotError(
                    f"The shot mixes {len(shot.prompts)} prompts, and this engine takes at most "
                    f"{self.prompts}."
                )
            if shot.source is not None and not self.sources:
                raise ShotError("The shot has a source, and this engine starts from noise alone.")
            if shot.steps is not None and shot.steps not in self.steps:
                raise ShotError(f"The shot asks for {shot.steps} steps, which this engine has not.")
            for name, _ in shot.adapters:
                if name not in self.adapters:
                    raise ShotError(f"The shot uses {name[:40]!r}, an adapter not loaded here.")

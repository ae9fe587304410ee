"""What an engine can honour of a shot, and one sentence where it cannot. Pure, any thread.

An engine declares its capabilities and checks every shot against them before it paints, so that no
field of a shot is silently ignored. Knows no engine and no model.
"""

from __future__ import annotations

from collections.abc import Collection, Container
from dataclasses import dataclass

from turbostream.stream.shot import Shot, ShotError


@dataclass(frozen=True)
class Capabilities:
    """The fields of a shot that an engine honours. Noise, a mix of any seeds, and brightness
    belong to every engine; a size that the model cannot paint is refused by the engine itself.

    prompts: the most prompts that a shot may mix.
    sources: whether a shot may start from a picture.
    steps: the numbers of steps that a shot may ask for; the model's own number needs no entry.
    adapters: the names of the adapters that a shot may use.
    enlarging: how a shot may come from its base size to its own.
    """

    prompts: int = 1
    sources: bool = False
    steps: Collection[int] = ()
    adapters: Container[str] = ()
    enlarging: Container[str] = ()

    def check(self, shot: Shot) -> None:
        """Raises ShotError with one sentence if the engine cannot honour every field of `shot`."""
        if len(shot.prompts) > self.prompts:
            raise ShotError(
                f"The shot mixes {len(shot.prompts)} prompts, and this engine takes at most "
                f"{self.prompts}."
            )
        if shot.source is not None and not self.sources:
            raise ShotError("The shot has a source, and this engine starts from noise only.")
        if shot.steps is not None and shot.steps not in self.steps:
            raise ShotError(
                f"The shot asks for {shot.steps} steps, and this engine takes {self._steps}."
            )
        if shot.enlarging is not None and shot.enlarging not in self.enlarging:
            raise ShotError(f"The shot enlarges its {shot.enlarging}, which this engine cannot do.")
        for name, _ in shot.adapters:
            if name not in self.adapters:
                raise ShotError(f"The shot uses the adapter {name[:40]!r}, which is not loaded.")

    @property
    def _steps(self) -> str:
        if not self.steps:
            return "only its own number"
        *others, last = map(str, sorted(self.steps))
        return f"{', '.join(others)} or {last}" if others else f"only {last}"

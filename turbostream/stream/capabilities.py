"""What an engine can honour of a shot, and one sentence where it cannot. Pure, any thread.

An engine declares its capabilities and checks every shot against them before it paints, so that no
field of a shot is silently ignored. Knows no engine and no model.
"""

from __future__ import annotations

from collections.abc import Collection, Container
from dataclasses import dataclass, replace

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
    guidance: the model's own, which shots take that ask for none; None: shots may not ask.
    negative: whether a shot may have negative words.
    """

    prompts: int = 1
    sources: bool = False
    steps: Collection[int] = ()
    adapters: Container[str] = ()
    enlarging: Container[str] = ()
    guidance: float | None = None
    negative: bool = False

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
        if shot.guidance not in (None, 1) and self.guidance is None:
            raise ShotError(
                "The shot asks for guidance, which this model does not use; leave guidance and "
                "negative words out."
            )
        if shot.negative and not self.negative:
            raise ShotError(
                "The shot has negative words, which this model does not use; leave them out."
            )
        for name, _ in shot.adapters:
            if name not in self.adapters:
                raise ShotError(f"The shot uses the adapter {name[:40]!r}, which is not loaded.")

    def adapted(self, shot: Shot) -> Shot:
        """The shot with the model's own steps and guidance, and without negative words, where it
        asks for others than the engine takes, as one of a look from elsewhere may."""
        if shot.steps is not None and shot.steps not in self.steps:
            shot = replace(shot, steps=None)
        if shot.guidance is not None and self.guidance is None:
            shot = replace(shot, guidance=None, negative=())
        if shot.negative and not self.negative:
            shot = replace(shot, negative=())
        return shot

    @property
    def _steps(self) -> str:
        if not self.steps:
            return "only its own number"
        *others, last = map(str, sorted(self.steps))
        return f"{', '.join(others)} or {last}" if others else f"only {last}"

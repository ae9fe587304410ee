"""What the engine takes of a channel's scene, and which shot it is asked about. Any thread."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from turbostream.stream.adapters import with_loaded
from turbostream.stream.capabilities import Capabilities
from turbostream.stream.scene import Scene
from turbostream.stream.shot import Adapters, Shot
from turbostream.stream.source_given import ANYTHING, NOTHING, Given

FIELDS = frozenset({"steps", "adapters", "guidance", "negative"})  # that `Taken.taken` may change
SOME_GUIDANCE = 2.0  # to ask whether negative words are taken, while guidance is off


class Taken:
    """takes: what the engine takes, whatever the scene is; None: anything. given: what may be a
    source now."""

    takes: Capabilities | None = None
    given: Given
    _loaded: Adapters

    @property
    def takes_sources(self) -> bool:
        return self.takes is None or self.takes.sources

    @property
    def usable(self) -> Given:
        """What is given, as far as the engine takes it."""
        return self.given if self.takes_sources else NOTHING

    @property
    def own_guidance(self) -> float:
        """That of the model; 1 is off."""
        return (self.takes and self.takes.guidance) or 1.0

    def taken(self, shot: Shot) -> Shot:
        """The shot as far as the engine takes it."""
        shot = shot if self.takes is None else self.takes.adapted(shot)
        return with_loaded(shot, self._loaded)

    def asked_shot(self, scene: Scene, time: float, number: int, names: Collection[str]) -> Shot:
        """The shot of frame `number` that shows whether the engine can paint a patch of `scene`.

        names: of the patched fields, which the shot has as if they acted already: a source as if
        its picture were there, and negative words as if guidance were on. What the patch does not
        name is there only as far as the engine takes it.
        """
        if "negative" in names and scene.negative and (scene.guidance or 1) <= 1:
            scene = replace(scene, guidance=SOME_GUIDANCE)
        given = ANYTHING if "source" in names else self.usable
        shot = scene.shot_at(time, number, given, self.own_guidance)
        kept = FIELDS & set(names)
        if "negative" in kept:
            kept |= {"guidance"}
        return replace(self.taken(shot), **{name: getattr(shot, name) for name in kept})

"""What a channel shows and how it moves.

Pure data and pure functions, any thread: no clock, no torch. `course.py` has what is shown at a
time, and `scene_json.py` the JSON form.

The words, the noise, the speed, the brightness, the strength, the adapters, the guidance and the
negative words each fade on their own, so that a change of one does not cut short the fade of
another. Another source is a cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from turbostream.stream.adapters import merged, rounded
from turbostream.stream.blend import fewest
from turbostream.stream.course import Course
from turbostream.stream.fade import Fade, Knots, begun, still
from turbostream.stream.noise_path import Walker, Walkers, heaviest, moved
from turbostream.stream.scene_checks import SOURCE_FIELDS, SceneError, check
from turbostream.stream.shot import MAX_SEED, Adapters

# Fields that take the checked value of a patch as it is.
PLAIN = frozenset(
    {"motion", "speed", "brightness", "steps", "guidance", "negative", *SOURCE_FIELDS}
)


@dataclass(frozen=True)
class Scene(Course):
    """What is shown and how it moves; `Course` has the fields and what is shown at a time."""

    @classmethod
    def single(
        cls,
        prompt: str,
        motion: str = "walk",
        speed: float = 0.15,
        seed: int = 0,
        width: int | None = None,
        height: int | None = None,
        adapters: Adapters = (),
        phase: float = 0.0,
        anchored_at: float = 0.0,
    ) -> Scene:
        """The scene of one prompt and one seed."""
        return cls(
            ((prompt, 1.0),),
            motion,
            speed,
            (Walker(seed, phase),),
            width=width,
            height=height,
            anchored_at=anchored_at,
            adapters=adapters,
        )

    # -- changes -------------------------------------------------------------------------------

    def changed(self, time: float, changes: Mapping[str, Any]) -> Scene:
        """The scene with `changes`, which fades from what is on screen at `time` (seconds).

        changes: fields of scene_checks.PATCHABLE; raises SceneError with one sentence for any other
        and for invalid values. A seed restarts the walk there, at `phase` if that is given as well.
        Without `fade_s` the change is a cut.
        """
        checked = {name: check(name, value) for name, value in changes.items()}
        seconds, easing = checked.get("fade_s", 0.0), checked.get("easing", "smooth")
        if {"prompt", "prompts"} <= set(checked):
            raise SceneError("The patch names both prompt and prompts; send one of them.")
        walkers = None
        if "seed" in checked or "phase" in checked:
            walkers = (Walker(checked.get("seed", self.seed), checked.get("phase", 0.0)),)
        target = replace(
            self,
            adapters=merged(self.adapters, checked.get("adapters", {})),
            prompts=checked.get("prompts", checked.get("prompt", self.prompts)),
            **{name: value for name, value in checked.items() if name in PLAIN},
        )
        changed = self._faded_to(target, Fade(time, seconds, easing), walkers)
        return replace(changed, rhythm=self.rhythm.changed(time, checked))

    def recalled(self, look: Scene, time: float, seconds: float, easing: str) -> Scene:
        """The scene that fades to the words, the noise, the motion, the speed, the source, the
        guidance and the adapters of `look`; adapters that it does not name get weight 0.

        seconds: the length of the fade; 0 is a cut.
        """
        walkers = None if look.walkers == self.walkers_at(time) else look.walkers
        target = replace(
            self,
            adapters=merged(tuple((name, 0.0) for name, _ in self.adapters), dict(look.adapters)),
            prompts=look.prompts,
            motion=look.motion,
            speed=look.speed,
            steps=look.steps,
            guidance=look.guidance,
            negative=look.negative,
            **{name: getattr(look, name) for name in SOURCE_FIELDS},
        )
        scene = self._faded_to(target, Fade(time, seconds, easing), walkers)
        if walkers is None and look.walking_speed:
            return scene
        # No fade of the speed: the distance that it adds would shift the look's noise.
        return replace(scene, speed_from=None)

    def settled(self, time: float) -> Scene:
        """What is on screen at `time`, as a scene without fades."""
        prompts, walkers = self.prompts, self.walkers_at(time)
        if still(self.words_from, time) is not None:
            prompts = self.words_at(time)
        if still(self.noise_from, time) is not None:
            walkers = heaviest(walkers)
        return replace(
            self.without_fades(),
            prompts=prompts,
            walkers=walkers,
            strength=self.strength_at(time),
            adapters=tuple((name, rounded(weight)) for name, weight in self.adapters_at(time)),
            guidance=self.guidance_at(time),
            negative=self.negative_at(time),
            anchored_at=time,
        )

    def without_fades(self) -> Scene:
        return replace(
            self,
            words_from=None,
            noise_from=None,
            speed_from=None,
            brightness_from=None,
            strength_from=None,
            adapters_from=None,
            guidance_from=None,
            negative_from=None,
        )

    def unmodulated(self) -> Scene:
        return replace(self, rhythm=replace(self.rhythm, modulators=()))

    def shifted(self, seed: int, phase: float) -> Scene:
        """The scene with noise that is `seed` seeds and `phase` away, at any time."""

        def shift(walkers: Walkers) -> Walkers:
            return tuple(
                one._replace(seed=(one.seed + seed) % (MAX_SEED + 1), phase=one.phase + phase)
                for one in walkers
            )

        noise_from = self.noise_from
        if noise_from is not None:
            noise_from = replace(noise_from, start=shift(noise_from.start))
        return replace(self, walkers=shift(self.walkers), noise_from=noise_from)

    def with_spacing(self, spacing: Knots) -> Scene:
        """The scene with `spacing` in its fade of words, which must be in progress."""
        assert self.words_from is not None
        fade = replace(self.words_from.fade, spacing=spacing)
        return replace(self, words_from=replace(self.words_from, fade=fade))

    def _faded_to(self, target: Scene, fade: Fade, walkers: Walkers | None) -> Scene:
        """The scene that fades to `target`, a scene with the fades of this one.

        walkers: of the target, at the beginning of `fade`; None keeps those in force.
        """
        time = fade.began_at
        passed = self.distance(time)
        words_from = still(self.words_from, time)
        if target.prompts != self.prompts:
            words_from = begun(fewest(self.words_at(time)), fade)
        noise_from = still(self.noise_from, time)
        if noise_from is not None:
            noise_from = replace(noise_from, start=moved(noise_from.start, passed))
        if walkers is not None:
            noise_from = begun(heaviest(self.walkers_at(time)), fade)
        speed_from = still(self.speed_from, time)
        if target.walking_speed != self.walking_speed:
            speed_from = begun(self.speed_at(time), fade)
        brightness_from = still(self.brightness_from, time)
        if target.brightness != self.brightness:
            brightness_from = begun(self.brightness_at(time), fade)
        strength_from = still(self.strength_from, time)
        if target.strength != self.strength:
            strength_from = begun(self.strength_at(time), fade)
        adapters_from = still(self.adapters_from, time)
        if target.adapters != self.adapters:
            adapters_from = begun(self.adapters_at(time), fade)
        guidance_from = still(self.guidance_from, time)
        if target.guidance != self.guidance:
            guidance_from = begun(self.guidance_at(time), fade)
        negative_from = still(self.negative_from, time)
        if target.negative != self.negative:
            negative_from = begun(fewest(self.negative_at(time)), fade)
        return replace(
            target,
            walkers=moved(self.walkers, passed) if walkers is None else walkers,
            anchored_at=time,
            words_from=words_from,
            noise_from=noise_from,
            speed_from=speed_from,
            brightness_from=brightness_from,
            strength_from=strength_from,
            adapters_from=adapters_from,
            guidance_from=guidance_from,
            negative_from=negative_from,
        )

    # -- for the web ---------------------------------------------------------------------------

    def as_dict(self, time: float) -> dict[str, Any]:
        """The JSON form for the web: the scene once its fades are over, and the fade that ends
        last."""
        fade = self.fade_at(time)
        return {
            "prompt": self.prompt,
            "prompts": [{"text": text, "weight": weight} for text, weight in self.prompts],
            "motion": self.motion,
            "speed": self.speed,
            "seed": self.seed,
            "phase": self.phase_at(time),
            "brightness": self.brightness,
            "steps": self.steps,
            "guidance": self.guidance,
            "negative": max(self.negative, key=lambda pair: pair[1])[0] if self.negative else "",
            **{name: getattr(self, name) for name in SOURCE_FIELDS},
            **({"adapters": dict(self.adapters)} if self.adapters else {}),
            "fade": fade and fade.as_dict(time),
            **self.rhythm.as_dict(time),
        }

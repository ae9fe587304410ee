"""What a channel shows and how it moves.

Pure data and pure functions, any thread: no clock, no torch. `scene.shot_at(time, number)` is all
of the motion; the caller owns the clock. `scene_json.py` has the JSON form.

The words, the noise, the speed and the brightness each fade on their own, so that a change of one
does not cut short the fade of another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from turbostream.stream.blend import fewest, mixed, normalised
from turbostream.stream.fade import Fade, Knots, Transition, begun, between, still
from turbostream.stream.noise_path import Walker, Walkers, faded, heaviest, moved, noise_of, path
from turbostream.stream.rhythm import Rhythm, weighted
from turbostream.stream.scene_checks import SceneError, check
from turbostream.stream.shot import MAX_SEED, Prompts, Shot
from turbostream.stream.tempo import Tempo


@dataclass(frozen=True)
class Scene:
    """What is shown and how it moves: the target values, and the fades in progress towards them.

    prompts: texts and their weights, at least 0 and not all 0; they need not add up to 1.
    motion: `fresh` takes new noise for every frame, as the original guide does; `hold` keeps the
    noise; `walk` follows the path from the noise of one seed to that of the next, at `speed`.
    walkers: their positions on the path at `anchored_at`; the last one has the current seed.
    brightness: 0 (black) to 1 (as painted). anchored_at: seconds on the caller's clock.
    width, height: in pixels; None: the model's own. rhythm: the tempo and the modulators. These act
    on `shot_at` and, for a modulated speed, on how far the walkers come; every other value is the
    unmodulated one, from which a fade starts as well.
    words_from, noise_from, speed_from, brightness_from: the fades in progress. The speed fades
    between effective speeds, which are 0 unless motion is `walk`.
    """

    prompts: Prompts
    motion: str = "walk"
    speed: float = 0.15  # seeds per second
    walkers: Walkers = (Walker(0),)
    brightness: float = 1.0
    width: int | None = None
    height: int | None = None
    anchored_at: float = 0.0
    rhythm: Rhythm = Rhythm()
    words_from: Transition[Prompts] | None = None
    noise_from: Transition[Walkers] | None = None
    speed_from: Transition[float] | None = None
    brightness_from: Transition[float] | None = None

    @classmethod
    def single(
        cls,
        prompt: str,
        motion: str = "walk",
        speed: float = 0.15,
        seed: int = 0,
        width: int | None = None,
        height: int | None = None,
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
        )

    @property
    def prompt(self) -> str:
        """The prompt with the greatest weight, for clients that show only one."""
        return max(self.prompts, key=lambda pair: pair[1])[0]

    @property
    def seed(self) -> int:
        return self.walkers[-1].seed

    @property
    def walking_speed(self) -> float:
        """Target speed in seeds per second; 0 unless motion is `walk`."""
        return self.speed if self.motion == "walk" else 0.0

    @property
    def tempo(self) -> Tempo:
        return self.rhythm.tempo

    # -- at a time -----------------------------------------------------------------------------

    def distance(self, time: float) -> float:
        """How many seeds every walker has passed since `anchored_at`; never below 0.

        A modulator acts on the target speed: while the speed fades, its effect is not faded, so
        that the integral has a closed form.
        """
        since = max(0.0, time - self.anchored_at)
        swung = 0.0
        if self.rhythm.modulators:
            gained = self.rhythm.gained("speed", self.anchored_at, self.anchored_at + since)
            swung = self.walking_speed * gained
        if self.speed_from is None:
            return max(0.0, self.walking_speed * since + swung)
        start, fade = self.speed_from.start, self.speed_from.fade
        gained = fade.integral(self.anchored_at + since) - fade.integral(self.anchored_at)
        return max(0.0, start * since + (self.walking_speed - start) * gained + swung)

    def phase_at(self, time: float) -> float:
        """Seeds passed since `seed` at `time` (seconds)."""
        return self.walkers[-1].phase + self.distance(time)

    def speed_at(self, time: float) -> float:
        """Effective speed at `time` in seeds per second; 0 while nothing walks."""
        return between(self.speed_from, self.walking_speed, time)

    def brightness_at(self, time: float) -> float:
        return between(self.brightness_from, self.brightness, time)

    def words_at(self, time: float) -> Prompts:
        """Texts and their weights, which add up to 1."""
        return self._words_at(time, self.prompts)

    def _words_at(self, time: float, prompts: Prompts) -> Prompts:
        """The words if `prompts` are the target."""
        target = normalised(prompts)
        transition = self.words_from
        if transition is None or transition.fade.is_over(time):
            return target
        return mixed(transition.start, target, transition.fade.position(time))

    def walkers_at(self, time: float) -> Walkers:
        """The walkers at `time`; during a fade those of both ends, with the weights of the fade."""
        passed = self.distance(time)
        target = moved(self.walkers, passed)
        transition = self.noise_from
        if transition is None or transition.fade.is_over(time):
            return target
        return faded(moved(transition.start, passed), target, transition.fade.position(time))

    def shot_at(self, time: float, number: int) -> Shot:
        """The shot of frame `number` at `time` (seconds). Pure."""
        effects = self.rhythm.effects(time)
        if self.motion == "fresh":
            noise = path((self.seed + number) % (MAX_SEED + 1), 0.0)
        else:
            noise = noise_of(moved(self.walkers_at(time), effects.get("phase", 0.0)))
        return Shot(
            self._words_at(time, weighted(self.prompts, effects)),
            noise,
            width=self.width,
            height=self.height,
            brightness=self.brightness_at(time) * effects.get("brightness", 1.0),
        )

    def fade_at(self, time: float) -> Fade | None:
        """The fade in progress that ends last; None if there is none."""
        found = [
            transition.fade
            for transition in (
                self.words_from, self.noise_from, self.speed_from, self.brightness_from,
            )
            if transition is not None and not transition.fade.is_over(time)
        ]  # fmt: skip
        return max(found, key=lambda fade: fade.began_at + fade.seconds, default=None)

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
        changed = self._faded_to(
            Fade(time, seconds, easing),
            checked.get("prompts", checked.get("prompt", self.prompts)),
            walkers,
            motion=checked.get("motion", self.motion),
            speed=checked.get("speed", self.speed),
            brightness=checked.get("brightness", self.brightness),
        )
        return replace(changed, rhythm=self.rhythm.changed(time, checked))

    def recalled(self, look: Scene, time: float, seconds: float, easing: str) -> Scene:
        """The scene that fades to the words, the noise, the motion and the speed of `look`.

        seconds: the length of the fade; 0 is a cut.
        """
        walkers = None if look.walkers == self.walkers_at(time) else look.walkers
        scene = self._faded_to(
            Fade(time, seconds, easing),
            look.prompts,
            walkers,
            motion=look.motion,
            speed=look.speed,
            brightness=self.brightness,
        )
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
        return replace(self.without_fades(), prompts=prompts, walkers=walkers, anchored_at=time)

    def without_fades(self) -> Scene:
        return replace(
            self, words_from=None, noise_from=None, speed_from=None, brightness_from=None
        )

    def unmodulated(self) -> Scene:
        return replace(self, rhythm=replace(self.rhythm, modulators=()))

    def with_spacing(self, spacing: Knots) -> Scene:
        """The scene with `spacing` in its fade of words, which must be in progress."""
        assert self.words_from is not None
        fade = replace(self.words_from.fade, spacing=spacing)
        return replace(self, words_from=replace(self.words_from, fade=fade))

    def _faded_to(
        self,
        fade: Fade,
        prompts: Prompts,
        walkers: Walkers | None,
        motion: str,
        speed: float,
        brightness: float,
    ) -> Scene:
        """walkers: of the target, at the beginning of `fade`; None keeps those in force."""
        time = fade.began_at
        passed = self.distance(time)
        target = replace(self, motion=motion, speed=speed).walking_speed
        words_from = still(self.words_from, time)
        if prompts != self.prompts:
            words_from = begun(fewest(self.words_at(time)), fade)
        noise_from = still(self.noise_from, time)
        if noise_from is not None:
            noise_from = replace(noise_from, start=moved(noise_from.start, passed))
        if walkers is not None:
            noise_from = begun(heaviest(self.walkers_at(time)), fade)
        speed_from = still(self.speed_from, time)
        if target != self.walking_speed:
            speed_from = begun(self.speed_at(time), fade)
        brightness_from = still(self.brightness_from, time)
        if brightness != self.brightness:
            brightness_from = begun(self.brightness_at(time), fade)
        return replace(
            self,
            prompts=prompts,
            motion=motion,
            speed=speed,
            walkers=moved(self.walkers, passed) if walkers is None else walkers,
            brightness=brightness,
            anchored_at=time,
            words_from=words_from,
            noise_from=noise_from,
            speed_from=speed_from,
            brightness_from=brightness_from,
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
            "fade": fade and fade.as_dict(time),
            **self.rhythm.as_dict(time),
        }

"""The course of a scene: what it shows at a time.

Pure data and pure functions, any thread: no clock, no torch. `course.shot_at(time, number, given)`
is all of the motion; the caller owns the clock. `scene.py` adds how a scene changes.
"""

from __future__ import annotations

from dataclasses import dataclass

from turbostream.stream.adapters import between as between_adapters
from turbostream.stream.adapters import of_shot
from turbostream.stream.blend import mixed, normalised
from turbostream.stream.fade import Fade, Transition, between, still
from turbostream.stream.noise_path import Walker, Walkers, faded, moved, noise_of, path
from turbostream.stream.rhythm import Rhythm, weighted
from turbostream.stream.shot import (
    MAX_SEED,
    Adapters,
    EarlierFrame,
    InputPicture,
    Prompts,
    Shot,
    Source,
)
from turbostream.stream.source_given import NOTHING, Given
from turbostream.stream.tempo import Tempo

LEAST_STRENGTH = 0.001  # models have 1,000 timesteps, and a shot's strength is above 0
GUIDANCE_DIGITS = 3  # equal guidance makes equal shots
LONGEST_MOVE_S = 1.0  # feedback moves no further after a rest of the stream
NO_WORDS: Prompts = (("", 1.0),)  # what negative words fade from and to where there are none


@dataclass(frozen=True)
class Course:
    """The target values of a scene, and the fades in progress towards them.

    prompts: texts and their weights, at least 0 and not all 0; they need not add up to 1.
    motion: `fresh` takes new noise for every frame, as the original guide does; `hold` keeps the
    noise; `walk` follows the path from the noise of one seed to that of the next, at `speed`.
    walkers: their positions on the path at `anchored_at`; the last one has the current seed.
    brightness: 0 (black) to 1 (as painted). anchored_at: seconds on the caller's clock.
    width, height: in pixels; None: the model's own. rhythm: the tempo and the modulators. These act
    on `shot_at` and, for a modulated speed, on how far the walkers come; every other value is the
    unmodulated one, from which a fade starts as well.
    steps: of denoising; None: the model's own number.
    source: what frames start from: `none` is noise alone, `picture` the newest input picture,
    `feedback` the newest frame; noise alone as long as there is no such picture. strength: how much
    noise replaces of it, 0 to 1. zoom, rotation, shift_x, shift_y: the motion of feedback, see
    `EarlierFrame`: a factor, degrees, and widths and heights of the picture, each per second.
    adapters: names and weights of the LoRAs, in the order they are merged; weights may be 0.
    guidance: see `Shot`; None: the model's own. negative: the texts that guidance leads away from
    and their weights, which add up to 1; (): none. They act while the guidance is above 1.
    words_from and the like: the fades in progress. The
    speed fades between effective speeds, which are 0 unless motion is `walk`.
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
    steps: int | None = None
    source: str = "none"
    strength: float = 0.6
    zoom: float = 1.0
    rotation: float = 0.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    words_from: Transition[Prompts] | None = None
    noise_from: Transition[Walkers] | None = None
    speed_from: Transition[float] | None = None
    brightness_from: Transition[float] | None = None
    strength_from: Transition[float] | None = None
    adapters: Adapters = ()
    adapters_from: Transition[Adapters] | None = None
    guidance: float | None = None
    guidance_from: Transition[float | None] | None = None
    negative: Prompts = ()
    negative_from: Transition[Prompts] | None = None

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

    def strength_at(self, time: float) -> float:
        return between(self.strength_from, self.strength, time)

    def adapters_at(self, time: float) -> Adapters:
        transition = self.adapters_from
        if transition is None or transition.fade.is_over(time):
            return self.adapters
        return between_adapters(transition.start, self.adapters, transition.fade.position(time))

    def guidance_at(self, time: float, own: float = 1.0) -> float | None:
        """The guidance at `time`; None: the model's own, which counts as `own` during a fade."""
        transition = still(self.guidance_from, time)
        if transition is None:
            return self.guidance
        start, target = (
            own if value is None else value for value in (transition.start, self.guidance)
        )
        return start + (target - start) * transition.fade.position(time)

    def negative_at(self, time: float) -> Prompts:
        transition = still(self.negative_from, time)
        if transition is None:
            return self.negative
        start, target = (mix or NO_WORDS for mix in (transition.start, self.negative))
        return mixed(start, target, transition.fade.position(time))

    def source_at(self, time: float, given: Given) -> Source | None:
        """What the frame at `time` (seconds) starts from; None: noise alone."""
        if self.source == "picture" and given.picture is not None:
            return InputPicture(given.picture)
        if self.source == "feedback" and given.frame is not None:
            number, taken = given.frame
            since = min(max(0.0, time - taken), LONGEST_MOVE_S)
            return EarlierFrame(
                number,
                self.zoom**since,
                self.rotation * since,
                self.shift_x * since,
                self.shift_y * since,
                given.channel,
            )
        return None

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

    def shot_at(
        self, time: float, number: int, given: Given = NOTHING, own_guidance: float = 1.0
    ) -> Shot:
        """The shot of frame `number` at `time` (seconds), from the source that is `given`, for a
        model whose own guidance is `own_guidance`. Pure."""
        effects = self.rhythm.effects(time)
        if self.motion == "fresh":
            noise = path((self.seed + number) % (MAX_SEED + 1), 0.0)
        else:
            noise = noise_of(moved(self.walkers_at(time), effects.get("phase", 0.0)))
        source, strength = self.source_at(time, given), None
        if source is not None:
            modulated = self.strength_at(time) * effects.get("strength", 1.0)
            strength = round(min(1.0, max(LEAST_STRENGTH, modulated)), 3)
        guidance = self.guidance_at(time, own_guidance)
        if guidance is not None:
            guidance = round(guidance, GUIDANCE_DIGITS)
            guidance = None if guidance == own_guidance else guidance
        negative = () if guidance is None or guidance <= 1 else self.negative_at(time)
        return Shot(
            self._words_at(time, weighted(self.prompts, effects)),
            noise,
            source,
            strength,
            self.steps,
            adapters=of_shot(self.adapters_at(time)) if self.adapters else (),
            width=self.width,
            height=self.height,
            brightness=self.brightness_at(time) * effects.get("brightness", 1.0),
            guidance=guidance,
            negative=() if negative == NO_WORDS else negative,
        )

    def fade_at(self, time: float) -> Fade | None:
        """The fade in progress that ends last; None if there is none."""
        found = [
            transition.fade
            for transition in (
                self.words_from, self.noise_from, self.speed_from, self.brightness_from,
                self.strength_from, self.adapters_from, self.guidance_from, self.negative_from,
            )
            if transition is not None and not transition.fade.is_over(time)
        ]  # fmt: skip
        return max(found, key=lambda fade: fade.began_at + fade.seconds, default=None)

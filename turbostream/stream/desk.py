"""Applies values of the parameter table: what the page, OSC, MIDI and sound have in common.

Any thread. Knows no transport.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from turbostream.stream.adapters import PREFIX
from turbostream.stream.channel import Change, Channel
from turbostream.stream.parameters import PARAMETERS, check_value
from turbostream.stream.record_switch import RecordSwitch
from turbostream.stream.recording import Recorder
from turbostream.stream.repertoire import ChannelRepertoire, Repertoire
from turbostream.stream.scene import Scene
from turbostream.stream.scene_checks import SceneError
from turbostream.stream.setlist_player import SetlistPlayer
from turbostream.stream.shot import Shot
from turbostream.stream.taps import Taps

RANDOM_SEEDS = 2**32  # few enough digits to be read aloud
SHORTEST_BLACK_S = 0.5  # a cut to black and back would be a flash
WEIGHT = "weight_"
KNOBS = frozenset({"knobs"})  # moves of knobs in quick succession are one step of undo


class Desk:
    """One channel and its repertoire. check: raises for a shot that the engine cannot paint.
    recorder: gives the recorder, None if there is none."""

    def __init__(
        self,
        channel: Channel,
        repertoire: Repertoire | ChannelRepertoire,
        check: Callable[[Shot], object],
        recorder: Callable[[], Recorder | None] = lambda: None,
    ) -> None:
        self._channel, self._repertoire, self._check = channel, repertoire, check
        self._lock = threading.Lock()
        self._look: str | None = None  # the last one that was recalled here
        self._moving, self._lit = "walk", 1.0  # what `freeze` and `black` go back to
        self._record = RecordSwitch(recorder, channel.touch)
        self._taps, self._beat = Taps(), 0  # the beat of the last tap; the first one is 0
        channel.listen(self._note)
        self._note()

    def apply(
        self,
        values: Mapping[str, object],
        fade_s: float | None = None,
        easing: str | None = None,
    ) -> Change:
        """Apply `values`, name -> value; returns the change that is in force then.

        All values are checked before any is applied; raises SceneError with one sentence. First
        what acts by itself, such as a recall, then all fields as one change. fade_s, easing: None:
        the channel's defaults; values of these names precede.
        """
        actions, fields, fade = _sorted(values, fade_s, easing)
        for name, value in actions.items():
            self._act(name, value, *fade)
        return self._patch(fields, *fade) if fields else self._channel.last_change

    def apply_each(
        self,
        values: Mapping[str, object],
        fade_s: float | None = None,
        easing: str | None = None,
    ) -> Change:
        """`apply`, but a value that is refused does not stop the others; the error is raised once
        they are applied."""
        actions, fields, fade = _sorted(values, fade_s, easing)
        problem: SceneError | None = None
        for name, value in actions.items():
            try:
                self._act(name, value, *fade)
            except SceneError as error:
                problem = error
        try:
            if fields:
                self._patch(fields, *fade)
        except SceneError as error:
            problem = error
            for name, value in fields.items() if len(fields) > 1 else ():
                with suppress(SceneError):
                    self._patch({name: value}, *fade)
        if problem is not None:
            raise problem
        return self._channel.last_change

    def recall(
        self, name: str, fade_s: float | None = None, easing: str | None = None
    ) -> Change | float:
        """Recall a look; the change, or the seconds until the beat or the bar on which the scene
        has looks recalled. Raises UnknownLook, and SceneError for an invalid fade."""
        look = self._repertoire.collection.looks.get(name)
        found = self._repertoire.quantiser.recall(look.scene, fade_s, easing)
        self._look = look.name
        return found

    # -- fields of the scene -------------------------------------------------------------------

    def _patch(self, values: dict[str, Any], fade_s: float | None, easing: str | None) -> Change:
        given = {"fade_s": fade_s, "easing": easing}
        fade = {name: value for name, value in given.items() if value is not None}

        def changes(scene: Scene) -> dict[str, Any]:
            fields = {name: value for name, value in values.items() if PARAMETERS[name].field}
            weights = {
                int(name.removeprefix(WEIGHT)): value
                for name, value in values.items()
                if name.startswith(WEIGHT)
            }
            if weights:
                fields["prompts"] = _weighted(scene, fields.pop("prompt", None), weights)
            loras = {
                name.removeprefix(PREFIX): value
                for name, value in values.items()
                if name.startswith(PREFIX)
            }
            if loras:
                fields["adapters"] = loras
            if "freeze" in values:
                fields["motion"] = "hold" if values["freeze"] == "on" else self._moving
            return {**fields, **fade}

        turned = all(PARAMETERS[name].kind in ("continuous", "whole") for name in values)
        return self._channel.change(changes, self._check, KNOBS if turned else None)

    def _note(self) -> None:
        """The scene has changed: keep what `freeze` and `black` end with."""
        scene = self._channel.scene
        if scene.motion != "hold":
            self._moving = scene.motion
        if scene.brightness > 0:
            self._lit = scene.brightness

    # -- what acts by itself -------------------------------------------------------------------

    def _act(self, name: str, value: Any, fade_s: float | None, easing: str | None) -> None:
        if value is False:
            return  # the release of a button
        match name:
            case "black":
                lit = 0.0 if value == "on" else self._lit
                self._patch({"brightness": lit}, fade_s or SHORTEST_BLACK_S, easing)
            case "new_seed":
                self._patch({"seed": secrets.randbelow(RANDOM_SEEDS)}, fade_s, easing)
            case "look":
                self.recall(value, fade_s, easing)
            case "look_number":
                self.recall(self._look_at(value - 1), fade_s, easing)
            case "previous_look":
                self.recall(self._beside(-1), fade_s, easing)
            case "next_look":
                self.recall(self._beside(1), fade_s, easing)
            case "tap":
                self._tap()
            case "undo":
                self._channel.undo(fade_s)
            case "redo":
                self._channel.redo(fade_s)
            case "setlist_play":
                (self._player.play if value == "on" else self._player.pause)()
            case "setlist_previous":
                self._player.step(-1)
            case "setlist_next":
                self._player.step(1)
            case "record":
                self._record.turn(value == "on")
            case _:
                raise AssertionError(f"the parameter {name} has no effect")

    @property
    def _player(self) -> SetlistPlayer:
        player = self._repertoire.player
        if player is None:
            raise SceneError("The setlist plays on the default channel only.")
        return player

    def _tap(self) -> None:
        """The first tap begins a bar, and each further one is the next beat."""
        with self._lock:
            bpm = self._taps.tap(self._channel.snapshot()[1])
            self._beat = 0 if bpm is None else self._beat + 1
            self._channel.change({"beat": self._beat} | ({} if bpm is None else {"bpm": bpm}))

    def _look_at(self, index: int) -> str:
        names = self._repertoire.collection.looks.names
        if index >= len(names):
            raise SceneError(f"There are {len(names)} looks; look {index + 1} does not exist.")
        return names[index]

    def _beside(self, by: int) -> str:
        """The look before or after the last one recalled; the ends join."""
        names = self._repertoire.collection.looks.names
        if not names:
            raise SceneError("There are no looks yet; save one first.")
        if self._look not in names:
            return names[0 if by > 0 else -1]
        return names[(names.index(self._look) + by) % len(names)]


def _sorted(
    values: Mapping[str, object], fade_s: float | None, easing: str | None
) -> tuple[dict[str, Any], dict[str, Any], tuple[float | None, str | None]]:
    """(checked values that act by themselves, those of fields, the fade); raises SceneError."""
    checked = {name: check_value(name, value) for name, value in values.items()}
    fade = checked.pop("fade_s", fade_s), checked.pop("easing", easing)
    actions: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    for name, value in checked.items():
        is_field = PARAMETERS[name].field or name.startswith((WEIGHT, PREFIX)) or name == "freeze"
        (fields if is_field else actions)[name] = value
    return actions, fields, fade


def _weighted(scene: Scene, prompt: str | None, weights: Mapping[int, float]) -> list[Any]:
    """The blend of `scene`, or `prompt` alone, with other weights, in its web form."""
    prompts = scene.prompts if prompt is None else ((prompt, 1.0),)
    for number in weights:
        if number > len(prompts):
            raise SceneError(f"The blend has no prompt {number}; it has {len(prompts)}.")
    return [
        {"text": text, "weight": weights.get(number, weight)}
        for number, (text, weight) in enumerate(prompts, 1)
    ]

"""What one controller's messages do, and what it is told. Knows no socket and no route.

One thread at a time, the gevent thread.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from turbostream.stream.channel import Change
from turbostream.stream.controller import Controller
from turbostream.stream.scene_checks import SceneError
from turbostream.stream.shot import ShotError
from turbostream.stream.source_status import Sources
from turbostream.stream.strict_json import NotAnObject, read_object
from turbostream.web.live.picture_messages import PictureMessages

COMPLAIN_EVERY_S = 1.0  # errors of messages without an id
LONGEST_ID = 200  # characters
EXAMPLE = '{"set": {"speed": 0.3}}'
FIELDS = ("set", "patch", "id")
NO_PICTURES = "This server takes no input pictures."
REFUSALS = (SceneError, ShotError)
TOO_MANY, FORBIDDEN, BAD_REQUEST = 429, 403, 400

Id = int | float | str


@dataclass(frozen=True)
class Powers:
    """What the visitor at the other end may do, and how.

    refusal: why nothing may be changed, in one sentence; None: it may be.
    parameters_refused: the same for some of the parameters, by name.
    take_change: count one change; 0, or the seconds until one is accepted.
    patch: the fields of `PATCH /scene`; raises REFUSALS.
    datagram: one OSC datagram; a sentence if it was refused.
    answer: what a change is answered with; None: nothing had to be changed.
    state: what is sent after each change, as JSON.
    status_of: the HTTP status of one of REFUSALS.
    sources: where pictures go; None: this server takes none.
    ended: whether the channel was removed.
    """

    refusal: str | None
    parameters_refused: Callable[[Iterable[str]], str | None]
    take_change: Callable[[], float]
    too_many_changes: str
    patch: Callable[[Mapping[str, Any]], Change]
    datagram: Callable[[bytes], str | None]
    answer: Callable[[Change | None], dict[str, Any]]
    state: Callable[[], str]
    status_of: Callable[[Exception], int]
    sources: Sources | None = None
    ended: Callable[[], bool] = lambda: False


class ControlSession:
    """One controller's. Its answers collect in `answers`, as JSON, until they are taken."""

    def __init__(
        self, controller: Controller, powers: Powers, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.answers: list[str] = []
        self.state, self.ended = powers.state, powers.ended
        self._controller, self._powers, self._clock = controller, powers, clock
        self._waiting_id: Id | None = None  # of the newest set that is not yet applied
        self._held_until = 0.0
        self._complained_at = -COMPLAIN_EVERY_S
        self._pictures = None if powers.sources is None else PictureMessages(powers.sources)

    def text(self, data: bytes | bytearray) -> None:
        """Take one JSON message."""
        message: dict[str, Any] = {}
        try:
            message = read_object(data, "message", EXAMPLE)
            identity = _checked_id(message)
            kind, values = _content(message)
        except (NotAnObject, SceneError) as fault:
            found = message.get("id")
            self._refuse(found if _is_id(found) else None, BAD_REQUEST, str(fault))
            return
        refusal = self._powers.refusal
        if refusal is None and kind == "set":
            refusal = self._powers.parameters_refused(values)
        if refusal is not None:
            self._refuse(identity, FORBIDDEN, refusal)
            return
        try:
            (self._set if kind == "set" else self._patch)(values, identity)
        except REFUSALS as error:
            self._refuse(identity, self._powers.status_of(error), str(error))

    def datagram(self, data: bytes | bytearray) -> None:
        """Take one OSC datagram."""
        refusal = self._powers.refusal
        if refusal is not None:
            self._refuse(None, FORBIDDEN, refusal)
        elif problem := self._powers.datagram(bytes(data)):
            self._refuse(None, BAD_REQUEST, problem)

    def picture(self, data: bytes | bytearray) -> None:
        """Take the bytes of one picture's file."""
        refusal = self._powers.refusal
        if refusal is not None:
            self._refuse(None, FORBIDDEN, refusal)
        elif self._pictures is None:
            self._refuse(None, BAD_REQUEST, NO_PICTURES)
        else:
            self._pictures.take(bytes(data))

    def pictures_due_s(self) -> float | None:
        """Seconds until `acknowledge` should be called; None while no picture waits for it."""
        return None if self._pictures is None else self._pictures.due_s()

    def acknowledge(self) -> None:
        """Answer the pictures that have been decoded or dropped since."""
        if self._pictures is not None and (answer := self._pictures.answer()) is not None:
            self.answers.append(answer)

    def leave(self) -> None:
        """The controller has gone: apply its last values, and let its picture end."""
        if self.due_s() is not None:
            self.flush()
        if self._pictures is not None:
            self._pictures.leave()

    def due_s(self) -> float | None:
        """Seconds until `flush` should be called; None while nothing waits."""
        due_s = self._controller.due_s()
        return None if due_s is None else max(due_s, self._held_until - self._clock())

    def flush(self) -> None:
        """Apply the sets that wait, unless the visitor's rate holds them back."""
        wait_s = self._powers.take_change()
        if wait_s:
            self._held_until = self._clock() + wait_s
            return
        identity, self._waiting_id = self._waiting_id, None
        try:
            self._answer(identity, self._controller.flush())
        except REFUSALS as error:
            self._refuse(identity, self._powers.status_of(error), str(error))

    def _set(self, values: dict[str, Any], identity: Id | None) -> None:
        self._controller.put(values)
        if self._controller.due_s() is None:  # only what applies to later changes
            self._answer(identity, None)
        elif identity is not None:
            if self._waiting_id is not None:
                self.answers.append(json.dumps({"id": self._waiting_id, "merged": True}))
            self._waiting_id = identity

    def _patch(self, values: dict[str, Any], identity: Id | None) -> None:
        if self._controller.due_s() is not None:
            self.flush()  # changes stay in order
        if self._controller.due_s() is not None or self._powers.take_change():
            self._refuse(identity, TOO_MANY, self._powers.too_many_changes)
            return
        self._answer(identity, self._powers.patch(values))

    def _answer(self, identity: Id | None, change: Change | None) -> None:
        if identity is not None:
            self.answers.append(json.dumps({"id": identity, **self._powers.answer(change)}))

    def _refuse(self, identity: Id | None, status: int, sentence: str) -> None:
        if identity is not None:
            answer = {"id": identity, "error": sentence, "status": status}
            self.answers.append(json.dumps(answer))
        elif self._clock() - self._complained_at >= COMPLAIN_EVERY_S:
            self._complained_at = self._clock()
            self.answers.append(json.dumps({"error": sentence}))


def _is_id(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= LONGEST_ID
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 2**63 and math.isfinite(value)


def _checked_id(message: Mapping[str, Any]) -> Id | None:
    found = message.get("id")
    if "id" in message and not _is_id(found):
        raise SceneError(f"An id is a number, or a string of at most {LONGEST_ID} characters.")
    return found


def _content(message: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """("set" or "patch", its values); raises SceneError."""
    unknown = sorted(set(message) - set(FIELDS))
    if unknown:
        raise SceneError(f"A message has no {unknown[0][:40]!r}; known: {', '.join(FIELDS)}.")
    if ("set" in message) == ("patch" in message):
        raise SceneError(f"A message has either set or patch, such as {EXAMPLE}.")
    kind = "set" if "set" in message else "patch"
    if not isinstance(message[kind], dict):
        raise SceneError(f"The values of {kind} are an object, such as {EXAMPLE}.")
    return kind, message[kind]

"""A channel: a name, a scene and its history, shot numbers, a frame buffer, what may be a source.

The scene and the numbering share one lock: whoever changes the scene learns the number of the last
shot that was taken from the old one, so "every frame after n shows the new words" is exact. A
change costs no frame: those in flight are finished and shown, and the next shot is taken from the
scene that is in force then, however many changes came before.

Any thread; shots are taken on the generation thread. Knows no engine and no pace.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from turbostream.stream.adapters import SteppedAdapters, merged
from turbostream.stream.demand import Demand
from turbostream.stream.frame import Frame, FrameBuffer
from turbostream.stream.history import History
from turbostream.stream.scene import Scene
from turbostream.stream.scene_checks import MASTERS, SceneError
from turbostream.stream.scene_checks import check as check_field
from turbostream.stream.shot import Shot, TakenShot
from turbostream.stream.source_given import NOTHING, Given
from turbostream.stream.taken import Taken

MOST_UNSHOWN = 64  # changes that wait for their first frame; there are more only if frames fail


class NothingToUndo(SceneError):
    """The history has no step in that direction."""


@dataclass(frozen=True)
class Change:
    """A scene that was put in force at `at` (monotonic s); frames after `after` show it."""

    scene: Scene
    after: int
    at: float


class Channel(Demand, Taken):
    """fade_s (seconds), easing: the defaults of changes that name none. revision: rises with every
    change of what controllers show: of the scene, and of what calls `touch`. given: what may be a
    source now. removed: whatever watches or waits for it ends. default: whether its frames need no
    name of a channel as sources."""

    def __init__(
        self,
        name: str,
        scene: Scene,
        clock: Callable[[], float] = time.monotonic,
        fade_s: float = 0.0,
        easing: str = "smooth",
        default: bool = True,
    ) -> None:
        super().__init__()
        self.removed = False
        self.name = name
        self.revision = 0
        self.given = NOTHING if default else Given(channel=name)
        self.given_after = 0  # frames after that number may show the picture
        self._fade_s, self._easing = fade_s, easing
        self._history = History()
        self.buffer = FrameBuffer()
        self.buffer.listen(self._note_frame)
        self._clock = clock
        self._lock = threading.Lock()
        now = clock()
        self._adapters = SteppedAdapters()
        self._loaded = scene.adapters  # all that are, with the weights of the start
        scene = replace(scene, anchored_at=now, rhythm=scene.rhythm.begun(now))
        self._change = Change(scene, after=0, at=now)
        self._unshown: deque[Change] = deque(maxlen=MOST_UNSHOWN)  # `after` rises
        self._listeners: tuple[Callable[[], object], ...] = ()
        self._revision_listeners: tuple[Callable[[], object], ...] = ()
        self._given_listeners: tuple[Callable[[], object], ...] = ()
        self._scene_listeners: tuple[Callable[[Scene, float], object], ...] = ()
        self.before_shot: Callable[[], object] = lambda: None  # on the thread that takes it
        self._number = 0

    @property
    def scene(self) -> Scene:
        return self.last_change.scene

    @property
    def last_change(self) -> Change:
        with self._lock:
            return self._change

    @property
    def last_number(self) -> int:
        """The number of the newest shot that was taken."""
        with self._lock:
            return self._number

    @property
    def history(self) -> tuple[int, int]:
        """(how many changes can be undone, how many can be redone)."""
        with self._lock:
            return self._history.steps

    def change(
        self,
        changes: Mapping[str, Any] | Callable[[Scene], Mapping[str, Any]],
        check: Callable[[Shot], object] = lambda shot: None,
        group: frozenset[str] | None = None,
    ) -> Change:
        """Patch the scene; raises SceneError and leaves it as it was if the patch is wrong, and
        also if `check` raises for a shot of the patched scene, without fades and modulators. A
        patch that names a source is checked as if its picture were there already.

        changes: the patch, or what makes it of the scene in force, without another change in
        between. Without `fade_s` or `easing` the channel's default applies. group: see
        `History.add`.
        """
        with self._lock:
            now = self._clock()
            before = self._change.scene
            changes = changes(before) if callable(changes) else changes
            scene = before.changed(now, {"fade_s": self._fade_s, "easing": self._easing, **changes})
            asked = scene.without_fades().unmodulated()
            check(self.asked_shot(asked, now, self._number + 1, changes))
            names = frozenset(changes) - {"fade_s", "easing"}
            if not names & {"seed", "phase", "beat"} and _targets(scene) == _targets(before):
                return self._change  # nothing new: the frames in flight show it already
            if not names <= MASTERS:  # undo does not change them
                self._history.add(before, names, now, group)
            change = self._put(scene, now)
        self._announce()
        return change

    def recall(self, look: Scene, fade_s: float | None = None, easing: str | None = None) -> Change:
        """Put the words, noise, motion, speed and source of `look` in force. fade_s: seconds;
        None: the channel's default, as for easing. Raises SceneError for an invalid fade."""
        with self._lock:
            now = self._clock()
            scene = self._change.scene.recalled(look, now, *self._fade(fade_s, easing))
            self._history.add(self._change.scene, frozenset(), now)
            change = self._put(scene, now)
        self._announce()
        return change

    def undo(self, fade_s: float | None = None) -> Change:
        """Go back to the scene before the last change; raises NothingToUndo."""
        return self._step(self._history.undo, "There is nothing to undo.", fade_s)

    def redo(self, fade_s: float | None = None) -> Change:
        """Revert the last `undo`; raises NothingToUndo."""
        return self._step(self._history.redo, "There is nothing to redo.", fade_s)

    def touch(self) -> None:
        """Raise the revision, after a change outside the scene of what controllers show."""
        with self._lock:
            self.revision += 1
        self._announce_revision()

    def adjust(self, adjusted: Callable[[Scene, float], Scene]) -> None:
        """Replace the scene with `adjusted(scene, now)` as part of the last change; revision and
        history stay as they are."""
        with self._lock:
            now = self._clock()
            self._force(replace(self._change, scene=adjusted(self._change.scene, now)), now)

    def resume(self, scene_at: Callable[[float], Scene]) -> Change:
        """Put the scene of an earlier process in force; `scene_at` receives the time now.

        If `scene_at` raises, nothing changes.
        """
        with self._lock:
            now = self._clock()
            scene = scene_at(now)
            scene = replace(scene, adapters=merged(self._loaded, dict(scene.adapters)))
            change = self._force(Change(scene, after=self._number, at=now), now)
            self._unshown.clear()
            self.revision += 1
        self._announce_revision()
        return change

    def _step(
        self,
        step: Callable[[Scene, float], Scene | None],
        sentence: str,
        fade_s: float | None,
    ) -> Change:
        with self._lock:
            now = self._clock()
            fade = self._fade(fade_s)
            found = step(self._change.scene, now)
            if found is None:
                raise NothingToUndo(sentence)
            change = self._put(self._change.scene.recalled(found, now, *fade), now)
        self._announce()
        return change

    def _fade(self, fade_s: float | None, easing: str | None = None) -> tuple[float, str]:
        """(seconds, easing), the channel's own for None; raises SceneError."""
        return (
            self._fade_s if fade_s is None else check_field("fade_s", fade_s),
            self._easing if easing is None else check_field("easing", easing),
        )

    def _put(self, scene: Scene, now: float) -> Change:
        change = self._force(Change(scene, after=self._number, at=now), now)
        self.revision += 1
        # One frame will be the first to show all changes since the last shot; the earliest of
        # them has waited longest for it.
        if not self._unshown or self._unshown[-1].after < change.after:
            self._unshown.append(change)
        return change

    def _force(self, change: Change, now: float) -> Change:
        self._change = change
        for listener in self._scene_listeners:
            listener(change.scene, now)
        return change

    def _announce(self) -> None:
        for listener in self._listeners:
            listener()
        self._announce_revision()

    def _announce_revision(self) -> None:
        for listener in self._revision_listeners:
            listener()

    def snapshot(self) -> tuple[Change, float]:
        """The scene in force, and the time now on the clock of its anchor."""
        with self._lock:
            return self._change, self._clock()

    def listen(self, listener: Callable[[], object]) -> None:
        """Call `listener` on the changing thread after each change; it must return at once."""
        with self._lock:
            self._listeners += (listener,)

    def listen_revision(self, listener: Callable[[], object]) -> None:
        """Call `listener` on the changing thread each time the revision has risen; it must return
        at once."""
        with self._lock:
            self._revision_listeners += (listener,)

    def listen_scenes(
        self, listener: Callable[[Scene, float], object], at_once: bool = False
    ) -> None:
        """Call `listener(scene, now)` with each scene that comes into force, also one of `adjust`
        and `resume`; under the lock, so it must return at once and not call the channel. at_once:
        also with the one that is in force now."""
        with self._lock:
            self._scene_listeners += (listener,)
            if at_once:
                listener(self._change.scene, self._clock())

    def forget(self, listener: Callable[..., object]) -> None:
        """Call a listener of scenes or of `give_picture` no more."""
        with self._lock:
            self._scene_listeners = tuple(x for x in self._scene_listeners if x != listener)
            self._given_listeners = tuple(x for x in self._given_listeners if x != listener)

    def require_own_scene(self) -> None:
        """Raises SceneError if the scene of this channel is that of another."""

    def take_shot(self) -> TakenShot:
        """The next frame's number and recipe, at this moment."""
        taken = self.take_shot_if(lambda shot: True)
        assert taken is not None
        return taken

    def take_shot_if(self, fits: Callable[[Shot], bool]) -> TakenShot | None:
        """`take_shot` if the shot `fits`; else None, and the number is not used."""
        self.before_shot()
        with self._lock:
            now = self._clock()
            scene, number = self._change.scene, self._number + 1
            shot = scene.shot_at(now, number, self.usable, self.own_guidance)
            if shot.adapters != (stepped := self._adapters.at(now, shot.adapters)):
                shot = replace(shot, adapters=stepped)
            shot = self.taken(shot)
            if not fits(shot):
                return None
            self._number += 1
            return TakenShot(self._number, shot, now)

    def first_shown_by(self, number: int) -> Change | None:
        """Of the changes that frame `number` is the first to show, the one that waited longest.

        Each is returned once; None if there is none. For measuring how long changes take.
        """
        with self._lock:
            longest: Change | None = None
            while self._unshown and self._unshown[0].after < number:
                change = self._unshown.popleft()
                longest = longest or change
            return longest

    def give_picture(self, digest: str | None) -> None:
        """Make the picture of this SHA-256 the newest input picture; None: there is none."""
        with self._lock:
            self.given, self.given_after = replace(self.given, picture=digest), self._number
            listeners = self._given_listeners
        for listener in listeners:
            listener()

    def listen_given(self, listener: Callable[[], object]) -> None:
        """Call `listener` on the giving thread after each `give_picture`; it returns at once."""
        with self._lock:
            self._given_listeners += (listener,)

    def _note_frame(self, frame: Frame) -> None:
        with self._lock:
            self.given = replace(self.given, frame=(frame.number, frame.taken))


def _targets(scene: Scene) -> Scene:
    """The scene without what a fade or the walk changes by itself."""
    return replace(scene.without_fades(), walkers=(), anchored_at=0.0)

"""Input pictures on their way to the channel: the newest one that was offered is decoded, fitted to
the stage and given to the channel by its digest.

Decoding has a thread of its own, which takes at most one picture for each frame that the engine
paints, and at most half of one core: a camera faster than that, or a flood, costs neither memory
nor frames.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from PIL import Image

from turbostream.settings import Settings
from turbostream.sources import picture
from turbostream.sources.offered import FAILED, UNWATCHED_S, Decoded, Offered, Stage, is_near
from turbostream.sources.picture import Original, Pixels
from turbostream.sources.senders import GoneSenders
from turbostream.sources.store import Store
from turbostream.stream.channel import Channel
from turbostream.stream.frame import Frame
from turbostream.stream.shot import InputPicture, ShotError
from turbostream.stream.source_status import SourceError, SourceStatus

log = logging.getLogger(__name__)


class Intake:
    """The input picture of `channel`, which it is given in the size of the stage: WIDTH and HEIGHT,
    or else the size of the newest frame. A picture that comes before the first frame waits for it.
    Any thread."""

    def __init__(self, channel: Channel, settings: Settings) -> None:
        self._channel, self._settings = channel, settings
        self._store, self._stage = Store(), Stage(channel, settings)
        self._changed = threading.Condition()
        self._decoding = threading.Lock()  # one picture at a time, for the sake of memory
        self._ended = False
        self._era = 0
        self._offered: Offered | None = None  # waits for the thread
        self._newest: Decoded | None = None
        self._gone = GoneSenders()
        self._given: tuple[str, Pixels] | None = None  # the digest of the newest, and its pixels
        self._painted = False  # whether the engine has asked for it
        self._received = self._used = self._dropped = self._refused = 0
        self._message = ""
        self._listeners: tuple[Callable[[], object], ...] = ()
        self._thread = threading.Thread(target=self._run, name="source pictures", daemon=True)
        channel.buffer.listen(self._hear)

    # -- what the web and SOURCE call --------------------------------------------------------------

    def offer(self, data: bytes, origin: str, sender: object = None) -> None:
        """See `source_status.Sources`."""
        self._offer(partial(picture.decode, data), origin, False, len(data), sender)

    def leave(self, sender: object) -> None:
        """See `source_status.Sources`."""
        with self._changed:
            self._gone.add(sender)
            self._changed.notify()

    def put(self, data: bytes, fit: str, mirror: bool, timeout_s: float) -> str:
        """See `source_status.Sources`. The digest is empty while the size of the stage is unknown,
        that is, before the first frame."""
        with self._changed:
            self._received += 1
            self._drop_offered()
            decode = partial(picture.decode, data)
            offered = Offered(decode, "request", time.monotonic(), self._era, fit, mirror)
        if not self._decoding.acquire(timeout=timeout_s):
            problem = SourceError("Other pictures are being decoded; send it again.", status=503)
            self._refuse(problem)
            raise problem
        try:
            self._take(offered)
        except Exception as error:  # counted, since senders wait until every picture is
            self._refuse(error if isinstance(error, SourceError) else FAILED)
            raise
        finally:
            self._decoding.release()
        with self._changed:
            return "" if self._given is None else self._given[0]

    def offer_own(self, source: bytes | Original, origin: str) -> bool:
        """A picture of the setting SOURCE, as a file or decoded. False: it was not taken, since
        somebody gave another one, which stays until it is cleared."""
        with self._changed:
            if self._has_somebodys():
                return False
        mirror = self._settings.source_mirror
        if isinstance(source, bytes):
            self._offer(partial(picture.decode, source), origin, mirror, size=len(source))
        else:
            self._offer(lambda side: source, origin, mirror)
        return True

    def clear(self) -> None:
        """Forget the input picture."""
        with self._changed:
            self._forget()
        self._tell()

    def _forget(self) -> None:
        """Under the lock."""
        self._era += 1
        self._drop_offered()
        self._newest = self._given = None
        self._message = ""
        self._channel.give_picture(None)

    @property
    def era(self) -> int:
        """How often pictures have been forgotten."""
        return self._era

    def say(self, message: str) -> None:
        """Why SOURCE gives no picture, until one comes; not said beside somebody's picture."""
        with self._changed:
            if not self._has_somebodys():
                self._message = message

    def listen(self, listener: Callable[[], object]) -> None:
        """Call `listener` after each picture that was taken or refused, on the thread that did; it
        must return at once."""
        with self._changed:
            self._listeners += (listener,)

    def picture(self) -> bytes | None:
        """See `source_status.Sources`. Before the first frame, the picture as it came."""
        with self._changed:
            newest, given = self._newest, self._given
        if given is not None:
            return picture.jpeg(Image.fromarray(given[1]))
        return None if newest is None else picture.jpeg(newest.original.image)

    def status(self) -> SourceStatus:
        with self._changed:
            newest = self._newest
            return {
                "kind": self._channel.scene.source,
                "from": "" if newest is None else newest.offered.origin,
                "size": None if newest is None else list(newest.original.size),
                "age_s": None if newest is None else round(time.monotonic() - newest.offered.at, 3),
                "received": self._received,
                "used": self._used,
                "dropped": self._dropped,
                "refused": self._refused,
                "message": self._message,
            }

    def find(self, sha256: str) -> Pixels | None:
        """One of the stage pictures used last, by its digest: uint8 RGB [H, W, 3], not to be
        changed; None if it is not, or no longer, there."""
        return self._store.find(sha256)

    def resolve(self, source: InputPicture, width: int, height: int) -> Pixels:
        """See `engine_api.Resolve`. A shot of another size gets the picture in its size."""
        pixels = self._store.find(source.sha256)
        if pixels is None:
            raise ShotError(
                f"The input picture {source.sha256[:12]}... is not, or no longer, there."
            )
        if not self._painted:
            with self._changed:
                if self._given is not None and self._given[0] == source.sha256:
                    self._painted = True
                    self._changed.notify()
        if pixels.shape[:2] != (height, width):
            return picture.staged(Image.fromarray(pixels), (width, height), "cover", mirror=False)
        return pixels

    # -- the thread --------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        began = took = 0.0
        while (task := self._next(began, took)) is not None:
            began = time.monotonic()
            try:
                with self._decoding:
                    task()
            except SourceError as error:
                self._refuse(error)
            except Exception:  # the next picture may be a better one
                log.exception("[source] a picture failed.")
                self._refuse(FAILED)
                self._newest = None  # not again and again
            took = time.monotonic() - began

    def _next(self, began: float, took: float) -> Callable[[], None] | None:
        """What to do next, once it is time; None at the end. began, took: seconds, of the last
        picture."""
        rested = began + 2 * took
        period_s = max(1 / self._settings.target_fps, 0 if self._channel.wanted else UNWATCHED_S)
        paced = max(rested, began + period_s)
        with self._changed:
            while not self._ended:
                if self._has_left():
                    self._forget()
                    return self._tell
                if self._offered is not None:
                    left = (rested if self._painted else paced) - time.monotonic()
                    if left <= 0:
                        offered, self._offered = self._offered, None
                        return partial(self._take, offered)
                    self._changed.wait(left)
                elif self._waits_for_stage() and self._stage.size() is not None:
                    return self._give
                else:
                    self._changed.wait(self._gone.due_s())
            return None

    def _has_left(self) -> bool:
        """Whether the sender of the newest picture has been gone for long; under the lock."""
        due = self._gone.take_due()
        newest = self._offered or (self._newest and self._newest.offered)
        return newest is not None and newest.sender in due

    # -- one picture -------------------------------------------------------------------------------

    def _offer(
        self,
        decode: Callable[[int], Original],
        origin: str,
        mirror: bool,
        size: int = 1,
        sender: object = None,
    ) -> None:
        try:
            picture.check_size(size)
        except SourceError as error:
            with self._changed:
                self._received += 1
            self._refuse(error)
            return
        fit = self._settings.source_fit
        with self._changed:
            self._received += 1
            self._drop_offered()
            now = time.monotonic()
            self._offered = Offered(decode, origin, now, self._era, fit, mirror, sender)
            self._changed.notify()

    def _has_somebodys(self) -> bool:
        """Under the lock."""
        known = self._offered, self._newest and self._newest.offered
        return any(one is not None and one.is_somebodys for one in known)

    def _drop_offered(self) -> None:
        if self._offered is not None:
            self._offered = None
            self._dropped += 1

    def _take(self, offered: Offered) -> None:
        """Decode a picture and make it the newest. Raises SourceError."""
        stage = self._stage.size()
        original = offered.decode(picture.KEPT_SIDE if stage is None else max(stage))
        with self._changed:
            late = self._has_somebodys() and not offered.is_somebodys
            if late or offered.era != self._era:  # forgotten before it was decoded
                self._dropped += 1
                return
            self._newest = Decoded(original, offered)
            self._used += 1
            self._message = ""
            waits = self._stage.size() is None
            if waits:
                self._given = None
        if not waits:
            self._give()
        self._tell()

    def _give(self) -> None:
        """Give the newest picture to the channel, unless it is the one that the channel has."""
        newest, given, stage = self._newest, self._given, self._stage.size()
        if newest is None or stage is None:
            return
        offered = newest.offered
        pixels = picture.staged(newest.original.image, stage, offered.fit, offered.mirror)
        if given is not None and is_near(pixels, given[1], self._settings.source_threshold):
            return
        name = self._store.add(pixels)
        with self._changed:
            if offered.era != self._era:
                return
            is_new = self._given is None or self._given[0] != name
            self._given = name, pixels
            if is_new:
                self._painted = False
                self._channel.give_picture(name)

    def _refuse(self, error: SourceError) -> None:
        with self._changed:
            self._refused += 1
            self._message = str(error)
        self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    # -- the stage ---------------------------------------------------------------------------------

    def _hear(self, frame: Frame) -> None:
        """On the generation thread."""
        if self._waits_for_stage():
            with self._changed:
                self._changed.notify()

    def _waits_for_stage(self) -> bool:
        return self._newest is not None and self._given is None

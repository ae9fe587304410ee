"""The pictures of the setting SOURCE, on a thread of their own: a picture, a folder of pictures, a
video or an address.

Whatever is wrong with it is one sentence in the log and in /status, and the stream goes on. An
address is tried again, with growing pauses.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from PIL import Image

from turbostream.settings import Settings
from turbostream.sources import picture
from turbostream.sources.intake import Intake
from turbostream.sources.picture import Original
from turbostream.sources.video_link import VideoLink
from turbostream.sources.video_process import Order
from turbostream.stream import source_address
from turbostream.stream.channel import Channel
from turbostream.stream.source_status import SourceError

log = logging.getLogger(__name__)

SUFFIXES = {".jpg", ".jpeg", ".jpe", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
SLIDE_S = 5.0  # how long each picture of a folder is shown
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
STEADY_S = 10.0  # after that long a connection counts as having worked
TIMEOUT_S = 10.0  # of opening, and of each picture
LEAST_SIDE = 1024  # pixels, of a video's pictures; more for a larger stage
FINAL = ("own", "wrong")  # failures that no second attempt can mend
WATCHED_S = 0.1  # between two looks whether somebody watches


class Feed:
    """SOURCE of `settings` as the input picture of `channel`, through `intake`."""

    def __init__(self, intake: Intake, channel: Channel, settings: Settings) -> None:
        self._intake, self._channel, self._settings = intake, channel, settings
        self._ended = threading.Event()
        self._link: VideoLink | None = None
        self._logged: set[str] = set()  # since SOURCE last worked
        self._shown = ""
        self._thread = threading.Thread(target=self._run, name="source", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Whatever SOURCE does, this returns after `timeout_s` at the latest."""
        self._ended.set()
        if (link := self._link) is not None:
            link.kill()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    # -- the thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            address = source_address.parse(self._settings.source)
        except source_address.SourceAddressError as error:  # it was there when the program started
            self._say(f"SOURCE cannot be used: {error}")
            return
        self._shown = address.shown
        try:
            if address.kind == "folder":
                self._show_folder(Path(address.place))
            elif address.kind == "file" and _is_picture(Path(address.place)):
                self._show_picture(Path(address.place))
            elif address.kind == "file":
                self._play(address.place, is_url=False)
            else:
                self._play_url(address.place)
        except Exception:  # the stream goes on
            log.exception("[source] SOURCE failed.")
            self._intake.say("SOURCE failed by an error of the program, which the log shows.")

    def _say(self, message: str) -> None:
        """A source that is away for a day is one line."""
        if message not in self._logged:
            log.warning("[source] %s", message)
        self._logged.add(message)
        self._intake.say(message)

    # -- pictures ----------------------------------------------------------------------------------

    def _show_picture(self, file: Path) -> None:
        """Read once; a file that changes later is not read again. It comes back when another
        picture, which somebody gave, has been cleared."""
        data = self._read(file)
        if data is None:
            return
        try:
            original = picture.decode(data)
        except SourceError as error:
            self._say(f"{file} cannot be used: {error}")
            return
        forgotten = -1
        while not self._ended.is_set():
            if forgotten != self._intake.era and self._intake.offer_own(original, self._shown):
                forgotten = self._intake.era
            self._ended.wait(WATCHED_S)

    def _show_folder(self, folder: Path) -> None:
        """In the order of their names, SLIDE_S each, again and again; new ones are noticed."""
        while not self._ended.is_set():
            shown = 0
            for file in _pictures_in(folder):
                if self._ended.is_set():
                    return
                data = self._read(file)
                if data is not None:
                    self._intake.offer_own(data, self._shown)
                    shown += 1
                    self._ended.wait(SLIDE_S)
            if not shown:
                self._say(f"{folder} has no pictures; put some into it.")
                self._ended.wait(SLIDE_S)

    def _read(self, file: Path) -> bytes | None:
        """As much as tells whether it is too large; None if it cannot be read."""
        try:
            with file.open("rb") as opened:
                return opened.read(picture.MOST_BYTES + 1)
        except OSError as error:
            self._say(f"{file} cannot be read ({error.strerror}).")
            return None

    # -- videos and addresses ----------------------------------------------------------------------

    def _play_url(self, url: str) -> None:
        pause = FIRST_PAUSE_S
        while not self._ended.is_set():
            began = time.monotonic()
            failed = self._play(url, is_url=True)
            if failed in FINAL or self._ended.is_set():
                return
            if failed and time.monotonic() - began < STEADY_S:
                self._ended.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
            else:
                pause = FIRST_PAUSE_S
                self._ended.wait(pause if failed else 0.0)

    def _play(self, place: str, is_url: bool) -> str:
        """Until it ends; why, as `Report.failed`."""
        settings = self._settings
        order: Order = {
            "place": place,
            "is_url": is_url,
            "side": max(settings.width or 0, settings.height or 0, LEAST_SIDE),
            "rate": settings.target_fps,
            "timeout_s": TIMEOUT_S,
            "port": settings.server_port,
            "names": [] if settings.public_address == "auto" else [settings.public_address],
        }
        try:
            link = VideoLink(order)
        except OSError as error:
            self._say(f"SOURCE cannot be read ({error.strerror}).")
            return "system"
        self._link = link
        if self._ended.is_set():  # between the check and the line above
            link.kill()
        link.run(self._take if is_url else self._take_when_watched)
        self._link = None
        if link.failed == "program":
            log.error("[source] SOURCE failed: %s", link.detail)
        if link.failed and not self._ended.is_set():
            again = "" if link.failed in FINAL or not is_url else " It is tried again."
            self._say(_sentence(link, self._shown, is_url) + again)
        return link.failed

    def _take(self, source: bytes | Original) -> None:
        self._logged.clear()
        self._intake.offer_own(source, self._shown)

    def _take_when_watched(self, source: bytes | Original) -> None:
        """The video stands still while nobody watches: its process waits to send the next."""
        self._take(source)
        while not (self._channel.wanted or self._ended.is_set()):
            self._ended.wait(WATCHED_S)


def _is_picture(file: Path) -> bool:
    """By its name, and else by its first bytes."""
    if file.suffix.lower() in SUFFIXES:
        return True
    try:
        with Image.open(file, formats=picture.FORMATS):
            return True
    except picture.DAMAGED:
        return False


def _pictures_in(folder: Path) -> list[Path]:
    try:
        return sorted(one for one in folder.iterdir() if one.suffix.lower() in SUFFIXES)
    except OSError:
        return []


def _sentence(link: VideoLink, shown: str, is_url: bool) -> str:
    match link.failed:
        case "own":
            return (
                f"SOURCE {shown} is this server itself; for its own pictures as the source, set "
                "`source` to `feedback`."
            )
        case "wrong":
            return f"{shown} redirects to an address that is neither http nor https."
        case "host":
            return f"The host of {shown} is unknown: check its name."
        case "refused":
            return f"{shown} refuses the connection: check the host and the port."
        case "timeout" if link.opened:
            return f"{shown} has sent nothing for {TIMEOUT_S:g} s."
        case "timeout":
            return f"{shown} does not answer."
        case "certificate":
            return f"The certificate of {shown} is not valid."
        case "status":
            return f"{shown} refuses the request ({link.detail})."
        case "empty":
            return f"{shown} has no pictures."
        case "ended":
            return f"{shown} has ended the stream."
        case "damaged":
            kind = "a stream" if is_url else "a picture or a video"
            return f"{shown} is damaged or not {kind} that can be read."
        case "program":
            return f"{shown} failed by an error of the program, which the log shows."
    return f"{shown} cannot be read ({link.detail})."

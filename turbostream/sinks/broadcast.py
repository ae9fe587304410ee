"""Broadcasts a channel to a streaming site, an RTMP or SRT server or an HLS folder.

The thread "broadcast" runs one connection after the other (`PushLink`), with growing pauses after
those that fail. The generation thread only appends to a queue. The key of the address appears in
no status, log line or command line.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from turbostream.settings import Settings
from turbostream.sinks import hls_folder
from turbostream.sinks.push_link import PushLink
from turbostream.sinks.push_process import TIMEOUT_S
from turbostream.stream.channel import Channel
from turbostream.stream.frame import Frame
from turbostream.stream.push_address import PushAddress, PushAddressError, parse
from turbostream.stream.recording import BroadcastStatus

log = logging.getLogger(__name__)

SLOWEST, FASTEST = 15.0, 60.0  # frames a second; sites refuse less and more
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
STEADY_S = 10.0  # a connection that stood so long starts with the first pause again
STOP_S = 5.0
NOTHING = "Nothing is broadcast."


class Broadcast:
    """One broadcast, from `start` to `stop`, over any number of connections."""

    def __init__(self, address: PushAddress) -> None:
        self.address = address
        self.ended = threading.Event()
        self.link: PushLink | None = None
        self.frames = self.dropped = self.reconnects = 0  # of earlier connections
        self.message = f"Connecting to {address.shown}."


class Broadcaster:
    """Broadcasts `channel`, to one address at a time."""

    def __init__(self, channel: Channel, settings: Settings) -> None:
        self._channel, self._settings = channel, settings
        self._lock = threading.Lock()  # of start and stop
        self._now: Broadcast | None = None
        self._thread: threading.Thread | None = None
        channel.buffer.listen(self._hear)

    # -- what the web calls, on any thread ---------------------------------------------------------

    def start(self, url: str = "") -> BroadcastStatus:
        """Broadcast to `url` in place of any other address; '': to PUSH_URL. Frames are painted
        while it is connected or connecting. May wait for a disk, and for a connection that ends.

        Raises PushAddressError, or RecordingError for a folder that cannot be used, and then
        nothing has changed.
        """
        address = self._checked(url)
        with self._lock:
            self._end(STOP_S)
            self._now = now = Broadcast(address)
            self._thread = threading.Thread(
                target=self._run, args=(now,), name="broadcast", daemon=True
            )
            self._thread.start()
        return self.status()

    def stop(self, timeout_s: float = STOP_S) -> BroadcastStatus:
        """Returns after `timeout_s` at the latest."""
        with self._lock:
            self._end(timeout_s)
        return self.status()

    def status(self) -> BroadcastStatus:
        now = self._now
        if now is None:
            return {
                "on": False, "connected": False, "to": None, "seconds": 0.0, "bit_rate": 0,
                "frames": 0, "dropped": 0, "reconnects": 0, "message": NOTHING,
            }  # fmt: skip
        link = now.link
        since = None if link is None else link.connected_at
        return {
            "on": not now.ended.is_set(),
            "connected": since is not None,
            "to": now.address.shown,
            "seconds": 0.0 if since is None else round(time.monotonic() - since, 1),
            "bit_rate": 0 if link is None else link.bit_rate,
            "frames": now.frames + (0 if link is None else link.frames),
            "dropped": now.dropped + (0 if link is None else link.dropped),
            "reconnects": now.reconnects,
            "message": now.message if since is None else f"Broadcasting to {now.address.shown}.",
        }

    def _checked(self, url: str) -> PushAddress:
        configured = self._settings.push_url
        if not url and configured == "none":
            raise PushAddressError("Give an address, or set PUSH_URL before the server starts.")
        address = parse(url or configured)
        if address.kind != "hls":
            return address
        if configured == "none" or address != parse(configured):
            raise PushAddressError(
                "A folder can only be given by the setting PUSH_URL, when the server starts."
            )
        hls_folder.prepare(Path(address.url), self._settings.state_folder)
        return address

    def _end(self, timeout_s: float) -> None:
        now, thread = self._now, self._thread
        if now is None or thread is None or now.ended.is_set():
            return
        now.ended.set()
        now.message = f"The broadcast to {now.address.shown} was stopped."
        if (link := now.link) is not None:
            link.end()
        thread.join(timeout_s)
        if thread.is_alive() and (link := now.link) is not None:
            link.kill()
            thread.join(1.0)
        log.info("[push] %s", now.message)

    # -- the generation thread ---------------------------------------------------------------------

    def _hear(self, frame: Frame) -> None:
        now = self._now
        if now is not None and (link := now.link) is not None:
            link.offer(frame)

    # -- the thread --------------------------------------------------------------------------------

    def _run(self, now: Broadcast) -> None:
        pause, logged = FIRST_PAUSE_S, ""
        while not now.ended.is_set():
            try:
                why, stood_s = self._connect(now)
            except Exception:  # the next connection may work: a performance goes on
                log.exception("[push] a connection failed.")
                why, stood_s = "The connection failed; see the log.", 0.0
            if now.ended.is_set():
                return
            if stood_s >= STEADY_S:
                pause, logged = FIRST_PAUSE_S, ""
            now.message = f"{why} Trying again in {pause:g} s."
            if why != logged:  # a server that is away for a day is one line
                log.warning("[push] %s", now.message)
            logged = why
            if now.ended.wait(pause):
                return
            now.reconnects += 1
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _connect(self, now: Broadcast) -> tuple[str, float]:
        """(why the connection ended, how many seconds it stood)."""
        settings, shown = self._settings, now.address.shown
        try:
            link = PushLink(
                {
                    "url": _as_given(now.address),
                    "rate": min(max(settings.target_fps, SLOWEST), FASTEST),
                    "bit_rate": settings.push_bitrate * 1000,
                }
            )
        except OSError as error:
            return f"The encoder cannot be started ({error.strerror}).", 0.0
        newest = self._channel.buffer.newest()
        if newest is not None:
            link.offer(newest)
        with self._channel.watched():
            now.link = link
            if now.ended.is_set():  # between the check and the line above
                link.end()
            link.run()
        now.link = None
        now.frames += link.frames
        now.dropped += link.dropped
        if link.failed == "program":
            log.error("[push] The broadcast failed: %s", link.detail)
        stood_s = 0.0 if link.connected_at is None else time.monotonic() - link.connected_at
        return _sentence(link, shown), stood_s


def _as_given(address: PushAddress) -> str:
    return f"hls:{address.url}" if address.kind == "hls" else address.url


def _sentence(link: PushLink, shown: str) -> str:
    connected = link.connected_at is not None
    match link.failed:
        case "host":
            return f"The host of {shown} is unknown: check its name."
        case "refused":
            return f"{shown} refuses the connection: check the host and the port."
        case "timeout" if connected:
            return f"{shown} has taken nothing for {TIMEOUT_S:g} s."
        case "timeout":
            return f"{shown} does not answer."
        case "closed" if not connected:
            return (
                f"{shown} does not accept the broadcast: check the application and the stream key."
            )
        case "system" if not connected:
            return f"{shown} cannot be reached ({link.detail})."
        case "size" | "system":
            return f"The broadcast to {shown} was interrupted ({link.detail})."
        case "program":
            return "The broadcast was interrupted by an error of the program, which the log shows."
    return f"The connection to {shown} was lost."

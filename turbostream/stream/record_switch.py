"""Starts and stops recordings for controllers.

A controller's messages arrive on gevent's thread or on the OSC thread, which must not wait for a
disk, so the recorder is called on a short-lived thread of its own. Any thread.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from turbostream.stream.recording import Recorder, RecordingError
from turbostream.stream.scene_checks import SceneError

log = logging.getLogger(__name__)

NO_RECORDER = "This server does not record."


class RecordSwitch:
    """changed: called, on the switch's thread, after a recording has been started or stopped."""

    def __init__(
        self, recorder: Callable[[], Recorder | None], changed: Callable[[], object]
    ) -> None:
        self._recorder, self._changed = recorder, changed
        self._lock = threading.Lock()
        self._wanted: bool | None = None  # the newest value that is not applied yet
        self._busy = False

    def turn(self, on: bool) -> None:
        """Returns at once; of several values that wait, the newest is applied. Raises SceneError
        if this server does not record."""
        recorder = self._recorder()
        if recorder is None:
            raise SceneError(NO_RECORDER)
        with self._lock:
            self._wanted = on
            if self._busy:
                return
            self._busy = True
        threading.Thread(
            target=self._work, args=(recorder,), name="record switch", daemon=True
        ).start()

    def _work(self, recorder: Recorder) -> None:
        while True:
            with self._lock:
                wanted, self._wanted = self._wanted, None
                if wanted is None:
                    self._busy = False
                    return
            if recorder.status()["on"] == wanted:
                continue
            try:
                (recorder.start if wanted else recorder.stop)()
            except RecordingError as error:  # there is no request to answer
                log.warning("[record] %s", error)
            except Exception:  # the next press of the button may work
                log.exception("[record] the recorder failed.")
            self._changed()

"""Log lines about refused OSC messages: one for each address, however many messages are refused.

The thread "osc" only.
"""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)

MOST = 64  # anybody can invent more addresses


class Reports:
    def __init__(self) -> None:
        self._reported: set[str] = set()

    def add(self, key: str, sentence: str) -> None:
        """Log `sentence` unless there was one about `key`: an address, or the sentence itself."""
        if key in self._reported or len(self._reported) > MOST:
            return
        self._reported.add(key)
        if len(self._reported) > MOST:
            log.warning("[osc] more messages are refused; they are not listed.")
        else:
            log.warning("[osc] %s", sentence)

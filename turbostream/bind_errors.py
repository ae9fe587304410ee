"""Why a socket cannot be bound, in one sentence; for the server's port and that of OSC."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass


@dataclass(frozen=True)
class Sentences:
    """What to change, with {host}, {port} and {reason} to be filled in.

    host: for an address that this machine does not have. port: for a port that this user may not
    have. other: for any other reason, as a port that is taken.
    """

    host: str
    port: str
    other: str

    def why(self, error: Exception, host: str, port: int) -> str:
        """The sentence for `error`, which binding to `host`:`port` has raised."""
        number = error.errno if isinstance(error, OSError) else None
        if (
            isinstance(error, (UnicodeError, TypeError, socket.gaierror))
            or number == errno.EADDRNOTAVAIL
        ):
            return self.host.format(host=host[:60])
        if number in (errno.EACCES, errno.EPERM):
            return self.port.format(host=host, port=port)
        reason = os.strerror(number) if number else str(error)
        return self.other.format(host=host, port=port, reason=reason)

"""The last resort: ends the process without the GIL, unless it is put off in time.

A call that never gives the GIL back stops every thread of Python's, the watchdog's too. On Linux a
kernel timer starts a thread of the C library that calls `alarm(GRACE_S)`; SIGALRM then ends the
process, after faulthandler has written the stacks. There are two stages because a timer goes on
while the process is stopped: after a long stop the first stage fires at once, and the watchdog has
GRACE_S to put the second one off. Elsewhere it is faulthandler's own timer, of one stage, which a
long stop sets off too; the status is 1 then.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import faulthandler
import signal
import sys
from typing import TextIO

GRACE_S = 10  # whole seconds, for alarm(); a process that was stopped long may be swapped out

_CLOCK_MONOTONIC, _SIGEV_THREAD = 1, 2  # bits/time.h, bits/sigevent-consts.h


class _Sigevent(ctypes.Structure):
    """struct sigevent of sigevent(3type), 64 bytes on the 64-bit systems that torch runs on."""

    _fields_ = (
        ("value", ctypes.c_void_p),  # union sigval: what the function is given
        ("signo", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("function", ctypes.c_void_p),
        ("attributes", ctypes.c_void_p),
        ("padding", ctypes.c_char * 32),
    )


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class Fuse:
    """Call `put_off` more often than every `after_s`; the stacks go to `stacks`."""

    def __init__(self, stacks: TextIO) -> None:
        self._stacks = stacks
        self._libc: ctypes.CDLL | None = None
        self._timer = ctypes.c_void_p()
        if sys.platform == "linux" and ctypes.sizeof(_Sigevent) == 64:
            self._make_timer()

    def _make_timer(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(libc, "timer_create"):  # glibc before 2.34 has it in librt
            libc = ctypes.CDLL(ctypes.util.find_library("rt"), use_errno=True)
        event = _Sigevent(
            value=GRACE_S,
            notify=_SIGEV_THREAD,
            function=ctypes.cast(ctypes.CDLL(None).alarm, ctypes.c_void_p).value,
        )
        if libc.timer_create(_CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(self._timer)) == 0:
            self._libc = libc
            faulthandler.register(signal.SIGALRM, self._stacks, all_threads=True, chain=True)

    def put_off(self, after_s: float) -> None:
        """End the process `after_s` and GRACE_S from now."""
        if self._libc is None:
            faulthandler.dump_traceback_later(after_s + GRACE_S, exit=True, file=self._stacks)
            return
        whole = int(after_s)
        value = _Timespec(whole, int((after_s - whole) * 1e9))
        self._libc.timer_settime(self._timer, 0, ctypes.byref(_Itimerspec(value=value)), None)
        signal.alarm(0)  # last: the first stage may have fired just before

    def remove(self) -> None:
        if self._libc is None:
            faulthandler.cancel_dump_traceback_later()
            return
        self._libc.timer_delete(self._timer)
        signal.alarm(0)
        faulthandler.unregister(signal.SIGALRM)

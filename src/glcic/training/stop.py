"""Requests to stop before the end: a signal, or the end of the parent process."""

import os
import signal
from types import FrameType
from typing import Self


class Stopped(Exception):
    """Raised when work stops early on request, after everything needed to resume it is saved.

    A stage must then exit with a non-zero status, because DVC records a stage that exits with 0 as finished.
    """


class StopRequest:
    """Records SIGINT, SIGTERM and SIGHUP, so that work can check for them where it can stop; a second one kills.

    Signals that are ignored (`nohup`) stay ignored.
    """

    def __init__(self, parent: int | None = None) -> None:
        """Set the request up.

        Args:
            parent: id of the parent process at the start of this one; the work also stops when it is gone.
        """
        self._reason = ""
        self._parent = parent

    def __enter__(self) -> Self:
        handled = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        self._previous = {s: signal.getsignal(s) for s in handled if signal.getsignal(s) is not signal.SIG_IGN}
        for number in self._previous:
            signal.signal(number, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._reason = signal.Signals(number).name
        signal.signal(number, self._previous[signal.Signals(number)])

    @property
    def reason(self) -> str:
        """Why to stop; empty if there is no request."""
        if self._parent is not None and os.getppid() != self._parent:
            return "the process that started this stage is gone"
        return self._reason

    def check(self) -> None:
        """Raise `Stopped` if there is a request."""
        if self.reason:
            raise Stopped(self.reason)

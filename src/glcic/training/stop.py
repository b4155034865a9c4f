"""When to stop early: a signal, or the death of the process that started the work."""

import os
import signal
from types import FrameType
from typing import Self


class Stopped(Exception):
    """The work stopped before its end, since somebody asked; what is needed to go on is saved.

    A stage must exit non-zero on it, because DVC records a stage that exits 0 as finished.
    """


class StopRequest:
    """Turns SIGINT, SIGTERM and SIGHUP into a question, to be asked where the work can be left; a second one kills.

    A signal that is ignored (`nohup`) stays so.

    Attributes:
        reason: why to stop; empty while nobody has asked.
    """

    def __init__(self, parent: int | None = None) -> None:
        """`parent`: process whose death counts as well: its id at this one's very start; by now it may be gone."""
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
        if self._parent is not None and os.getppid() != self._parent:
            return "the process that started this stage is gone"
        return self._reason

    def check(self) -> None:
        """Raise Stopped if somebody asked."""
        if self.reason:
            raise Stopped(self.reason)

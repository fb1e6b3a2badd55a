"""Ctrl-C, heard also where Python drops what it raises."""

from __future__ import annotations

import signal
import threading
from typing import Any, Self


class Interrupts:
    """Within it, a Ctrl-C that came to nothing is raised by the next `check`.

    Python raises `KeyboardInterrupt` wherever it happens to be: in a destructor or a callback of
    the garbage collector it is printed as ignored, and the program goes on. A handler that
    somebody else has set stays, and so does a Ctrl-C that is to be ignored.
    """

    def __init__(self) -> None:
        self._heard = self._set = False

    def __enter__(self) -> Self:
        """Listen."""
        usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        self._set = usual and threading.current_thread() is threading.main_thread()
        if self._set:
            signal.signal(signal.SIGINT, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        """Listen no longer."""
        if self._set and signal.getsignal(signal.SIGINT) == self._hear:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _hear(self, number: int, frame: Any) -> None:
        self._heard = True
        signal.default_int_handler(number, frame)

    def check(self) -> None:
        """Raise what was dropped.

        Raises:
            KeyboardInterrupt: there was a Ctrl-C.
        """
        if self._heard:
            raise KeyboardInterrupt

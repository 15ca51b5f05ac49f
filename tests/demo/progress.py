"""Progress lines: what is going on, with the seconds since the start.

A finished step is one line. A wait rewrites its line on a terminal, and elsewhere (a CI
log) says something only every ten seconds. Used by the story; the result table is not
printed here.
"""

from __future__ import annotations

import sys
import time

# In a log without a cursor, a wait that says more often than this is noise.
_QUIET_S = 10.0
# To the line's begin, and erase it.
_ERASE = "\r\x1b[2K"


class Progress:
    """Writes to one stream; knows when it began."""

    def __init__(self, stream=sys.stdout) -> None:
        self._stream = stream
        self._begin = time.monotonic()
        self._said = self._begin
        self._live = stream.isatty()
        self._open = False

    def step(self, text: str) -> None:
        """One thing is done, or begins."""
        self._write(f"{self._clear()}{self._stamp()} {text}\n")
        self._said = time.monotonic()

    def waiting(self, text: str) -> None:
        """Still waiting; call it as often as you like."""
        if self._live:
            self._write(f"{_ERASE}{self._stamp()} {text}")
            self._open = True
        elif time.monotonic() - self._said >= _QUIET_S:
            self.step(text)

    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._begin

    def _stamp(self) -> str:
        return f"[{self.seconds():6.1f} s]"

    def _clear(self) -> str:
        erase = _ERASE if self._open else ""
        self._open = False
        return erase

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            # Nobody reads any more (`make demo | head`); that is no reason to stop cleaning up.
            pass

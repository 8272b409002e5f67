"""Progress of long work as lines of the task log; the command line draws bars from the same lines.

Format: `[progress] <what> <done>/<total> <note>`, at most a few lines a second.
"""

from __future__ import annotations

import time

_EVERY = 0.5


class Progress:
    """Counts towards `total` (0 where nobody knows it) and prints now and then, always at the end."""

    def __init__(self, what: str, total: int) -> None:
        self._what = what
        self._total = total
        self._done = 0
        self._printed = 0.0

    def advance(self, by: int = 1, note: str = "") -> None:
        """Count `by` more as done."""
        self._done += by
        now = time.monotonic()
        if self._done == self._total or now - self._printed >= _EVERY:
            self._printed = now
            print(f"[progress] {self._what} {self._done}/{self._total} {note}".rstrip(), flush=True)

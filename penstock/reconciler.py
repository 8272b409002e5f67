"""Bringing what serves to the registry's aliases again and again: a person may have moved one, and who followed a rollout may have died."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from penstock.errors import PenstockError
from penstock.promotion import Live, Promotion

#: Seconds at the most until a pipeline is looked at again that failed again and again.
_LONGEST: Final = 600.0
_AT_ONCE: Final = 8


@dataclass
class _Pipeline:
    """What is remembered of one: its look in course, how many failed before it, when the next one is due, and what was said last."""

    look: Future[None] | None = None
    failed: int = 0
    due: float = 0.0
    said: str = ""


class Reconciler:
    """Looks at each pipeline every so many seconds, at each by itself: one whose target hangs holds up no other.

    `names` are those there are, and `promotion` is that of one; both are asked anew at each look, so that a new or a changed declaration
    counts. `say` is told what changed, and why a look failed, once. The file `beat` is touched each time.
    """

    def __init__(
        self,
        names: Callable[[], Iterable[str]],
        promotion: Callable[[str], Promotion],
        every: float,
        say: Callable[[str], None],
        beat: Path,
    ) -> None:
        self._names = names
        self._promotion = promotion
        self._every = every
        self._say = say
        self._beat = beat
        self._known: dict[str, _Pipeline] = {}
        self._brought: dict[str, Live] = {}

    def run(self) -> dict[str, Live]:
        """Go on until interrupted, and end once what was begun has ended; what serves of each that was not as it should be."""
        with ThreadPoolExecutor(_AT_ONCE, "reconciler") as threads, suppress(KeyboardInterrupt):
            while True:
                self._beat.touch()
                for name in self._names():
                    known = self._known.setdefault(name, _Pipeline())
                    if (known.look is None or known.look.done()) and time.monotonic() >= known.due:
                        known.look = threads.submit(self._look, name, known)
                time.sleep(self._every)
        return self._brought

    def _look(self, name: str, known: _Pipeline) -> None:
        try:
            live = self._promotion(name).keep_up()
        except Exception as error:  # the next look may go well, whatever it was
            known.failed += 1
            known.due = time.monotonic() + min(self._every * 2**known.failed, _LONGEST)
            defect = "" if isinstance(error, PenstockError) else f"{type(error).__name__}: "
            self._tell(known, f"{name}: {defect}{error}")
            return
        if live is not None:
            self._brought[name] = live
            self._tell(known, f"{name}: version {live.version} serves at {live.url}")
        else:
            if known.failed:
                self._say(f"{name}: nothing is to be done any more")
            known.said = ""
        known.failed = 0

    def _tell(self, known: _Pipeline, line: str) -> None:
        if line != known.said:
            self._say(line)
        known.said = line

"""Progress of a job as it says it in its log: `[progress] <what> <done>/<total> <note>`."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE = re.compile(r"\[progress\] (?P<what>.+?) (?P<done>\d+)/(?P<total>\d+)(?: (?P<note>.*))?$")


@dataclass(frozen=True)
class Progress:
    """So much of something is done; `total` is 0 where nobody knows it."""

    what: str
    done: int
    total: int
    note: str = ""


def parse(line: str) -> Progress | None:
    """The progress that a line of a job's log tells, or None where it tells something else."""
    match = _LINE.search(line)
    if match is None:
        return None
    return Progress(match["what"], int(match["done"]), int(match["total"]), match["note"] or "")

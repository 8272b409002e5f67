"""What the benches of targets share: a package as another function or version, and how long work took."""

from __future__ import annotations

import json
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from penstock.host.manifest import MANIFEST


def renamed(package: Path, folder: Path, **said: str) -> Path:
    """A copy of the package in the new folder, whose manifest says that."""
    copy = Path(shutil.copytree(package, folder))
    manifest = json.loads((copy / MANIFEST).read_text())
    (copy / MANIFEST).write_text(json.dumps({**manifest, **said}))
    return copy


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def median_and_worst(seconds: Sequence[float]) -> str:
    """As a cell of a table."""
    return f"{statistics.median(seconds):.2f} / {max(seconds):.2f}"

"""Other programs that Penstock calls."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from penstock.errors import PenstockError


def find(name: str, *, next_step: str) -> str:
    """The path of a program: beside this Python, else on the path. Raises PenstockError where it is not there."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise PenstockError(f"{name} is not on the path", next_step=next_step)
    return found

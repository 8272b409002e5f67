"""Other programs that Penstock calls."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from penstock.errors import PenstockError


def find(name: str, *, next_step: str) -> str:
    """The path of a program: beside this Python, else on the path. Raises PenstockError where it is not there."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise PenstockError(f"{name} is not on the path", next_step=next_step)
    return found


def run(command: Sequence[str | Path], *, next_step: str) -> str:
    """What a program prints. Raises PenstockError with the end of what it says of its failure, where it fails."""
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise PenstockError(
            f"{Path(command[0]).name} {command[1]} ended with {ran.returncode}: {ran.stderr.strip()[-2000:]}",
            next_step=next_step,
        )
    return ran.stdout.strip()

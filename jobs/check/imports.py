"""Imports a model.py for real, in a process of its own, as far as that goes without Spark."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from penstock.findings import Finding

_IMPORT = "import runpy, sys; sys.path.insert(0, sys.argv[1]); runpy.run_path(sys.argv[2], run_name='model')"
#: Model code may make columns at import, which the job does with a session at hand and we have none.
_NEEDS_SPARK = ("SparkContext", "SESSION_OR_CONTEXT_EXISTS", "SESSION_OR_CONTEXT_NOT_EXISTS", "JVM")
_SECONDS = 60.0


def check(path: Path, where: str) -> list[Finding]:
    """What importing the file says, where it fails."""
    try:
        ran = subprocess.run(
            [sys.executable, "-c", _IMPORT, str(path.parent), str(path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        message = f"its import took more than {_SECONDS:g} s"
        return [_error(where, message, "do at import nothing but import and define")]
    if ran.returncode == 0:
        return []
    said = ran.stderr.strip().splitlines()
    if _only_for_spark(said):
        return []
    last = said[-1] if said else f"it ended the process with exit code {ran.returncode}"
    return [_error(_line(said, path, where), f"it does not import: {last}", "mend the import")]


def _only_for_spark(said: list[str]) -> bool:
    """Whether it failed inside pyspark for want of a session."""
    frames = [line for line in said if line.lstrip().startswith('File "')]
    inside = bool(frames) and "pyspark" in frames[-1]
    return inside and any(sign in line for line in said[-6:] for sign in _NEEDS_SPARK)


def _line(said: list[str], path: Path, where: str) -> str:
    """`where` with the number of the file's own line that failed."""
    own = [line for line in said if line.lstrip().startswith(f'File "{path}"')]
    return f"{where}:{own[-1].split('line ')[1].split(',')[0]}" if own else where


def _error(where: str, message: str, next_step: str) -> Finding:
    return Finding(severity="error", where=where, message=message, next_step=next_step)

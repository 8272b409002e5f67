"""Where a model comes from: the commit of the checkout and the versions of the libraries that made it."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

#: The libraries whose version may change what a package answers.
_LIBRARIES = ("pyspark", "onnx", "onnxruntime", "numpy")


def libraries() -> dict[str, str]:
    """Python's version and those of the libraries that make and score a model."""
    return {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}}


def git_tags(root: Path) -> dict[str, str]:
    """MLflow's standard tag with the commit checked out in `root`; none where that is no git checkout."""
    commit = _git(root, "rev-parse", "HEAD")
    if not commit:
        return {}
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    return {"mlflow.source.git.commit": commit, "penstock.git_dirty": str(bool(changed)).lower()}


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None

"""Keys: an artifact is named by a hash of everything that made it.

A key is the first 32 hex digits (128 bits) of the SHA-256 of canonical JSON: sorted keys, no spaces, UTF-8.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

LENGTH = 32


def digest(value: object) -> str:
    """The digest of a JSON value; equal values give equal digests, whatever the order of their keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def digest_bytes(data: bytes) -> str:
    """The digest of bytes."""
    return hashlib.sha256(data).hexdigest()[:LENGTH]


def digest_files(root: Path, files: Iterable[Path]) -> str:
    """The digest of files by their path below `root` and their content; order does not matter."""
    return digest(
        sorted((file.relative_to(root).as_posix(), digest_bytes(file.read_bytes())) for file in files)
    )


def source_files(folder: Path) -> list[Path]:
    """The files below `folder` that count as source: all but bytecode and hidden ones."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(p == "__pycache__" or p.startswith(".") for p in path.relative_to(folder).parts)
        and path.suffix != ".pyc"
    )


def environment_digest(root: Path) -> str:
    """The digest of what runs the jobs: the job room's lock (Spark and all) and Python's minor version."""
    lock = root / "images" / "job" / "requirements.txt"
    major, minor, _ = platform.python_version_tuple()
    return digest({"lock": digest_bytes(lock.read_bytes()), "python": f"{major}.{minor}"})


def stage_key(
    *,
    stage: str,
    subject: str,
    spec: Mapping[str, Any],
    inputs: Mapping[str, str],
    code: str,
    environment: str,
    salt: str | None,
) -> str:
    """The key of one stage's work.

    `spec` is the part of the pipeline that the stage reads, `inputs` the content digest of each input,
    `code` and `environment` digests, `salt` what a forced run adds so that its key is new.
    """
    return digest(
        {
            "stage": stage,
            "subject": subject,
            "spec": dict(spec),
            "inputs": dict(inputs),
            "code": code,
            "environment": environment,
            "salt": salt,
        }
    )

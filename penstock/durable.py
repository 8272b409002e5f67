"""Writing small files so that a crash at any moment leaves the old content or the new, never a part."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from pathlib import Path

from penstock.errors import StoreError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
#: What SQLite says of ENOSPC, and of the others.
_SQLITE_FULL = ("database or disk is full", "disk I/O error")


def write_atomic(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace `path` by a file of `data` with permissions `mode`, surviving a crash and a power cut.

    The bytes are on disk before the name is, and the name is on disk before this returns. Raises OSError when the
    disk is full or read-only; then `path` is as it was and no temporary file is left.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise
    sync_folder(path.parent)


def no_room(error: OSError) -> bool:
    """Whether a write failed for want of space: the disk, the quota or the limit on a file's size is used up."""
    return error.errno in _FULL


def says_no_room(text: str) -> bool:
    """The same of another program's words, as Spark's or SQLite's: it passes the system's on in its own error."""
    return any(words in text for words in (*map(os.strerror, _FULL), *_SQLITE_FULL))


def has_room(folder: Path) -> bool:
    """Whether a file of a megabyte can still be written in `folder`."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(2**20))
            file.flush()
    except OSError as error:
        return not no_room(error)
    return True


def not_written(error: OSError) -> StoreError:
    """The error for a write of a run's files that failed."""
    return _free_space(
        f"no space or right to write: {error.strerror or error} ({error.filename or 'unnamed file'})"
    )


def full(what: str) -> StoreError:
    """The error for `what` failed because the disk is full."""
    return _free_space(f"the disk is full: {what}")


def _free_space(message: str) -> StoreError:
    return StoreError(message, next_step="free space, then run again; what was done before is kept")


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable: a rename is only on disk once its folder is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Make every file and every name below `folder` durable."""
    for parent, _, files in os.walk(folder, topdown=False):
        for name in files:
            with open(os.path.join(parent, name), "rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(parent))

"""The artifact store: immutable folders under a URI that fsspec can reach, each won by one attempt.

Layout: `{store}/{pipeline}/{stage}/{key}/{attempt}/…` and, created last and exclusively,
`{store}/{pipeline}/{stage}/{key}/_result.json`. Run records lie under `{store}/{pipeline}/_runs/`, logged predictions under
`{store}/{pipeline}/_predictions/`.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import fsspec
from filelock import FileLock
from fsspec.implementations.local import LocalFileSystem

from penstock.durable import sync_tree
from penstock.errors import StoreError
from penstock.leases import lease
from penstock.redaction import redact
from penstock.results import StageResult

FORMAT = 1


class Store:
    """Artifacts and records below one URI. Raises StoreError where it cannot be read or written."""

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")
        # Others write below it too: a listing that is remembered would hide what they wrote.
        self.fs, root = fsspec.core.url_to_fs(self.uri, use_listings_cache=False)
        self.root: str = root.rstrip("/")
        self.local = isinstance(self.fs, LocalFileSystem)

    def open_format(self) -> None:
        """Mark a new store with its format, and refuse one of another format."""
        if self.create_json("_format.json", {"format": FORMAT}):
            return
        found = (self.read_json("_format.json") or {}).get("format")
        if found != FORMAT:
            raise StoreError(
                f"the store {self.uri} has format {found}; this Penstock reads format {FORMAT}",
                next_step="use the Penstock that made it, or another PENSTOCK_STORE",
            )

    def path(self, relative: str) -> str:
        """The filesystem's own path of something below the store (for `self.fs`)."""
        return f"{self.root}/{relative}"

    def uri_of(self, relative: str) -> str:
        """The full URI, as Spark and pyarrow read it."""
        return f"{self.uri}/{relative}"

    def exists(self, relative: str) -> bool:
        with self._named_errors("look for", relative):
            return bool(self.fs.exists(self.path(relative)))

    def names(self, relative: str) -> list[str]:
        """The names directly below a folder, sorted; none where it is missing."""
        try:
            with self._named_errors("list", relative):
                entries = self.fs.ls(self.path(relative), detail=False)
        except FileNotFoundError:
            return []
        return sorted(entry.rstrip("/").rsplit("/", 1)[-1] for entry in entries)

    def read_bytes(self, relative: str) -> bytes:
        with self._named_errors("read", relative):
            return bytes(self.fs.cat_file(self.path(relative)))

    @contextmanager
    def open(self, relative: str) -> Iterator[IO[bytes]]:
        """A stored file, to read some of it where it lies."""
        with self._named_errors("read", relative), self.fs.open(self.path(relative), "rb") as file:
            yield file

    def read_json(self, relative: str) -> Any | None:
        """The JSON value at a path, or None where there is none."""
        try:
            return json.loads(self.read_bytes(relative))
        except FileNotFoundError:
            return None

    def write_json(self, relative: str, value: Any) -> None:
        """Replace a JSON file in one step: readers see the old or the new one."""
        data = _encode(value)
        with self._named_errors("write", relative):
            if self.local:
                temporary = self._temporary(relative, data)
                os.replace(temporary, self.path(relative))
            else:
                self.fs.pipe_file(self.path(relative), data)

    def create_json(self, relative: str, value: Any) -> bool:
        """Create a JSON file whole, only where none is: True for the one writer that wins."""
        return self.create(relative, _encode(value))

    def create(self, relative: str, data: bytes) -> bool:
        """Create a file whole, only where none is: True for the one writer that wins."""
        with self._named_errors("write", relative):
            if not self.local:
                try:
                    with self.fs.open(self.path(relative), "xb") as file:
                        file.write(data)
                except FileExistsError:
                    return False
                return True
            temporary = self._temporary(relative, data)
            try:
                # A hard link fails where the name exists, and shows the whole content at once.
                os.link(temporary, self.path(relative))
            except FileExistsError:
                return False
            finally:
                os.unlink(temporary)
            return True

    def remove(self, relative: str) -> None:
        """Remove a file or folder, if it is there."""
        if self.exists(relative):
            with self._named_errors("remove", relative):
                self.fs.rm(self.path(relative), recursive=True)

    def put(self, local: Path, relative: str) -> None:
        """Copy a local file or folder into the store."""
        with self._named_errors("write", relative):
            target = self.path(relative)
            if not self.local:
                # With the slash a folder's content goes below the target, whether that is there or not.
                self.fs.put(f"{local}/" if local.is_dir() else str(local), target, recursive=local.is_dir())
            elif local.is_dir():
                shutil.copytree(local, target, dirs_exist_ok=True)
            else:
                Path(target).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(local, target)

    def fetch(self, relative: str, scratch: Path) -> Path:
        """A local path with the content of a stored file or folder; a local store is read in place."""
        if self.local:
            return Path(self.path(relative))
        target = scratch / relative.replace("/", "_")
        if not target.exists():  # what is stored never changes: once is enough
            with self._named_errors("read", relative):
                self.fs.get(self.path(relative), str(target), recursive=True)
        return target

    @contextmanager
    def writing(self, relative: str, scratch: Path) -> Iterator[Path]:
        """A local path to write a file or folder to: it is in the store when the block ends.

        A local store is written in place, another one from a copy in `scratch`.
        """
        if self.local:
            path = Path(self.path(relative))
            path.parent.mkdir(parents=True, exist_ok=True)
            yield path
            return
        copy = scratch / relative.replace("/", "_")
        yield copy
        self.put(copy, relative)

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold a lock by name; it is free again when its holder dies (of a store that is no folder: soon after)."""
        if not self.local:
            with lease(self, f"_locks/{name}"):
                yield
            return
        path = Path(self.path(f"_locks/{name}.lock"))
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path):
            yield

    # -- results -------------------------------------------------------------------------------------------

    def result(self, pipeline: str, stage: str, key: str) -> StageResult | None:
        """The result of a key, or None where no attempt has won yet."""
        value = self.read_json(f"{pipeline}/{stage}/{key}/_result.json")
        return None if value is None else StageResult.model_validate(value)

    def find_at(self, path: str) -> StageResult | None:
        """The result of the key in an attempt's path, whichever attempt won it; None where there is none."""
        pipeline, stage, key, _ = path.split("/")
        return self.result(pipeline, stage, key)

    def result_at(self, path: str) -> StageResult:
        """The result of the key in an attempt's path, whichever attempt won it. Raises StoreError where it is gone."""
        result = self.find_at(path)
        if result is None:
            _, stage, key, _ = path.split("/")
            raise StoreError(
                f"the store has no {stage} of key {key[:12]} any more",
                next_step="start the run again: it is made anew",
            )
        return result

    def commit(self, result: StageResult) -> StageResult:
        """Make an attempt the key's output, unless another won first; returns the winner's result."""
        relative = f"{result.pipeline}/{result.stage}/{result.key}"
        if self.local and self.exists(result.path):
            # On disk before its result is: after a power cut a key has all of its output, or none.
            sync_tree(Path(self.path(result.path)))
        if self.create_json(f"{relative}/_result.json", result.model_dump(mode="json")):
            return result
        self.remove(f"{relative}/{result.attempt}")
        winner = self.result(result.pipeline, result.stage, result.key)
        assert winner is not None
        return winner

    # -- internals -----------------------------------------------------------------------------------------

    def _temporary(self, relative: str, data: bytes) -> str:
        target = Path(self.path(relative))
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.parent / f".{target.name}.{uuid.uuid4().hex}"
        try:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        return str(temporary)

    @contextmanager
    def _named_errors(self, doing: str, relative: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError):
            raise  # an answer
        except Exception as error:
            # Of a folder, anything but an OSError is a defect of ours; clients of object storage raise their own kinds.
            if self.local and not isinstance(error, OSError):
                raise
            said = getattr(error, "strerror", None) or redact(str(error)) or type(error).__name__
            raise StoreError(
                f"cannot {doing} {relative or 'its top'} in the store {self.uri}: {said}",
                next_step="see that it is there, has space and lets this process in, then run again; what was done before is kept",
            ) from error


def _encode(value: Any) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode()

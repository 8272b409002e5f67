"""The host's folder: what is in it, and how it changes without ever being half-changed.

token                               the bearer token of changing calls, mode 0600
host.json                           where the running host is: url, pid, creation time
functions/<name>/revisions/<rev>/   immutable packages
functions/<name>/traffic.json       the live pointer, and the rollout
functions/<name>/openapi/<rev>.json what a revision says of itself, once it was asked by the gateway
libraries/<digest>/                 libraries of steps, for whichever packages need them (penstock.host.libraries)
logs/<name>.log                     what the function printed
predictions/<name>/                 its prediction log, until it is in the store
incoming/                           uploads and removals under way; emptied when a host starts
gateway/                            keys.json, the hashes of callers' keys, and access.log (penstock.host.gateway)
openwhisk/                          the same once more for OpenWhisk's actions, with namespaces/<name>.json and
                                    activations.db (penstock.host.openwhisk)
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from penstock.durable import sync_folder, sync_tree, write_atomic
from penstock.host.errors import HostError
from penstock.host.manifest import NAME, REVISION, SIGNATURE
from penstock.rollout.record import Record


class Traffic(BaseModel):
    """The live pointer: `revision` answers the function's name `since` that moment (ISO 8601, UTC).

    `rollout` is the one in course, or the last one: in the same file, as its end and the pointer move together.
    """

    model_config = ConfigDict(frozen=True)

    revision: str
    since: str
    rollout: Record | None = None


class HostRecord(BaseModel):
    """Where a running host is, and its gateway if it has one, in `host.json`; `created` is in s since the epoch, for people.

    What identifies it is pid and `birth` (`penstock.processes.birth_of`).
    """

    model_config = ConfigDict(frozen=True)

    url: str
    pid: int
    created: float
    birth: str
    gateway: str | None = None


class StateFolder:
    """Reads and writes below `root`. One host at a time may hold it; the server sees to that.

    Writes raise OSError when the disk is full; what was there before then still is.
    """

    def __init__(self, root: Path, predictions: Path | None = None) -> None:
        """Predictions are logged below the root, or in that other folder."""
        self.root = root.resolve()
        self.record = self.root / "host.json"
        self._functions = self.root / "functions"
        self._incoming = self.root / "incoming"
        self._libraries = self.root / "libraries"
        self.predictions = predictions or self.root / "predictions"

    def open(self) -> None:
        """Make the folders, and clear away what an earlier host left unfinished."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._incoming.exists():
            shutil.rmtree(self._incoming)
        logs = self.root / "logs"
        for folder in (self._functions, self._incoming, self._libraries, self.predictions, logs):
            folder.mkdir(exist_ok=True, mode=0o700)
        sync_folder(self.root)

    def token(self) -> str:
        """The bearer token of this folder, made on first use."""
        path = self.root / "token"
        with contextlib.suppress(FileNotFoundError):
            return path.read_text("ascii").strip()
        token = secrets.token_urlsafe(32)
        write_atomic(path, token.encode("ascii"), mode=0o600)
        return token

    def names(self) -> list[str]:
        """Every function with a revision, sorted."""
        return sorted(entry.name for entry in self._functions.iterdir() if NAME.fullmatch(entry.name))

    def revisions(self, name: str) -> list[str]:
        """The function's revisions, oldest upload first; empty when there is no such function."""
        folder = self._functions / name / "revisions"
        if not folder.is_dir():
            return []
        found = [entry for entry in folder.iterdir() if REVISION.fullmatch(entry.name)]
        return [
            entry.name for entry in sorted(found, key=lambda entry: (entry.stat().st_mtime_ns, entry.name))
        ]

    def package(self, name: str, revision: str) -> Path:
        """Where that revision's package is, or would be."""
        return self._functions / name / "revisions" / revision

    def packages(self) -> list[Path]:
        """Every package of every function."""
        return [self.package(name, revision) for name in self.names() for revision in self.revisions(name)]

    def library(self, digest: str) -> Path:
        """Where the libraries of that digest are, or would be."""
        return self._libraries / digest

    def libraries(self) -> list[Path]:
        """All that are there."""
        return list(self._libraries.iterdir())

    def publish_library(self, staged: Path, library: Path) -> None:
        """Give the installed libraries in `staged` their place: complete on disk before they have their name."""
        sync_tree(staged)
        os.rename(staged, library)
        sync_folder(self._libraries)

    def log(self, name: str) -> Path:
        """The function's log file."""
        return self.root / "logs" / f"{name}.log"

    def traffic(self, name: str) -> Traffic | None:
        """The live pointer, None before the first. Raises HostError when its file was damaged from outside."""
        path = self._functions / name / "traffic.json"
        try:
            return Traffic.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise HostError(
                500,
                f"{path} is not a live pointer: {error.errors()[0]['msg']}",
                next_step=f"route {name} to one of its revisions again",
            ) from error

    def point(self, name: str, traffic: Traffic) -> None:
        """Move the live pointer, durably and at once."""
        write_atomic(self._functions / name / "traffic.json", traffic.model_dump_json().encode())

    def staging(self) -> Path:
        """A new empty folder for an upload, on the same file system as the revisions."""
        return Path(tempfile.mkdtemp(dir=self._incoming))

    def publish(self, staged: Path, name: str, revision: str) -> None:
        """Make the package in `staged` a revision: complete on disk before it has its name."""
        sync_tree(staged)
        package = self.package(name, revision)
        for folder in (package.parent.parent, package.parent):
            folder.mkdir(exist_ok=True, mode=0o700)
            sync_folder(folder.parent)
        os.rename(staged, package)
        sync_folder(package.parent)

    def description(self, name: str, revision: str) -> bytes | None:
        """The OpenAPI document of that revision, empty where it has none; None where it was not asked yet."""
        with contextlib.suppress(FileNotFoundError):
            return self._description(name, revision).read_bytes()
        return None

    def describe(self, name: str, revision: str, document: bytes) -> None:
        """Keep that document for as long as the function. Where it cannot be kept, it is asked again."""
        path = self._description(name, revision)
        with contextlib.suppress(OSError):
            path.parent.mkdir(exist_ok=True, mode=0o700)  # without parents: a function that is gone stays so
            write_atomic(path, document)

    def _description(self, name: str, revision: str) -> Path:
        return self._functions / name / "openapi" / f"{revision}.json"

    def sign(self, staged: Path, name: str, revision: str) -> None:
        """Give the revision that is there the signature of the same package in `staged`."""
        write_atomic(self.package(name, revision) / SIGNATURE, (staged / SIGNATURE).read_bytes())

    def remove_revision(self, name: str, revision: str) -> None:
        """Take one revision away, in one step."""
        self._discard(self.package(name, revision))

    def remove_function(self, name: str) -> None:
        """Take the function and all its revisions away, in one step."""
        self._discard(self._functions / name)

    def set_aside(self, folder: Path) -> Path:
        """Take a folder away in one step; what is returned is then to be deleted."""
        # A crash while its files are deleted leaves them in incoming/, which is emptied.
        trash = self.staging()
        os.rename(folder, trash / folder.name)
        return trash

    def _discard(self, folder: Path) -> None:
        trash = self.set_aside(folder)
        sync_folder(folder.parent)
        shutil.rmtree(trash)

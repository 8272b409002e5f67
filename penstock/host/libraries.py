"""The libraries that steps of packages need beyond the runtime's own: a folder for each set of them.

A folder is named by the lines of the lock that it was made from, and by the Python that it was made for; whoever needs the same
uses the same. It is installed beside its place and moved there whole, and removed when no package needs it.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from penstock import durable, requirements, signatures
from penstock.errors import PenstockError
from penstock.host.errors import HostError
from penstock.host.limits import Limits
from penstock.host.manifest import PackageFault, read_manifest
from penstock.host.state import StateFolder
from penstock.redaction import redact

_LOCK = re.compile(r"steps/[^/]+/requirements\.txt")
_SAID = 2000  # characters of what uv says


@dataclass(frozen=True)
class _Layer:
    """What one step needs: its lock's place in the package, the lines of it that are not here, and their folder."""

    lock: str
    lines: tuple[str, ...]
    folder: Path


class Libraries:
    """The libraries of one state folder. Its methods belong to the host's event loop."""

    def __init__(self, state: StateFolder, limits: Limits) -> None:
        self._state = state
        self._limits = limits
        self._held: Counter[Path] = Counter()
        # One installation at a time: two packages may need the same.
        self._turn = asyncio.Lock()

    def folders(self, package: Path) -> list[Path]:
        """Where the libraries of a package's steps are, in the order of the steps. Raises HostError (413, 422)."""
        return [layer.folder for layer in self._layers(package)]

    @asynccontextmanager
    async def holding(self, package: Path) -> AsyncIterator[None]:
        """See that a package's libraries are installed, and keep them at least until the block ends.

        Raises HostError: 422 where a lock is none, or not the manifest's, or uv does not install it, or the package has locks
        and nobody trusted signed it; 413 for a lock too large, 501 where uv is not there, 507 for a full disk.
        """
        layers = self._layers(package)
        if layers:  # before anything that it asks for is fetched
            try:
                signatures.verify(package)
            except PenstockError as error:
                raise HostError(422, error.message, next_step=error.next_step) from error
        folders = Counter(layer.folder for layer in layers)
        self._held += folders
        try:
            for layer in layers:
                if not layer.folder.is_dir():
                    await self._install(layer)
            yield
        finally:
            self._held -= folders

    async def sweep(self, packages: Callable[[], Sequence[Path]]) -> None:
        """Remove what none of the packages needs, and nobody holds."""
        there = self._state.libraries()
        if not there:
            return
        try:
            used = {folder for package in packages() for folder in self.folders(package)}
        except HostError:  # a damaged package: who knows what it needs
            return
        # Between the look and the end nothing else runs, so that nobody begins to hold what goes.
        unused = [folder for folder in there if folder not in used and not self._held[folder]]
        for trash in [self._state.set_aside(folder) for folder in unused]:
            await asyncio.to_thread(shutil.rmtree, trash, ignore_errors=True)

    def _layers(self, package: Path) -> list[_Layer]:
        try:
            manifest, _ = read_manifest(package)
        except PackageFault as fault:
            raise HostError(422, fault.message, next_step=fault.next_step) from fault
        layers = []
        for name in filter(_LOCK.fullmatch, manifest.files):
            path = package / name
            if path.is_file() and path.stat().st_size > self._limits.lock_bytes:
                raise HostError(413, f"{name} has more than {self._limits.lock_bytes} bytes")
            found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "not there"
            if found != manifest.files[name]:
                raise HostError(
                    422,
                    f"{name} is not the file that was packaged: its sha256 is {found}",
                    next_step="build the package again",
                )
            try:
                lines = tuple(each.line for each in requirements.absent(path))
            except (PenstockError, UnicodeDecodeError) as error:
                raise HostError(422, f"{name} is no lock: {error}") from error
            if lines:
                digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
                folder = self._state.library(f"{digest}-{sys.implementation.cache_tag}")
                layers.append(_Layer(name, lines, folder))
        return layers

    async def _install(self, layer: _Layer) -> None:
        async with self._turn:
            if not layer.folder.is_dir():
                await self._make(layer)

    async def _make(self, layer: _Layer) -> None:
        staged = self._state.staging()
        try:
            lock, site = staged / requirements.FILE, staged / "site"
            lock.write_text("".join(f"{line}\n" for line in layer.lines), encoding="utf-8")
            # Nothing is built: that would run code of whoever made the library, in the name of this host.
            await self._run(
                layer.lock, requirements.command(lock, site, "--no-deps", "--no-build", "--no-cache")
            )
            await asyncio.to_thread(self._state.publish_library, site, layer.folder)
        except HostError:
            raise
        except PenstockError as error:
            # An image has no uv: it has the libraries, or has not.
            raise HostError(
                501,
                f"{layer.lock}: {error.message}",
                next_step=f"{error.next_step}; where it is an image: penstock image machine",
            ) from error
        finally:
            await asyncio.to_thread(shutil.rmtree, staged, ignore_errors=True)

    async def _run(self, lock: str, command: Sequence[str | Path]) -> None:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(self._limits.install_seconds):
                _, said = await process.communicate()
        except TimeoutError:
            said = f"it took longer than {self._limits.install_seconds:g} s".encode()
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode:
            words = (
                redact(said.decode("utf-8", "replace").strip()[-_SAID:]) or f"exit code {process.returncode}"
            )
            raise HostError(
                507 if durable.says_no_room(words) else 422,
                f"what {lock} asks for cannot be installed: {words}",
                next_step="mend the step's lock, or the host's way to its index",
            )

"""Make .venv and install the locks into it: `make` calls this, on a machine with Python and nothing else.

A Python may come without pip and ensurepip, as Debian's does. So .venv is made without pip, and uv, which installs
the rest, is taken from its wheel, whose digest scripts/uv.txt pins.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from package_index import PYPI, Index, without_login

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON, UV = VENV / "bin" / "python", VENV / "bin" / "uv"
#: As new as what it was made from where .venv is whole; not there where it is not.
READY = VENV / ".ready"
REQUIREMENTS, UV_LOCK, PROJECT = (
    ROOT / "requirements.txt",
    ROOT / "scripts" / "uv.txt",
    ROOT / "pyproject.toml",
)


def main() -> None:
    """Make .venv, mend it or bring it up to date; exits with a message where that cannot be done."""
    with _alone():
        made_from = [path.stat().st_mtime for path in (REQUIREMENTS, UV_LOCK, PROJECT)]
        if READY.exists() and READY.stat().st_mtime >= max(made_from):
            return  # another make did it meanwhile
        if not (READY.exists() and PYTHON.exists()):
            shutil.rmtree(VENV, ignore_errors=True)  # what an interrupted one left
            venv.create(VENV, symlinks=True)
        index = Index.find()
        _have_uv(index)
        # Nothing is written outside of .venv and var, uv's cache included.
        _install({"UV_CACHE_DIR": str(ROOT / "var" / "cache" / "uv"), **os.environ, **index.for_uv()})


@contextmanager
def _alone() -> Iterator[None]:
    """One process at a time in this checkout."""
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _have_uv(index: Index) -> None:
    """Put uv, of the version that is pinned, into .venv where it is not there."""
    lock = UV_LOCK.read_text()
    pinned = re.search(r"^uv==(\S+)", lock, re.MULTILINE)
    assert pinned is not None
    version = pinned[1]
    if UV.exists():
        said = subprocess.run([UV, "--version"], capture_output=True, text=True, check=False).stdout
        if said.split()[1:2] == [version]:
            return
    wheel = _wheel(index, version)
    if hashlib.sha256(wheel).hexdigest() not in re.findall(r"sha256:(\w+)", lock):
        sys.exit(f"the index's wheel of uv {version} is not the one that scripts/uv.txt pins: not installed")
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        program = archive.read(f"uv-{version}.data/scripts/uv")
    partial = UV.with_name("uv.partial")
    partial.write_bytes(program)
    partial.chmod(0o755)
    partial.replace(UV)


def _wheel(index: Index, version: str) -> bytes:
    """The wheel for this machine, from the index."""
    place = without_login(index.url or PYPI)
    try:
        for link in index.links("uv"):
            if _fits(urlsplit(link).path.rpartition("/")[2], version):
                return index.get(link)
    except OSError as error:
        sys.exit(
            f"uv {version} cannot be had from the package index: {error}\n"
            "To do: see that the network is there; UV_DEFAULT_INDEX or PIP_INDEX_URL names another index"
        )
    sys.exit(
        f"the package index {place} has no wheel of uv {version} for {sys.platform} on {platform.machine()}"
    )


def _fits(wheel: str, version: str) -> bool:
    """Whether a wheel of this name is uv's for this machine."""
    name, _, tags = wheel.removesuffix(".whl").rpartition("-")
    if sys.platform == "darwin":
        system = "macosx"
    else:
        system = "manylinux" if platform.libc_ver()[0] == "glibc" else "musllinux"
    return name == f"uv-{version}-py3-none" and any(
        tag.startswith(system) and tag.endswith(f"_{platform.machine()}") for tag in tags.split(".")
    )


def _install(environment: dict[str, str]) -> None:
    """Bring .venv to the locks. Killed meanwhile, it is not ready, and the next run makes it anew."""
    was_ready = READY.exists()
    READY.unlink(missing_ok=True)
    install = [UV, "pip", "install", "--quiet", "--python", PYTHON]
    locked = ["--require-hashes", "-r", REQUIREMENTS]
    ours = ["--no-deps", "--no-build-isolation", "-e", ROOT]
    try:
        for what in (locked, ours):
            subprocess.run([*install, *what], env=environment, check=True)
    except subprocess.CalledProcessError as error:
        if was_ready:  # uv gave up by itself, no network say: what was there still serves, and is tried again
            READY.touch()
            os.utime(READY, (0, 0))
        sys.exit(error.returncode)
    READY.touch()


if __name__ == "__main__":
    main()

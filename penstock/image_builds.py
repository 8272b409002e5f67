"""How an image is built and where it is kept: by buildah or docker, whichever is there; here, or at a registry."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock import programs


@dataclass(frozen=True)
class Builds:
    """Builds images, and pushes them below `registry`; without one they stay in the builder's own storage."""

    registry: str | None

    def tag(self, name: str) -> str:
        """What an image is called: `registry/NAME:latest`, or `penstock/NAME:latest`."""
        return f"{self.registry or 'penstock'}/{name}:latest"

    def has(self, name: str) -> bool:
        """Whether the builder's own storage has the image."""
        inspect = (
            ["buildah", "inspect", "--type", "image"] if self._by_buildah else [_docker(), "image", "inspect"]
        )
        return subprocess.run([*inspect, self.tag(name)], capture_output=True, check=False).returncode == 0

    def build(
        self, name: str, dockerfile: Path, target: str, context: Path, arguments: Mapping[str, str]
    ) -> str:
        """Build a stage of a Dockerfile; the image's reference, by digest where it was pushed.

        Raises PenstockError where neither buildah nor docker is there, or one of their steps fails.
        """
        tag = self.tag(name)
        build: list[str | Path] = [
            "--target", target, *(f"--build-arg={key}={value}" for key, value in arguments.items()),
            "--tag", tag, "--file", dockerfile, context,
        ]  # fmt: skip
        if self._by_buildah:
            return self._with_buildah(tag, build, context)
        docker = _docker()
        run([docker, "build", "--quiet", *build])
        if not self.registry:
            return tag
        run([docker, "push", "--quiet", tag])
        return run([docker, "inspect", "--format", "{{index .RepoDigests 0}}", tag])

    @property
    def _by_buildah(self) -> bool:
        # Images that stay are for the containers here: where docker is, these are docker's.
        return bool(shutil.which("buildah") and (self.registry or not shutil.which("docker")))

    def _with_buildah(self, tag: str, build: Sequence[str | Path], context: Path) -> str:
        # Without a registry's certificate only on this machine. Times are set to nothing: same content, same digest.
        insecure = ["--tls-verify=false"] if self.registry and _is_loopback(self.registry) else []
        run(
            ["buildah", "build", "--quiet", "--isolation", "chroot", "--layers", "--timestamp", "0", *insecure, *build]
        )  # fmt: skip
        if not self.registry:
            return tag
        digest = context / "digest"
        run(["buildah", "push", "--quiet", *insecure, "--digestfile", digest, tag])
        return f"{tag.removesuffix(':latest')}@{digest.read_text().strip()}"


def run(command: Sequence[str | Path]) -> str:
    """What a program prints that takes part in making an image. Raises PenstockError with its words where it fails."""
    return programs.run(command, next_step="mend what it says, then build again: nothing was recorded")


def _docker() -> str:
    return programs.find("docker", next_step="install it, or buildah, which needs no daemon")


def _is_loopback(registry: str) -> bool:
    return registry.partition("/")[0].partition(":")[0] in ("localhost", "127.0.0.1")

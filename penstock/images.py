"""Images from source: the job image, and a pipeline's own on top of it.

Built by buildah or docker, whichever is there. Libraries are installed by uv outside, by the job room's lock and its
digests, and copied in; what is in a build's context decides what is in the image.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from penstock import code, jars
from penstock.code import BuildRecord
from penstock.durable import write_atomic
from penstock.errors import PenstockError
from penstock.settings import Settings
from penstock.spec.pipeline import Pipeline
from penstock.stages import RECORD

#: Our own code in the job image, at the same place as in the checkout.
_CODE = ("penstock", "jobs", "images/function")
_LOCK, _JARS = "images/job/requirements.txt", "images/job/jars.txt"
_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
_MINOR = "{}.{}".format(*sys.version_info[:2])


@dataclass(frozen=True)
class Builder:
    """Makes and pushes images below `registry` (a host with a path, `registry.example/team`)."""

    here: Settings
    registry: str
    base_image: str | None
    say: Callable[[str], None]

    def pipeline(self, pipeline: Pipeline) -> BuildRecord:
        """Build and push the pipeline's image, and write its record beside the declaration.

        Raises PenstockError where neither buildah nor docker is there, or one of their steps fails.
        """
        root, name = self.here.root, pipeline.name
        planned = code.of_checkout(self.here, pipeline)
        job = self._job()
        with self._context() as context:
            _copy(root / "dags" / name, context / "app" / "dags" / name)
            suites = root / "expectations" / pipeline.suites
            if suites.is_dir():
                _copy(suites, context / "app" / "expectations" / pipeline.suites)
            image = self._build(
                f"pipeline-{name.replace('_', '-')}",
                "pipeline",
                context,
                {"JOB_IMAGE": job, "PIPELINE": name},
            )
        record = BuildRecord(**planned.model_dump(), image=image, revision=self._revision())
        write_atomic(
            self.here.dags / name / RECORD, f"{record.model_dump_json(indent=1)}\n".encode(), mode=0o644
        )
        return record

    def _job(self) -> str:
        with self._context() as context:
            for folder in _CODE:
                _copy(self.here.root / folder, context / "app" / folder)
            lock = context / "app" / _LOCK
            lock.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.here.root / _LOCK, lock)
            (context / "app" / "dags").mkdir()
            self._install(context)
            jars.fetch(
                self.here.root / _JARS,
                self.here.var / "cache" / "jars",
                context / "site" / "pyspark" / "jars",
            )
            for name in ("executor.py", "decommission"):
                shutil.copy(self.here.root / "images" / "job" / name, context / name)
            arguments = {"PYTHON_VERSION": _MINOR}
            if self.base_image:
                arguments["BASE_IMAGE"] = self.base_image
            return self._build("job", "job", context, arguments)

    def _install(self, context: Path) -> None:
        """Put the libraries of the job room's lock into the context, each checked by its digest."""
        self.say("installing the job room's lock")
        self._run(
            [
                _program("uv"), "pip", "install", "--quiet", "--cache-dir", self.here.var / "cache" / "uv", "--require-hashes", "--target", context / "site",
                "--python", sys.executable, "--python-version", _MINOR, "--link-mode", "copy", "-r", context / "app" / _LOCK,
            ]
        )  # fmt: skip
        (context / "site" / ".lock").unlink(missing_ok=True)

    def _build(self, name: str, folder: str, context: Path, arguments: Mapping[str, str]) -> str:
        """Build and push one image; returns its reference by digest."""
        tag = f"{self.registry}/{name}:latest"
        given = {**arguments, "REVISION": self._revision() or "unknown"}
        build_arguments = [f"--build-arg={key}={value}" for key, value in given.items()]
        file = self.here.root / "images" / folder / "Dockerfile"
        self.say(f"building {tag}")
        if shutil.which("buildah"):
            # Without a registry's certificate only on this machine. Times are set to nothing: same content, same digest.
            insecure = ["--tls-verify=false"] if _is_loopback(self.registry) else []
            self._run(
                [
                    "buildah", "build", "--quiet", "--isolation", "chroot", "--layers", "--timestamp", "0", *insecure,
                    *build_arguments, "--tag", tag, "--file", file, context,
                ]
            )  # fmt: skip
            digest = context / "digest"
            self._run(["buildah", "push", "--quiet", *insecure, "--digestfile", digest, tag])
            return f"{self.registry}/{name}@{digest.read_text().strip()}"
        docker = _program("docker")
        self._run([docker, "build", "--quiet", *build_arguments, "--tag", tag, "--file", file, context])
        self._run([docker, "push", "--quiet", tag])
        return self._run([docker, "inspect", "--format", "{{index .RepoDigests 0}}", tag])

    def _revision(self) -> str | None:
        git: list[str | Path] = [
            "git",
            "-C",
            self.here.root,
            "describe",
            "--always",
            "--dirty",
            "--abbrev=40",
        ]
        said = subprocess.run(git, capture_output=True, text=True, check=False)
        return said.stdout.strip() if said.returncode == 0 else None

    @contextmanager
    def _context(self) -> Iterator[Path]:
        temporary = self.here.var / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="image-", dir=temporary) as folder:
            yield Path(folder)

    def _run(self, command: list[str | Path]) -> str:
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise PenstockError(
                f"{Path(command[0]).name} {command[1]} ended with {ran.returncode}: {ran.stderr.strip()[-2000:]}",
                next_step="mend what it says, then build again: nothing was recorded",
            )
        return ran.stdout.strip()


def _program(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise PenstockError(
            f"{name} is not on the path",
            next_step="install it (for docker: or buildah, which needs no daemon)",
        )
    return found


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, ignore=_IGNORED)


def _is_loopback(registry: str) -> bool:
    return registry.partition("/")[0].partition(":")[0] in ("localhost", "127.0.0.1")

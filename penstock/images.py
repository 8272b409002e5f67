"""Images from source: one a room, a pipeline's own on top of the job room's, and its function's on top of the function room's.

Built and kept as penstock.image_builds says. Libraries are installed by uv outside, by the room's lock and its
digests, and copied in; what is in a build's context decides what is in the image.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

import penstock
from penstock import code, jars, requirements, runtimes, sbom, steps
from penstock.code import BuildRecord
from penstock.durable import write_atomic
from penstock.errors import PenstockError
from penstock.image_builds import Builds, run
from penstock.settings import Settings
from penstock.spec.pipeline import Pipeline
from penstock.stages import RECORD

_RUNTIME = "images/function/penstock_function"
# The environment digest is of the job room's lock, wherever jobs run (penstock.keys).
_LOCK, _JARS = "images/{}/requirements.txt", "images/{}/jars.txt"
_MLEAP = "function-mleap"
# Keys of jobs rest on the source of both runtimes.
_JOBS = ("penstock", "jobs", _RUNTIME, f"images/{_MLEAP}", _LOCK.format("job"))
#: Our own code in the image of each room, at the same place as in the checkout.
ROOMS: Final[Mapping[str, tuple[str, ...]]] = {
    # As pods, and so on executors.
    "job": (*_JOBS, "images/job/executor.py", "images/job/decommission"),
    "airflow": ("penstock", "plugins"),
    "function": (_RUNTIME,),
    "function-grpc": (_RUNTIME,),
    _MLEAP: (),
    "machine": (*_JOBS, "plugins"),
}
#: Where the function runtime in Java is, too, once it was built: jobs prove and judge models by it, the function host starts it.
_HOLD_MLEAP = frozenset({"job", "machine", _MLEAP})
#: What only a type checker or a compiler reads of a library.
_UNREAD = frozenset({".pyi", ".pyx", ".pxd", ".pxi", ".h", ".hpp", ".c", ".cc", ".cpp", ".a"})
#: ONNX Runtime for programs in C: its Python module has the same within itself.
_FOR_C = "onnxruntime/capi/libonnxruntime.so.*"
_MINOR = "{}.{}".format(*sys.version_info[:2])


@dataclass(frozen=True)
class RoomImage:
    """An image by its reference, by digest where it was pushed, and the file of its bill of materials."""

    image: str
    sbom: Path


@dataclass(frozen=True)
class Builder:
    """Makes images and pushes them below `registry` (a host with a path, `registry.example/team`).

    Without a registry they stay in the builder's own storage, as `penstock/NAME:latest`.
    """

    here: Settings
    registry: str | None
    base_image: str | None
    say: Callable[[str], None]

    def pipeline(self, pipeline: Pipeline) -> BuildRecord:
        """Build and push the pipeline's image, and write its record beside the declaration.

        Raises PenstockError where neither buildah nor docker is there, or one of their steps fails, or the runtime that
        the pipeline's function needs was not built; SpecError where the pipeline's own requirements are no lock, or not for
        the job room.
        """
        if pipeline.function.bundle == "mleap":
            runtimes.jar(self.here.root)
        name, folder = pipeline.name, self.here.dags / pipeline.name
        planned = code.of_checkout(self.here, pipeline)
        own = pipeline.function.own_steps
        libraries = requirements.added(self._locks(pipeline), self._lock("job"))
        below = self.room("job").image
        with self._context() as context:
            app = context / "layer" / "app"
            _copy(folder, app / "dags" / name)
            suites = self.here.expectations / pipeline.suites
            if suites.is_dir():
                _copy(suites, app / "expectations" / pipeline.suites)
            for file in (file for name in own for file in steps.files(self.here.steps, name)):
                _copy(file, app / file.relative_to(self.here.root))
            image = self._layer(_named("pipeline", pipeline), below, libraries, "pipeline", context)
        record = BuildRecord(**planned.model_dump(), image=image, revision=self.revision())
        write_atomic(folder / RECORD, f"{record.model_dump_json(indent=1)}\n".encode(), mode=0o644)
        return record

    def notebook(self, pipeline: Pipeline) -> str:
        """Build and push JupyterLab on the pipeline's image, as its record has it; the reference by digest.

        Raises SpecError and KeyMismatch where that image is not there or not of the files here, PenstockError as above.
        """
        below = code.of_image(self.here, pipeline).image
        own = self.here.dags / pipeline.name / requirements.FILE
        libraries = requirements.beyond(self._lock("notebook"), self._lock("job"), own)
        with self._context() as context:
            return self._layer(
                _named("notebook", pipeline), below, libraries, "notebook", context, target="notebook"
            )

    def function(self, pipeline: Pipeline) -> str:
        """Build and push the function image with the libraries of each step of the pipeline's function as a layer of its own.

        Returns its reference. Raises SpecError where a step is not there, or its requirements are no lock, or not for the
        function room beside those of the others; PenstockError as above.
        """
        below, locks = self._lock("function"), list[Path]()
        layers = {}
        for name in pipeline.function.own_steps:
            [lock] = steps.locks(self.here.steps, [name])
            layers[name] = requirements.beyond(lock, below, *locks)
            locks.append(lock)
        image = self.room("function").image
        for name, libraries in layers.items():
            if libraries:
                with self._context() as context:
                    image = self._layer(
                        _named("function", pipeline), image, libraries, f"step {name}", context
                    )
        return image

    def machine(self, pipelines: Sequence[Pipeline]) -> str:
        """Build the machine image, which must be there, with the libraries of pipelines and of their functions' steps on top.

        Returns its reference: of the machine image itself where they ask for no more than that has. Raises SpecError where a
        step is not there, or their requirements are no locks, or not for the machine room beside each other; PenstockError
        where there is no machine image, and as above.
        """
        locks = [lock for pipeline in pipelines for lock in self._locks(pipeline)]
        libraries = requirements.added(locks, self._lock("machine"))
        below = self._builds.tag("machine")
        # Without this a builder would look for one of that name elsewhere: a stranger's.
        if not self.registry and not self._builds.has("machine"):
            raise PenstockError(f"there is no image {below} here", next_step="penstock image room machine")
        if not libraries:
            return below
        with self._context() as context:
            return self._layer("machine-libraries", below, libraries, "pipelines", context)

    def room(self, room: str) -> RoomImage:
        """Build the image of one of ROOMS, and push it where there is a registry. Raises PenstockError as above."""
        if room == _MLEAP:
            runtimes.jar(self.here.root)
        with self._context() as context:
            site, app = context / "site", context / "app"
            self.say(f"installing the {room} room's lock")
            self._install(self._lock(room), site)
            java = self._jars(room, site / "pyspark" / "jars") if room == "job" else []
            for path in ROOMS[room]:
                _copy(self.here.root / path, app / path)
            if room in _HOLD_MLEAP and (self.here.root / runtimes.JAR).is_file():
                _copy(self.here.root / runtimes.JAR, app / runtimes.JAR)
                java += self._jars(_MLEAP, app / runtimes.JAR.parent / "lib")
            if "plugins" in ROOMS[room]:
                _entry_points(app)
            bill = self.here.var / "images" / f"{room}.sbom.json"
            sbom.write(bill, f"penstock-{room}", site, java)
            shutil.copyfile(bill, context / "sbom.json")
            arguments = {"PYTHON_VERSION": _MINOR, "ROOM": room, "VERSION": penstock.__version__}
            if self.base_image:
                arguments["BASE_IMAGE"] = self.base_image
            image = self._build(room, "Dockerfile", room, context, arguments)
        return RoomImage(image, bill)

    @property
    def _builds(self) -> Builds:
        return Builds(self.registry)

    def _lock(self, room: str) -> Path:
        return self.here.root / _LOCK.format(room)

    def _locks(self, pipeline: Pipeline) -> list[Path]:
        """The locks of a pipeline and of its function's steps, whose examples register runs. Raises SpecError for no such step."""
        own = pipeline.function.own_steps
        return [self.here.dags / pipeline.name / requirements.FILE, *steps.locks(self.here.steps, own)]

    def _layer(
        self,
        name: str,
        below: str,
        libraries: Sequence[requirements.Pinned],
        whose: str,
        context: Path,
        target: str = "layer",
    ) -> str:
        """Build one layer (images/pipeline) on another image: what lies in `context`'s folder layer/, and somebody's libraries."""
        layer = context / "layer"
        layer.mkdir(exist_ok=True)
        if libraries:
            self.say(f"installing the libraries of the {whose}")
            lock = context / requirements.FILE
            lock.write_text("".join(f"{each.line}\n" for each in libraries))
            # What they need in turn is among them, or in the image below.
            self._install(lock, layer / "site", "--no-deps")
            sbom.write(layer / f"sbom.{whose.replace(' ', '-')}.json", f"penstock-{name}", layer / "site")
        arguments = {"BELOW": below, "TITLE": name}
        return self._build(name, "pipeline/Dockerfile", target, layer, arguments)

    def _install(self, lock: Path, site: Path, *options: str) -> None:
        """Put the libraries of a lock into a folder, each checked by its digest."""
        install = requirements.command(lock, site, "--cache-dir", self.here.var / "cache" / "uv", *options)
        try:  # what the environment here was made from is in the cache: the digests say that it is the same
            run([*install, "--offline"])
        except PenstockError:
            run(install)
        (site / ".lock").unlink(missing_ok=True)
        # Scripts begin with the path of the Python that installed them; a library's tests nobody imports.
        for folder in (site / "bin", *site.rglob("tests")):
            shutil.rmtree(folder, ignore_errors=True)
        unread = (file for file in list(site.rglob("*")) if file.suffix in _UNREAD and file.is_file())
        for file in (*unread, *site.glob(_FOR_C)):
            file.unlink()

    def _jars(self, room: str, target: Path) -> list[str]:
        """The same of the Java libraries of a room's lock; their paths in a Maven repository."""
        target.mkdir(parents=True, exist_ok=True)
        return jars.fetch(self.here.root / _JARS.format(room), self.here.var / "cache" / "jars", target)

    def _build(self, name: str, file: str, target: str, context: Path, arguments: Mapping[str, str]) -> str:
        """Build a stage of a Dockerfile of images/, by the commit that is checked out here."""
        self.say(f"building {self._builds.tag(name)}")
        given = {**arguments, "REVISION": self.revision() or "unknown"}
        return self._builds.build(name, self.here.root / "images" / file, target, context, given)

    def revision(self) -> str | None:
        """The commit that is checked out here, marked where files differ from it; None where this is no checkout."""
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


def _named(kind: str, pipeline: Pipeline) -> str:
    """What an image of a pipeline is called."""
    return f"{kind}-{pipeline.name.replace('_', '-')}"


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_file():
        shutil.copy(source, target)
    else:
        shutil.copytree(source, target, ignore=_no_source)


def _no_source(_: str, names: list[str]) -> set[str]:
    """Bytecode and hidden files, but for the one that keeps Airflow from running the plugin's files one by one."""
    return {
        name for name in names if name == "__pycache__" or (name.startswith(".") and name != ".airflowignore")
    }


def _entry_points(app: Path) -> None:
    """What this installation says of itself, by which Airflow finds the plugin."""
    own = distribution("penstock")
    folder = app / f"penstock-{own.version}.dist-info"
    folder.mkdir()
    for name in ("METADATA", "entry_points.txt"):
        (folder / name).write_text(own.read_text(name) or "")

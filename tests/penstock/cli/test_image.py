"""`penstock image`: what it refuses. What it builds runs in tests/cluster and tests/compose."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from penstock import runtimes, steps
from penstock.settings import Settings
from tests.penstock.cli.conftest import Penstock


def test_a_registry_must_be_given(
    penstock: Penstock, shift: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can guess where images go."""
    monkeypatch.delenv("PENSTOCK_REGISTRY", raising=False)
    ran = penstock("image", "build", "shift")
    assert ran.code == 1
    assert "give --registry, or set PENSTOCK_REGISTRY" in ran.stderr


def test_a_room_must_be_one(penstock: Penstock, shift: Settings) -> None:
    """Who mistypes it is told which there are."""
    ran = penstock("image", "room", "jobs")
    assert ran.code == 1
    assert "expected one of job, airflow, function, function-grpc, function-mleap, machine" in ran.stderr


#: Tells what it is to build, and gives what it pushes the number of that as its digest.
_BUILDAH = """#!/bin/sh
target= below= digest=
for given; do
    case "$before $given" in
        "--target "*) target=$given ;;
        *" --build-arg=BELOW="*) below=${given#*BELOW=} ;;
        "--digestfile "*) digest=$given ;;
    esac
    before=$given
done
if [ "$1" = build ]; then
    echo "$target" "$below" $(cd "$given" && find . -type f | grep -v '^[.]/app/\\(penstock\\|jobs\\|images\\)/' | sort) >> "$BUILT"
else
    echo "sha256:$(wc -l < "$BUILT")" > "$digest"
fi
"""


@pytest.fixture
def built(shift: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The pipeline's function has steps, two of them with libraries; what buildah is asked for stands in this file."""
    (shift.root / "penstock").symlink_to(Path(__file__).parents[3] / "penstock")
    one, two = (f"{name}=={number} --hash=sha256:00\n" for name, number in (("one", 1), ("two", 2)))
    for name, lock in {"greet": one, "plain": None, "wave": one + two}.items():
        (shift.steps / name).mkdir(parents=True)
        (shift.steps / name / "step.py").write_text("")
        if lock:
            (shift.steps / name / "requirements.txt").write_text(lock)
    spec = shift.dags / "shift" / "pipeline.py"
    asked = 'Pipeline(function={"steps": ["greet", "plain", "score", "wave"]}, '
    spec.write_text(spec.read_text().replace("Pipeline(", asked, 1))
    programs, told = tmp_path / "programs", tmp_path / "built"
    programs.mkdir()
    (programs / "buildah").write_text(_BUILDAH)
    (programs / "buildah").chmod(0o755)
    monkeypatch.setenv("BUILT", str(told))
    monkeypatch.setenv("PATH", str(programs), prepend=":")

    def install(self: object, lock: Path, site: Path, *options: str) -> None:
        site.mkdir()
        for line in lock.read_text().splitlines() if options else []:
            (site / f"{line.partition('=')[0]}.py").write_text("")

    monkeypatch.setattr("penstock.images.Builder._install", install)
    monkeypatch.setattr("penstock.images.Builder._jars", lambda self, room, target: [])
    return told


def test_a_function_image_has_a_layer_for_each_step(penstock: Penstock, shift: Settings, built: Path) -> None:
    """On the function room's: the libraries that a step adds to it and to those before; a step without any adds none."""
    ran = penstock("image", "function", "shift", "--registry", "r.example/t", "--json")
    assert ran.code == 0, ran.stderr
    assert ran.answer["image"] == "r.example/t/function-shift@sha256:3"
    assert built.read_text().splitlines() == [
        "function  ./sbom.json",
        "layer r.example/t/function@sha256:1 ./sbom.step-greet.json ./site/one.py",
        "layer r.example/t/function-shift@sha256:2 ./sbom.step-wave.json ./site/two.py",
    ]
    (shift.steps / "wave/requirements.txt").write_text("one==3 --hash=sha256:00\n")
    ran = penstock("image", "function", "shift")
    assert ran.code == 2
    assert "one 3 (1 in steps/greet/requirements.txt)" in ran.stderr


def test_a_pipelines_image_has_its_functions_steps(penstock: Penstock, shift: Settings, built: Path) -> None:
    """Their files and their libraries, with which register runs their examples; the record knows them."""
    ran = penstock("image", "build", "shift", "--registry", "r.example/t")
    assert ran.code == 0, ran.stderr
    layer = built.read_text().splitlines()[1].split()
    assert layer[:2] == ["layer", "r.example/t/job@sha256:1"]
    assert {path for path in layer if path.startswith(("./app/steps", "./site"))} == {
        "./app/steps/greet/requirements.txt", "./app/steps/greet/step.py", "./app/steps/plain/step.py",
        "./app/steps/wave/requirements.txt", "./app/steps/wave/step.py", "./site/one.py", "./site/two.py",
    }  # fmt: skip
    record = json.loads((shift.dags / "shift/image.json").read_text())
    assert record["steps"] == {name: steps.digest(shift.steps, name) for name in ("greet", "plain", "wave")}


def test_the_machine_image_gets_the_libraries_of_pipelines(
    penstock: Penstock, shift: Settings, built: Path
) -> None:
    """Of their own locks and their steps', each once, on the image that is there; that itself where they ask for no more."""
    own = shift.dags / "shift/requirements.txt"
    own.write_text("three==3 --hash=sha256:00\n")
    ran = penstock("image", "machine", "--registry", "r.example/t", "--json")
    assert ran.code == 0, ran.stderr
    assert ran.answer == {"pipelines": ["shift"], "image": "r.example/t/machine-libraries@sha256:1"}
    assert built.read_text().splitlines() == [
        "layer r.example/t/machine:latest ./sbom.pipelines.json ./site/one.py ./site/three.py ./site/two.py"
    ]
    own.write_text("one==3 --hash=sha256:00\n")
    ran = penstock("image", "machine", "shift")
    assert ran.code == 2
    assert "one 1 (3 in dags/shift/requirements.txt)" in ran.stderr
    for lock in (own, *shift.steps.glob("*/requirements.txt")):
        lock.unlink()
    ran = penstock("image", "machine", "--registry", "r.example/t", "--json")
    assert ran.answer["image"] == "r.example/t/machine:latest"


def test_a_machine_image_must_be_here(penstock: Penstock, shift: Settings, built: Path) -> None:
    """No builder gets to look for a stranger's of that name; the command that builds it is named."""
    docker = built.with_name("programs") / "docker"
    docker.write_text("#!/bin/sh\nexit 1\n")
    docker.chmod(0o755)
    ran = penstock("image", "machine")
    assert ran.code == 1
    assert "there is no image penstock/machine:latest here" in ran.stderr
    assert "penstock image room machine" in ran.stderr


def test_images_hold_the_runtime_in_java_where_it_was_built(
    penstock: Penstock, shift: Settings, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own, and that of jobs, with the libraries of its lock, which the bill of materials names."""

    def jars(self: object, room: str, target: Path) -> list[str]:
        target.mkdir(parents=True)
        (target / f"{room}.jar").touch()
        return [f"a/{room}/1/{room}-1.jar"]

    monkeypatch.setattr("penstock.images.Builder._jars", jars)
    registry = ("--registry", "r.example/t")
    assert penstock("image", "room", "job", *registry).code == 0
    (shift.root / runtimes.JAR).parent.mkdir(parents=True)
    (shift.root / runtimes.JAR).touch()
    for room in ("job", "function-mleap"):
        assert penstock("image", "room", room, *registry).code == 0
    without, job, own = (set(line.split()[1:]) for line in built.read_text().splitlines())
    runtime = {f"./{'app' / runtimes.JAR}", f"./{'app' / runtimes.JAR.parent / 'lib/function-mleap.jar'}"}
    assert own == {"./sbom.json", *runtime}
    assert job - without == runtime
    bill = json.loads((shift.var / "images/function-mleap.sbom.json").read_text())
    assert [each["purl"] for each in bill["components"]] == ["pkg:maven/a/function-mleap@1"]


def test_who_needs_the_runtime_in_java_must_have_built_it(
    penstock: Penstock, shift: Settings, built: Path
) -> None:
    """Its own image, and that of a pipeline of its kind, are refused with the command that builds it, before anything is made."""
    spec = shift.dags / "shift" / "pipeline.py"
    spec.write_text(
        spec.read_text().replace('{"steps": ["greet", "plain", "score", "wave"]}', '{"bundle": "mleap"}')
    )
    for command in (("room", "function-mleap"), ("build", "shift", "--registry", "r.example/t")):
        ran = penstock("image", *command)
        assert ran.code == 1
        assert f"make {runtimes.JAR}" in ran.stderr
    assert not built.exists()


def test_a_step_that_fails_records_nothing(
    penstock: Penstock, shift: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The builder's own words are passed on, and the DAG pins what it did."""
    record = shift.dags / "shift" / "image.json"
    record.write_text("the one before")
    (shift.root / "penstock").symlink_to(Path(__file__).parents[3] / "penstock")
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "buildah").write_text("#!/bin/sh\necho 'no space left in the builder' >&2; exit 3\n")
    (programs / "buildah").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    monkeypatch.setattr("penstock.images.Builder._install", lambda self, lock, site: None)
    monkeypatch.setattr("penstock.images.Builder._jars", lambda self, room, target: [])
    ran = penstock("image", "build", "shift", "--registry", "localhost:1/none")
    assert ran.code == 1
    assert "buildah build ended with 3: no space left in the builder" in ran.stderr
    assert record.read_text() == "the one before"
    assert list((shift.var / "tmp").iterdir()) == []

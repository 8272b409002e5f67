"""What is no sound package is refused with the reason, and nothing of it stays."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import zipfile
from pathlib import Path

import pytest

from penstock.host.manifest import read_manifest
from tests.penstock.conftest import MakeFunction
from tests.penstock.host.harness import RunningHost, zip_of

REVISION = "v2-0123456789ab"


def repack(package: Path, **changed: bytes) -> bytes:
    """The package's zip with other bytes in some files (`model_onnx` for model.onnx)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(package.iterdir()):
            archive.writestr(path.name, changed.get(path.name.replace(".", "_"), path.read_bytes()))
    return buffer.getvalue()


@pytest.fixture
def serving(host: RunningHost, make_function: MakeFunction) -> RunningHost:
    """A host whose live function must not notice any of this."""
    host.deploy(make_function(1))
    return host


def assert_untouched(host: RunningHost, files: set[str]) -> None:
    """The state folder, the processes and the live function are as they were."""
    assert host.files() == files
    assert len(host.runtimes()) == 1
    assert host.predict().json()["prediction"] == 2.0


def test_a_corrupt_model(serving: RunningHost, make_function: MakeFunction) -> None:
    """A model whose digest is not the manifest's is named."""
    package, files = make_function(2), serving.files()
    _, revision = read_manifest(package)
    broken = repack(package, model_onnx=(package / "model.onnx").read_bytes() + b"x")
    answer = serving.client.put(f"/functions/shift/revisions/{revision}", content=broken)
    assert answer.status_code == 422
    assert "model.onnx" in answer.json()["error"]
    assert "sha256" in answer.json()["error"]
    assert_untouched(serving, files)


def test_a_model_that_fails_its_samples(serving: RunningHost, make_function: MakeFunction) -> None:
    """A function that does not give Spark's answers never becomes a revision; the reason says what differs."""
    files = serving.files()
    answer = serving.put(make_function(2, sample=17.0))
    assert answer.status_code == 422
    assert "did not prove itself" in answer.json()["error"]
    assert "17" in answer.json()["error"]
    assert_untouched(serving, files)


def test_a_first_package_that_is_bad_leaves_no_function(
    host: RunningHost, make_function: MakeFunction
) -> None:
    """A name whose only upload was refused does not exist."""
    assert host.put(make_function(1, sample=17.0)).status_code == 422
    assert host.client.get("/functions").json() == {"functions": []}
    assert host.files() == set()
    assert host.runtimes() == []


def test_a_package_under_another_name(serving: RunningHost, make_function: MakeFunction) -> None:
    """A package is stored under the name and revision that it says it has, or not at all."""
    package, files = make_function(2, "other"), serving.files()
    _, revision = read_manifest(package)
    for path in (f"/functions/shift/revisions/{revision}", f"/functions/other/revisions/{REVISION}"):
        answer = serving.client.put(path, content=zip_of(package))
        assert answer.status_code == 422
        assert f"the package is other {revision}" in answer.json()["error"]
    assert_untouched(serving, files)


def test_files_that_the_manifest_does_not_name(serving: RunningHost, make_function: MakeFunction) -> None:
    """What the revision's digest does not cover is not let in; what it covers must be there."""
    package, files = make_function(2), serving.files()
    _, revision = read_manifest(package)
    (package / "numpy.py").write_text("raise SystemExit")
    answer = serving.client.put(f"/functions/shift/revisions/{revision}", content=zip_of(package))
    assert (answer.status_code, "numpy.py" in answer.json()["error"]) == (422, True)
    (package / "numpy.py").unlink()
    (package / "samples.json").unlink()
    answer = serving.client.put(f"/functions/shift/revisions/{revision}", content=zip_of(package))
    assert (answer.status_code, "samples.json" in answer.json()["error"]) == (422, True)
    assert_untouched(serving, files)


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"[]",
        b'{"format": 2, "name": "shift", "version": "1", "files": {}}',
        b'{"format": 1, "name": "../shift", "version": "1", "files": {}}',
        b'{"format": 1, "name": "shift", "version": "1/../..", "files": {}}',
        b'{"format": 1, "name": "shift", "version": "1", "files": {"../token": "00"}}',
        b'{"format": 1, "name": "shift", "version": "1"}',
    ],
)
def test_a_manifest_that_is_none(serving: RunningHost, make_function: MakeFunction, manifest: bytes) -> None:
    """A wrong function.json is refused by the host before anything is run, naming the field."""
    package, files = make_function(2), serving.files()
    revision = f"v1-{hashlib.sha256(manifest).hexdigest()[:12]}"
    answer = serving.client.put(
        f"/functions/shift/revisions/{revision}", content=repack(package, function_json=manifest)
    )
    assert answer.status_code == 422
    assert "function.json" in answer.json()["error"]
    assert_untouched(serving, files)


def hostile(member: zipfile.ZipInfo) -> bytes:
    """A zip with a manifest and one hostile member, written just as given."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("function.json", "{}")
        archive.writestr(member, "gotcha")
    return buffer.getvalue()


def link(name: str) -> zipfile.ZipInfo:
    """A member that is a symbolic link, as unix zips write it."""
    member = zipfile.ZipInfo(name)
    member.create_system = 3
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


@pytest.mark.parametrize(
    "name",
    [
        "../slipped",
        "a/../../slipped",
        "/tmp/slipped",
        "..\\slipped",
        "C:\\slipped",
        "a//slipped",
        "./slipped",
        "sli\npped",
        "function.json/slipped",
    ],
)
def test_zip_slip(serving: RunningHost, name: str) -> None:
    """A member whose path leads out of the package, on any system, refuses the whole zip and writes nothing."""
    files = serving.files()
    answer = serving.client.put(
        f"/functions/shift/revisions/{REVISION}", content=hostile(zipfile.ZipInfo(name))
    )
    assert answer.status_code == 422
    assert "member" in answer.json()["error"]
    assert not list(serving.state.parent.rglob("*slipped*"))
    assert_untouched(serving, files)


def test_links_are_refused(serving: RunningHost) -> None:
    """A symbolic link could point a later read or write anywhere."""
    files = serving.files()
    answer = serving.client.put(f"/functions/shift/revisions/{REVISION}", content=hostile(link("model.onnx")))
    assert (answer.status_code, "is a link" in answer.json()["error"]) == (422, True)
    assert_untouched(serving, files)


@pytest.mark.parametrize("body", [b"", b"PK", b"not a zip at all" * 100], ids=["empty", "two bytes", "text"])
def test_what_is_no_zip(serving: RunningHost, body: bytes) -> None:
    """Any other body is a 422."""
    files = serving.files()
    answer = serving.client.put(f"/functions/shift/revisions/{REVISION}", content=body)
    assert answer.status_code == 422
    assert "zip" in answer.json()["error"]
    assert_untouched(serving, files)


def test_a_truncated_zip(serving: RunningHost, make_function: MakeFunction) -> None:
    """A zip that was cut off anywhere is refused."""
    package, files = make_function(2), serving.files()
    _, revision = read_manifest(package)
    whole = zip_of(package)
    for size in (len(whole) // 4, len(whole) // 2, len(whole) - 1):
        answer = serving.client.put(f"/functions/shift/revisions/{revision}", content=whole[:size])
        assert answer.status_code == 422
    assert_untouched(serving, files)


def test_a_package_that_rots_on_disk(serving: RunningHost, make_function: MakeFunction) -> None:
    """A stored revision whose file has changed is not switched to: 422 with the reason, and the old one stays live."""
    old = str(serving.status()["live"])
    new = serving.deploy(make_function(2))
    assert serving.route(old).status_code == 200
    serving_new = serving.state / "functions" / "shift" / "revisions" / new / "samples.json"
    serving_new.write_text(json.dumps({"records": [], "answers": []}))
    # The warm process of the new revision is gone once the host has started anew.
    serving.kill()
    serving.start()
    answer = serving.route(new)
    assert answer.status_code == 422
    assert "samples.json" in answer.json()["error"]
    assert serving.status()["live"] == old
    assert serving.predict().json()["prediction"] == 2.0

"""Libraries of steps: installed for whoever needs them, once, and gone with the last of those."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from penstock import requirements
from penstock.host.errors import HostError
from penstock.host.libraries import Libraries
from penstock.host.limits import Limits
from penstock.host.state import StateFolder
from penstock.signatures import PUBLIC_KEYS, generate
from tests.penstock.conftest import MakeFunction
from tests.penstock.host.harness import RunningHost, until

STEP = """
import greetings

TAKES = {{"prediction": "double"}}
GIVES = {{"word": "string"}}
EXAMPLES = [({{"prediction": 2}}, {{"word": "{word}"}})]

def run(record):
    return {{"word": greetings.WORD}}
"""


def wheel(folder: Path, version: str, word: str) -> str:
    """Lay a library `greetings` of that version into a folder; its line in a lock."""
    about = f"greetings-{version}.dist-info"
    files = {
        "greetings.py": f"WORD = {word!r}\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: greetings\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digests = {
        name: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        for name, text in files.items()
    }
    record = "".join(f"{name},sha256={digests[name]},{len(text)}\n" for name, text in files.items())
    files[f"{about}/RECORD"] = f"{record}{about}/RECORD,,\n"
    path = folder / f"greetings-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return f"greetings=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def greeting(lock: str, word: str = "hello", name: str = "greet") -> dict[str, str]:
    """The files of a step that says a word of the library."""
    return {f"steps/{name}/step.py": STEP.format(word=word), f"steps/{name}/requirements.txt": lock}


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """A folder of wheels, which is all that the host installs from."""
    folder = tmp_path / "index"
    folder.mkdir()
    return folder


@pytest.fixture
def installing(tmp_path: Path, index: Path) -> Iterator[RunningHost]:
    """A host that has no network."""
    running = RunningHost(tmp_path / "state")
    running.start(environment=offline(index))
    yield running
    running.close()


def offline(index: Path) -> dict[str, str]:
    return {"UV_NO_INDEX": "1", "UV_FIND_LINKS": str(index)}


def libraries(host: RunningHost) -> list[str]:
    """The folders of libraries that the host has."""
    return sorted(path.name for path in (host.state / "libraries").iterdir())


def test_a_function_has_its_steps_libraries(
    installing: RunningHost, make_function: MakeFunction, index: Path
) -> None:
    """They are installed with the upload, and there again when the process is started anew."""
    lock = wheel(index, "1.0", "hello")
    installing.deploy(make_function(1, steps=greeting(lock)))
    assert installing.predict().json()["word"] == "hello"
    assert len(libraries(installing)) == 1
    [runtime] = installing.runtimes()
    runtime.kill()
    until(lambda: installing.predict().status_code == 200, "it is started again")
    installing.kill()
    installing.start()  # without a place to install from
    until(lambda: installing.predict().status_code == 200, "another host takes it up")
    assert installing.predict().json()["word"] == "hello"


def test_functions_share_what_they_both_need(
    installing: RunningHost, make_function: MakeFunction, index: Path
) -> None:
    """Made once, whatever it is called; removed with the last package that needs it."""
    lock = wheel(index, "1.0", "hello")
    first = installing.deploy(make_function(1, steps=greeting(lock)))
    [folder] = libraries(installing)
    made = (installing.state / "libraries" / folder).stat().st_mtime_ns
    other = make_function(1, "other", steps=greeting(f"# another comment\n{lock}", name="salute"))
    assert installing.put(other, name="other").status_code == 201
    assert libraries(installing) == [folder]
    assert (installing.state / "libraries" / folder).stat().st_mtime_ns == made
    installing.deploy(make_function(2))
    assert installing.client.delete(f"/functions/shift/revisions/{first}").status_code == 204
    assert libraries(installing) == [folder]
    assert installing.client.delete("/functions/other").status_code == 204
    assert libraries(installing) == []
    assert list((installing.state / "incoming").iterdir()) == []


def test_versions_stand_beside_each_other(
    installing: RunningHost, make_function: MakeFunction, index: Path
) -> None:
    """Each function has the version that its lock names."""
    old, new = wheel(index, "1.0", "hello"), wheel(index, "2.0", "good day")
    installing.deploy(make_function(1, steps=greeting(old)))
    other = make_function(1, "other", steps=greeting(new, "good day"))
    put = installing.put(other, name="other")
    assert installing.route(put.json()["revision"], name="other").status_code == 200
    assert installing.predict(name="other").json()["word"] == "good day"
    assert installing.predict().json()["word"] == "hello"
    assert len(libraries(installing)) == 2


def test_what_the_runtime_has_is_not_installed(installing: RunningHost, make_function: MakeFunction) -> None:
    """Its own comes first anyway, in whatever version: the examples say whether the step can live with it."""
    lock = "numpy==1.0 --hash=sha256:00\n"
    source = (
        STEP.format(word="hello")
        .replace("import greetings", "import numpy")
        .replace("greetings.WORD", "'hello'")
    )
    files = {"steps/greet/step.py": source, "steps/greet/requirements.txt": lock}
    installing.deploy(make_function(1, steps=files))
    assert installing.predict().json()["word"] == "hello"
    assert libraries(installing) == []


def refused(host: RunningHost, package: Path, said: str) -> None:
    """Put it and see that it is refused with these words, that nothing of it stays, and that what serves serves on."""
    before = host.files()
    answer = host.put(package)
    assert answer.status_code == 422, answer.text
    assert said in answer.json()["error"]
    assert host.files() == before
    assert libraries(host) == []
    assert host.predict().json()["prediction"] == 2.0


def test_what_cannot_be_installed_is_refused(
    installing: RunningHost, make_function: MakeFunction, index: Path
) -> None:
    """A library that is nowhere, another file than the lock's, or one that would have to be built: with uv's own words."""
    installing.deploy(make_function(1))
    wheel(index, "1.0", "hello")
    nowhere = make_function(2, steps=greeting(f"nowhere==1.5 --hash=sha256:{'0' * 64}\n"))
    refused(installing, nowhere, "what steps/greet/requirements.txt asks for cannot be installed: ")
    refused(installing, nowhere, "nowhere")
    another = make_function(2, steps=greeting(f"greetings==1.0 --hash=sha256:{'0' * 64}\n"))
    refused(installing, another, "Hash mismatch")
    source = index / "building-1.0.tar.gz"
    source.write_bytes(b"never looked at")
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    built = make_function(2, steps=greeting(f"building==1.0 --hash=sha256:{digest}\n"))
    refused(installing, built, "building")


@pytest.mark.parametrize(
    "line", ["greetings", "--index-url https://example.org", "-r other.txt", "greetings @ file:///x"]
)
def test_what_is_no_lock_is_refused(installing: RunningHost, make_function: MakeFunction, line: str) -> None:
    """No option of the installer comes from a package."""
    installing.deploy(make_function(1))
    package = make_function(2, steps=greeting(f"{line}\n"))
    refused(installing, package, "steps/greet/requirements.txt is no lock")


def test_a_lock_has_a_bound(installing: RunningHost, make_function: MakeFunction) -> None:
    """The host reads it whole."""
    answer = installing.put(make_function(1, steps=greeting("#" * (2**20 + 1))))
    assert answer.status_code == 413
    assert "steps/greet/requirements.txt has more than 1048576 bytes" in answer.json()["error"]


def test_a_lock_that_is_not_the_manifests_is_refused(
    installing: RunningHost, make_function: MakeFunction, index: Path
) -> None:
    """What is installed is what was packaged, and so what was signed."""
    installing.deploy(make_function(1))
    package = make_function(2, steps=greeting("nowhere==1.5 --hash=sha256:00\n"))
    (package / "steps/greet/requirements.txt").write_text(wheel(index, "1.0", "hello"))
    refused(installing, package, "steps/greet/requirements.txt is not the file that was packaged")


def test_nothing_is_installed_for_a_stranger(
    tmp_path: Path, make_function: MakeFunction, index: Path
) -> None:
    """Where only signed packages are taken, an unsigned one is refused before anything that it asks for is fetched."""
    host = RunningHost(tmp_path / "state")
    try:
        host.start(environment={**offline(index), PUBLIC_KEYS: generate()[1]})
        package = make_function(1, steps=greeting("nowhere==1.5 --hash=sha256:00\n"))
        answer = host.put(package)
        assert answer.status_code == 422
        assert "the package is not signed" in answer.json()["error"]
    finally:
        host.close()


def test_a_refusal_holds_no_password(tmp_path: Path, make_function: MakeFunction) -> None:
    """The index may ask for one, and uv names the index."""
    host = RunningHost(tmp_path / "state")
    try:
        host.start(
            environment={"UV_INDEX_URL": "http://me:hunter2@127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"}
        )
        answer = host.put(make_function(1, steps=greeting(f"nowhere==1.5 --hash=sha256:{'0' * 64}\n")))
        assert answer.status_code == 422
        assert "127.0.0.1:9" in answer.text
        assert "hunter2" not in answer.text
    finally:
        host.close()


@pytest.mark.parametrize(
    ("script", "status", "said"),
    [
        ("echo 'error: No space left on device (os error 28)' >&2; exit 2", 507, "No space left on device"),
        ("exit 3", 422, "exit code 3"),
        ("exec sleep 600", 422, "it took longer than 0.2 s"),
    ],
)
def test_an_installer_that_fails(
    tmp_path: Path,
    make_function: MakeFunction,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    status: int,
    said: str,
) -> None:
    """On a full disk, without a word, or without an end: it is told, and nothing stays, nor goes on."""
    state = StateFolder(tmp_path / "state")
    state.open()
    package = make_function(1, steps=greeting("nowhere==1.5 --hash=sha256:00\n"))
    monkeypatch.setattr(requirements, "command", lambda *arguments: ["/bin/sh", "-c", script])

    async def hold() -> None:
        async with Libraries(state, Limits(install_seconds=0.2 if "sleep" in script else 60)).holding(
            package
        ):
            pass

    with pytest.raises(HostError) as refused:
        asyncio.run(hold())
    assert (refused.value.status, said in refused.value.message) == (status, True)
    assert state.libraries() == list((state.root / "incoming").iterdir()) == []
    assert "sleep" not in [child.name() for child in psutil.Process().children()]


def test_what_is_held_is_not_swept(
    tmp_path: Path, make_function: MakeFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package that is being proved is no revision yet, and keeps its libraries all the same."""
    state = StateFolder(tmp_path / "state")
    state.open()
    package = make_function(1, steps=greeting("nowhere==1.5 --hash=sha256:00\n"))
    monkeypatch.setattr(requirements, "command", lambda lock, site, *options: ["/bin/mkdir", site])

    async def hold() -> None:
        libraries = Libraries(state, Limits())
        async with libraries.holding(package):
            await libraries.sweep(state.packages)
            assert state.libraries() == libraries.folders(package)
        await libraries.sweep(state.packages)
        assert state.libraries() == []

    asyncio.run(hold())


def test_libraries_that_went_are_installed_again(
    installing: RunningHost, make_function: MakeFunction, index: Path
) -> None:
    """By the next host, as where its Python is another one."""
    installing.deploy(make_function(1, steps=greeting(wheel(index, "1.0", "hello"))))
    [folder] = libraries(installing)
    installing.kill()
    shutil.rmtree(installing.state / "libraries" / folder)
    (installing.state / "libraries" / "of-another-python").mkdir()
    installing.start(environment=offline(index))
    until(lambda: installing.predict().status_code == 200, "it serves again")
    until(lambda: libraries(installing) == [folder], "what nobody needs is gone")

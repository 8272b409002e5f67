"""Where keys are trusted, only what one of them signed is served; where none are, signatures are not looked at."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey

from penstock_function import archive
from penstock_function.package import Package, PackageError
from penstock_function.service import Service
from penstock_function.signature import PUBLIC_KEYS, SIGNATURE, is_signed, public_keys
from tests.images.function.conftest import Client

OURS, OTHER = SigningKey(bytes(range(32))), SigningKey(bytes(32))


def public(*keys: SigningKey) -> str:
    """The public keys as text, one a line."""
    return "".join(f"{base64.b64encode(bytes(key.verify_key)).decode()}\n" for key in keys)


def signed(folder: Path, key: SigningKey = OURS) -> Path:
    """The package in `folder`, signed by `key`."""
    signature = key.sign((folder / "function.json").read_bytes()).signature
    (folder / SIGNATURE).write_bytes(base64.b64encode(signature) + b"\n")
    return folder


def changed(folder: Path, name: str) -> Path:
    """The package with a harmless-looking change in a file."""
    (folder / name).write_bytes((folder / name).read_bytes() + b" ")
    return folder


@pytest.mark.parametrize("text", [public(OURS), public(OTHER, OURS), f"# of May\n{public(OURS)}# of June\n{public(OTHER)}", " ".join(public(OTHER, OURS).split())])  # fmt: skip
def test_what_a_trusted_key_signed_is_loaded(make_package: Callable[..., Path], text: str) -> None:
    """With one key, and with the old and the new one while keys change."""
    folder = signed(make_package())
    assert Package.load(folder, public_keys(text)) == Package.load(folder)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda folder: folder, "the package is not signed, and only signed ones are served"),
        (lambda folder: signed(folder, OTHER), "no signature of this function.json by any of the 1 keys"),
        (lambda folder: changed(signed(folder), "function.json"), "it was changed, or signed by another"),
        (
            lambda folder: changed(signed(folder), "model.onnx"),
            "model.onnx is not the file that was packaged",
        ),
        (lambda folder: changed(signed(folder), "samples.json"), "samples.json is not the file that was"),
    ],
    ids=["unsigned", "other key", "manifest changed", "model changed", "samples changed"],
)
def test_anything_else_is_refused(
    make_package: Callable[..., Path], spoil: Callable[[Path], Path], reason: str
) -> None:
    """Not signed, signed by somebody else, or changed afterwards in any of its files."""
    with pytest.raises(PackageError, match=reason):
        Package.load(spoil(make_package()), public_keys(public(OURS)))


@pytest.mark.parametrize("content", [b"", b"\xff", b"AAAA", b"x" * 10**6, base64.b64encode(bytes(64))])
def test_what_is_no_signature_signs_nothing(content: bytes) -> None:
    """Empty, not base64, too short, too long, or all zeros."""
    assert not is_signed(b"{}", content, public_keys(public(OURS)))


def test_without_keys_signatures_are_not_looked_at(make_package: Callable[..., Path]) -> None:
    """Signed by whomever, or wrongly, it is loaded as before."""
    folder = make_package()
    (folder / SIGNATURE).write_bytes(b"nonsense")
    assert Package.load(folder).version == "7"


def test_the_zip_of_a_signed_package(
    make_package: Callable[..., Path], zipped: Callable[[Path], bytes]
) -> None:
    """OpenWhisk's init is told by the keys of the process, with the same reasons."""
    client = Client(Service(public_keys(public(OURS))))

    def init(folder: Path) -> Any:
        code = base64.b64encode(zipped(folder)).decode()
        # What an action is created with is not to be believed: it names its own keys.
        env = {PUBLIC_KEYS: public(OTHER)}
        return client.post("/init", json={"value": {"code": code, "binary": True, "env": env}})

    for folder in (make_package(), signed(make_package(), OTHER)):
        response = init(folder)
        assert response.status_code == 422
        assert "sign" in response.json()["error"]
        assert client.get("/health").status_code == 503
    assert init(signed(make_package())).status_code == 200
    assert Package.read(archive.reader(zipped(signed(make_package())))).version == "7"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no public key is there"),
        ("# none yet\n", "no public key is there"),
        ("AAAA", "number 1 of the public keys is none"),
        (f"{public(OURS)}not base64!", "number 2 of the public keys is none"),
        (f"{public(OURS)}ключ", "number 2 of the public keys is none"),
    ],
)
def test_keys_that_are_none_are_refused(text: str, said: str) -> None:
    """By their number and never by what stands there: people mistake one key of a pair for the other."""
    with pytest.raises(ValueError, match=said) as caught:
        public_keys(text)
    assert "base64!" not in str(caught.value)


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the runtime to its end, on any free port."""
    command = [sys.executable, "-m", "penstock_function", *arguments, "--port", "0"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_a_process_refuses_as_anything_else(make_package: Callable[..., Path], tmp_path: Path) -> None:
    """Exit code 3 and the reason, whether the keys are in a file or in the environment; the file is what counts."""
    file = tmp_path / "trusted.pub"
    file.write_text(public(OURS))
    folder = str(signed(make_package(), OTHER))
    for environment, arguments in [
        ({PUBLIC_KEYS: public(OURS)}, []),
        ({PUBLIC_KEYS: public(OTHER)}, ["--key", str(file)]),
    ]:
        done = run(environment, "--package", folder, *arguments)
        assert (done.returncode, done.stdout) == (3, "")
        assert "no signature of this function.json" in json.loads(done.stderr)["reason"]


@pytest.mark.parametrize("content", [None, "", "AAAA"])
def test_a_file_without_keys_lets_nothing_in(
    make_package: Callable[..., Path], tmp_path: Path, content: str | None
) -> None:
    """A file that is missing, empty or wrong is a wrong argument, and not a runtime that takes all."""
    file = tmp_path / "trusted.pub"
    if content is not None:
        file.write_text(content)
    done = run({}, "--package", str(make_package()), "--key", str(file))
    assert done.returncode == 2
    assert f"--key {file}" in done.stderr


def test_a_signed_package_is_served(
    start: Callable[..., Any], make_package: Callable[..., Path], tmp_path: Path
) -> None:
    """As any other, by a process that trusts its key."""
    file = tmp_path / "trusted.pub"
    file.write_text(public(OTHER, OURS))
    assert start("--package", str(signed(make_package())), "--key", str(file)).first["event"] == "ready"

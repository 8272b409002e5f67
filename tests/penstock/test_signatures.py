"""What is signed here is trusted here and in the runtime, and nothing else is in either."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.errors import DeployError, PenstockError
from penstock.signatures import PUBLIC_KEYS, SIGNING_KEY, generate, sign, trust, verify
from penstock_function import signature as runtime

#: RFC 8032, section 7.1, test 2: the seed, the public key, the message and its signature.
SEED = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"
PUBLIC = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
MESSAGE = "72"
SIGNATURE = (
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def text(key: str) -> str:
    """Hexadecimal as the base64 of a key."""
    return base64.b64encode(bytes.fromhex(key)).decode()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of the RFC's message; neither variable is set."""
    for name in (SIGNING_KEY, PUBLIC_KEYS):
        monkeypatch.delenv(name, raising=False)
    package = tmp_path / "package"
    package.mkdir()
    (package / "function.json").write_bytes(bytes.fromhex(MESSAGE))
    return package


def test_a_signature_is_that_of_the_rfc(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody's ed25519 can check it: the RFC's own numbers."""
    monkeypatch.setenv(SIGNING_KEY, text(SEED))
    assert sign(folder) == text(PUBLIC)
    assert base64.b64decode((folder / "function.sig").read_bytes()).hex() == SIGNATURE


def _leave(folder: Path) -> None:
    """As it was signed."""


def _unsign(folder: Path) -> None:
    (folder / "function.sig").unlink()


def _change(folder: Path) -> None:
    (folder / "function.json").write_bytes(b"{}")


def _damage(folder: Path) -> None:
    (folder / "function.sig").write_bytes(b"\xff" * 64)


@pytest.mark.parametrize("spoil", [_leave, _unsign, _change, _damage])
@pytest.mark.parametrize("trusted", ["its own", "its own, rotated", "another"])
def test_the_core_and_the_runtime_trust_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], None], trusted: str
) -> None:
    """Only the very bytes that one of the keys signed."""
    private, public = generate()
    others = [generate()[1] for _ in range(2)]
    text = {"its own": public, "its own, rotated": f"{others[0]} {public}\n# old\n{others[1]}", "another": others[0]}  # fmt: skip
    monkeypatch.setenv(SIGNING_KEY, private)
    monkeypatch.setenv(PUBLIC_KEYS, text[trusted])
    sign(folder)
    spoil(folder)
    good = spoil is _leave and trusted != "another"
    if good:
        verify(folder)
    else:
        with pytest.raises(
            DeployError,
            match="the package is not signed" if spoil is _unsign else "no signature of the package",
        ):
            verify(folder)
    if (folder / "function.sig").exists():
        data, signature = ((folder / name).read_bytes() for name in ("function.json", "function.sig"))
        assert runtime.is_signed(data, signature, runtime.public_keys(text[trusted])) == good


def test_without_keys_nothing_is_signed_or_asked_for(folder: Path) -> None:
    """The package stays as it is, and is taken."""
    assert sign(folder) is None
    assert [path.name for path in folder.iterdir()] == ["function.json"]
    verify(folder)


@pytest.mark.parametrize("secret", ["not base64: hunter2", "aHVudGVyMg==", "пароль"])
def test_a_wrong_private_key_is_not_told(folder: Path, monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    """What stands there stays there: neither the error nor what caused it repeats a part of it."""
    monkeypatch.setenv(SIGNING_KEY, secret)
    with pytest.raises(PenstockError, match="PENSTOCK_SIGNING_KEY is no private key") as caught:
        sign(folder)
    assert caught.value.__suppress_context__
    assert secret not in str(caught.value)


@pytest.mark.parametrize("content", [None, "", "AAAA"])
def test_a_file_without_keys_is_refused(folder: Path, tmp_path: Path, content: str | None) -> None:
    """It is missing, empty or wrong: who starts a host with it is told, and the host does not start."""
    file = tmp_path / "trusted.pub"
    if content is not None:
        file.write_text(content)
    with pytest.raises(PenstockError, match="public keys"):
        trust(file)

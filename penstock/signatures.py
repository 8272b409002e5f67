"""Signing function packages, and refusing those that nobody trusted has signed.

`function.sig` beside function.json holds an ed25519 signature of it (RFC 8032), in base64. Private keys (the seed) and
public ones are 32 bytes in base64; public ones stand between white space, and `#` begins a comment. The runtime reads
the same (penstock_function.signature).
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from penstock.errors import DeployError, PenstockError
from penstock.host.manifest import MANIFEST, SIGNATURE

if TYPE_CHECKING:
    from nacl.signing import VerifyKey

#: The variables that hold the private key of who signs, and the public ones of who is trusted.
SIGNING_KEY: Final = "PENSTOCK_SIGNING_KEY"
PUBLIC_KEYS: Final = "PENSTOCK_PUBLIC_KEYS"


def generate() -> tuple[str, str]:
    """A new private key and its public one."""
    from nacl.signing import SigningKey

    private = _text(bytes(SigningKey.generate()))
    return private, public_of(private)


def public_of(private: str) -> str:
    """The public key of a private one."""
    from nacl.signing import SigningKey

    return _text(bytes(SigningKey(base64.b64decode(private)).verify_key))


def sign(package: Path) -> str | None:
    """Sign the package in folder `package` where PENSTOCK_SIGNING_KEY is set; the public key of that, or None.

    Raises PenstockError where its value is no key.
    """
    if not (secret := os.environ.get(SIGNING_KEY)):
        return None
    from nacl.signing import SigningKey

    try:
        key = SigningKey(base64.b64decode(secret.strip(), validate=True))
    except ValueError:  # its words could quote the key
        raise PenstockError(
            f"{SIGNING_KEY} is no private key: expected 32 bytes in base64",
            next_step="set it to the private one of a pair that `penstock key` made",
        ) from None
    signature = key.sign((package / MANIFEST).read_bytes()).signature
    (package / SIGNATURE).write_text(f"{_text(signature)}\n", encoding="ascii")
    return _text(bytes(key.verify_key))


def trust(file: Path | None) -> None:
    """Make the public keys in `file` those of this process and of all that it starts; without it, see that those are keys.

    Raises PenstockError where the file cannot be read, or there are no keys in it.
    """
    try:
        text = os.environ.get(PUBLIC_KEYS) if file is None else file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise PenstockError(
            f"the public keys in {file} cannot be read: {error}", next_step="correct the path"
        ) from error
    if text or file is not None:
        public_keys(text or "")
        os.environ[PUBLIC_KEYS] = text or ""


def verify(package: Path) -> None:
    """See that the package in folder `package` is signed by one of PENSTOCK_PUBLIC_KEYS, where these are set.

    Raises DeployError where it is not, PenstockError where the value holds no keys.
    """
    if not (text := os.environ.get(PUBLIC_KEYS)):
        return
    keys = public_keys(text)
    try:
        signature = (package / SIGNATURE).read_bytes()
    except FileNotFoundError:
        raise DeployError(
            f"the package is not signed, and {PUBLIC_KEYS} is set",
            next_step=f"set {SIGNING_KEY} where `register` runs, then run with --force register",
        ) from None
    if not _is_signed((package / MANIFEST).read_bytes(), signature, keys):
        raise DeployError(
            f"{SIGNATURE} is no signature of the package's {MANIFEST} by any of the {len(keys)} keys of {PUBLIC_KEYS}",
            next_step="where a key of yours signed it, add its public one; where none did, somebody changed the package",
        )


def public_keys(text: str) -> list[VerifyKey]:
    """The one or more public keys of a text. Raises PenstockError where there is none, or one is no key."""
    from nacl.signing import VerifyKey

    words = [word for line in text.splitlines() for word in line.partition("#")[0].split()]
    try:
        keys = [VerifyKey(base64.b64decode(word, validate=True)) for word in words]
    except ValueError:
        keys = []
    if not keys:
        raise PenstockError(
            "the public keys are none: expected one or more, each of 32 bytes in base64",
            next_step="give what `penstock key` wrote into FILE.pub",
        )
    return keys


def _is_signed(data: bytes, signature: bytes, keys: list[VerifyKey]) -> bool:
    from nacl.exceptions import BadSignatureError

    for key in keys:
        try:
            key.verify(data, base64.b64decode(signature.strip(), validate=True))
        except (BadSignatureError, ValueError):
            continue
        return True
    return False


def _text(key: bytes) -> str:
    return base64.b64encode(key).decode("ascii")

"""Tokens: taken by the algorithms, keys, issuer and audience that are named, and by nothing that a token says of itself."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from penstock.errors import PenstockError
from penstock.host.gateway.config import Jwt
from penstock.host.gateway.tokens import Tokens

SECRET = b"0123456789abcdef0123456789abcdef"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KEYS: dict[str, Any] = {
    "RS256": RSA,
    "PS256": RSA,
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    "HS256": SECRET,
}


def jwk(algorithm: str, **more: str) -> dict[str, str]:
    """The key that checks what KEYS sign."""
    signing = KEYS[algorithm]
    public = signing if isinstance(signing, bytes) else signing.public_key()
    made = jwt.get_algorithm_by_name(algorithm).to_jwk(public, as_dict=True)
    return {"kid": algorithm, **{name: value for name, value in made.items() if name != "key_ops"}, **more}


def claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    usual = {"iss": "https://login.example", "aud": "functions", "sub": "anna", "iat": now, "exp": now + 300}
    return {name: value for name, value in {**usual, **more}.items() if value is not None}


def signed(
    algorithm: str = "RS256", key: Any = None, headers: dict[str, Any] | None = None, **more: Any
) -> str:
    """A token, by default one that is taken; what is None of its headers or claims it has not."""
    given = {"kid": algorithm, **(headers or {})}
    kept = {name: value for name, value in given.items() if value is not None}
    return jwt.encode(claims(**more), key or KEYS[algorithm], algorithm, kept)


@pytest.fixture
def tokens(tmp_path: Path) -> Callable[..., Tokens]:
    """Takes tokens by these algorithms and that set of keys."""

    def make(*algorithms: str, keys: list[dict[str, str]] | None = None) -> Tokens:
        named = algorithms or ("RS256",)
        document = {"keys": keys if keys is not None else [jwk(each) for each in named]}
        (tmp_path / "jwks.json").write_text(json.dumps(document))
        declared = Jwt.model_validate(
            {
                "issuer": "https://login.example",
                "audience": "functions",
                "algorithms": named,
                "keys": "jwks.json",
            }
        )
        return Tokens(declared, tmp_path)

    return make


@pytest.mark.parametrize("algorithm", sorted(KEYS))
def test_a_right_token(tokens: Callable[..., Tokens], algorithm: str) -> None:
    """By every kind of key: whose it is."""
    assert tokens(algorithm).subject(signed(algorithm)) == "anna"


def test_one_of_several_audiences_and_keys(tokens: Callable[..., Tokens]) -> None:
    """The token names its key; where there is but one it need not."""
    assert tokens("RS256", "ES256").subject(signed("ES256", aud=["more", "functions"])) == "anna"
    assert tokens("RS256").subject(signed(headers={"kid": None})) == "anna"


@pytest.mark.parametrize(
    "wrong",
    [
        {"exp": 1},
        {"exp": None},
        {"nbf": 2**33},
        {"iat": 2**33},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"aud": "others"},
        {"aud": None},
        {"sub": None},
        {"sub": 7},
    ],
    ids=str,
)
def test_a_token_for_another_place_or_time(tokens: Callable[..., Tokens], wrong: dict[str, Any]) -> None:
    """Expiry, issuer, audience and subject must be there, and right."""
    assert tokens().subject(signed(**wrong)) is None


def segment(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_a_token_without_a_signature(tokens: Callable[..., Tokens]) -> None:
    """`none` in any spelling is no algorithm."""
    for name in ("none", "None", "NONE", "nOnE", "", None):
        unsigned = f"{segment({'alg': name, 'kid': 'RS256'})}.{segment(claims())}."
        assert tokens().subject(unsigned) is None


def test_a_public_key_is_no_secret(tokens: Callable[..., Tokens]) -> None:
    """A token that is signed by HMAC with the public key, as anybody could, is not taken (algorithm confusion)."""
    import hashlib
    import hmac

    public = RSA.public_key()
    forms = [
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        json.dumps(jwk("RS256")).encode(),
    ]
    for form in forms:
        given = f"{segment({'alg': 'HS256', 'kid': 'RS256'})}.{segment(claims())}"
        mac = hmac.new(form, given.encode(), hashlib.sha256).digest()
        forged = f"{given}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
        assert tokens().subject(forged) is None
        assert tokens("RS256", "PS256").subject(forged) is None


def test_an_algorithm_that_is_not_named(tokens: Callable[..., Tokens]) -> None:
    """A right signature by a right key is not enough."""
    assert tokens("RS256").subject(signed("PS256", headers={"kid": "RS256"})) is None
    assert tokens("PS256").subject(signed("RS256", headers={"kid": "PS256"})) is None


def test_keys_that_a_token_brings(tokens: Callable[..., Tokens]) -> None:
    """Its own key, or where to get one, is not looked at; nor is the key of another id."""
    own = jwt.get_algorithm_by_name("RS256").to_jwk(OTHER_RSA.public_key(), as_dict=True)
    for headers in (
        {"jwk": own},
        {"jku": "https://evil.example"},
        {"kid": "unknown"},
        {"kid": "../../etc"},
    ):
        assert tokens().subject(signed(key=OTHER_RSA, headers=headers)) is None
    assert tokens().subject(signed(headers={"kid": "unknown"})) is None


def test_a_token_that_was_changed(tokens: Callable[..., Tokens]) -> None:
    """Another payload under the same signature, and what is no token at all."""
    head, _, signature = signed().split(".")
    taking = tokens()
    assert taking.subject(f"{head}.{segment(claims(sub='root'))}.{signature}") is None
    deep = base64.urlsafe_b64encode(b"[" * 40_000).decode()
    for nothing in (
        f"{deep}.{deep}.",
        "",
        ".",
        "..",
        "a.b.c",
        "a.b.c.d",
        signed()[:-4],
        f"{signed()} ",
        "é.é.é",
        "\x00",
    ):
        assert taking.subject(nothing) is None


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [jwk("ES256")],
        [jwk("RS256", use="enc")],
        [jwk("RS256", alg="PS256")],
        [{"kid": "RS256", "kty": "RSA"}],
        [{"kty": "oct"}],
        ["RS256"],
        [{name: value for name, value in jwk("RS256").items() if name != "kid"}, jwk("RS256")],
        [jwk("RS256"), jwk("RS256")],
    ],
    ids=[
        "none",
        "another kind",
        "for encryption",
        "another algorithm",
        "broken",
        "empty",
        "text",
        "without id",
        "same id",
    ],
)
def test_keys_that_are_not_fit(tokens: Callable[..., Tokens], keys: list[Any]) -> None:
    """The file is refused before anybody is let in, or kept out, by it."""
    with pytest.raises(PenstockError, match=r"jwks\.json"):
        tokens("RS256", keys=keys)


def test_a_secret_that_is_too_short(tokens: Callable[..., Tokens]) -> None:
    """A shared secret has as many bits as its hash."""
    short = {"kid": "HS256", "kty": "oct", "k": base64.urlsafe_b64encode(SECRET[:31]).decode().rstrip("=")}
    with pytest.raises(PenstockError, match="below the minimum"):
        tokens("HS256", keys=[short])


def test_a_set_of_many_kinds(tokens: Callable[..., Tokens]) -> None:
    """Keys for what is not named here are passed over, and a curve is one algorithm's."""
    long_curve = ec.generate_private_key(ec.SECP384R1())
    other = jwt.get_algorithm_by_name("ES384").to_jwk(long_curve.public_key(), as_dict=True) | {"kid": "long"}
    agreement = {"kid": "x", "kty": "OKP", "crv": "X25519", "x": "AAAA"}
    taking = tokens(
        "ES256", "ES384", "EdDSA", keys=[jwk("ES256"), other, agreement, jwk("RS256"), jwk("EdDSA")]
    )
    assert taking.subject(signed("ES256")) == "anna"
    assert taking.subject(signed("EdDSA")) == "anna"
    assert taking.subject(jwt.encode(claims(), long_curve, "ES384", {"kid": "long"})) == "anna"
    assert taking.subject(signed("ES256", headers={"kid": "long"})) is None
    assert taking.subject(signed("RS256")) is None


def test_no_file_of_keys(tmp_path: Path) -> None:
    """It is named."""
    declared = Jwt(issuer="a", audience="b", algorithms=("RS256",), keys="other.json")
    with pytest.raises(PenstockError, match=r"other\.json cannot be read"):
        Tokens(declared, tmp_path)

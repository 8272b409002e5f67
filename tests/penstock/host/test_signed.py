"""A host that trusts keys takes what they signed and nothing else, and says why."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.signatures import PUBLIC_KEYS, SIGNING_KEY, generate, sign
from tests.penstock.conftest import MakeFunction
from tests.penstock.host.harness import RunningHost

PRIVATE, PUBLIC = generate()


@pytest.fixture
def signing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is signed here is signed by the key that the host trusts."""
    monkeypatch.setenv(SIGNING_KEY, PRIVATE)


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[RunningHost]:
    """A host that does not run yet."""
    running = RunningHost(tmp_path / "state")
    yield running
    running.close()


def test_only_what_is_signed_is_taken(
    bare: RunningHost, make_function: MakeFunction, signing: None, tmp_path: Path
) -> None:
    """Unsigned, or changed after it was signed: 422 with the runtime's reason, and nothing of it stays."""
    file = tmp_path / "trusted.pub"
    file.write_text(f"{generate()[1]}\n{PUBLIC}\n")
    bare.start("--key", str(file))
    refused = bare.put(make_function(1))
    assert refused.status_code == 422
    assert "the package is not signed" in refused.json()["error"]
    package = make_function(1)
    sign(package)
    with open(package / "function.json", "a") as manifest:
        manifest.write("\n")
    refused = bare.put(package)
    assert refused.status_code == 422
    assert "no signature of this function.json" in refused.json()["error"]
    assert bare.files() == set()
    package = make_function(1)
    sign(package)
    bare.deploy(package)
    assert bare.predict().json()["prediction"] == 2.0
    assert any(path.endswith("function.sig") for path in bare.files())


def test_an_unsigned_function_is_signed_afterwards(
    bare: RunningHost, make_function: MakeFunction, signing: None
) -> None:
    """A host that begins to trust keys does not serve what is there unsigned; sent again signed, it serves it."""
    bare.start()
    package = make_function(1)
    revision = bare.deploy(package)
    bare.kill()
    bare.start(environment={PUBLIC_KEYS: PUBLIC})
    answer = bare.predict()
    assert answer.status_code == 503
    assert "not signed" in answer.json()["error"]
    assert "not signed" in bare.status()["revisions"][0]["error"]
    sign(package)
    assert bare.deploy(package) == revision
    assert bare.predict().json()["prediction"] == 2.0


def test_a_signature_is_replaced_by_a_trusted_one_alone(
    bare: RunningHost, make_function: MakeFunction, signing: None, tmp_path: Path
) -> None:
    """Sent again with a signature that is none, the good one stays; without any, too."""
    bare.start(environment={PUBLIC_KEYS: PUBLIC})
    package = make_function(1)
    sign(package)
    bare.deploy(package)
    kept = {path: (bare.state / path).read_bytes() for path in bare.files() if path.endswith(".sig")}
    other = Path(shutil.copytree(package, tmp_path / "other"))
    (other / "function.sig").write_text("AAAA")
    assert bare.put(other).status_code == 422
    (other / "function.sig").unlink()
    assert bare.put(other).status_code == 200
    assert {path: (bare.state / path).read_bytes() for path in kept} == kept
    assert bare.predict().json()["prediction"] == 2.0


def test_keys_that_are_none_start_no_host(bare: RunningHost, tmp_path: Path) -> None:
    """Exit status 1 and a sentence, and not a host that takes everything."""
    with pytest.raises(AssertionError, match="the public keys are none"):
        bare.start(environment={PUBLIC_KEYS: "AAAA"})

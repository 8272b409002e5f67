"""A package becomes an image in a registry: what is sent, what it is then, and what is told where it cannot be."""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.targets import TargetError
from penstock.targets.oci import login
from penstock.targets.oci import registry as registry_module
from penstock.targets.oci.reference import Reference, parse_place
from penstock.targets.package_image import INSECURE, append
from penstock.targets.sending import contents
from tests.oci import DOCKER, INDEX, MANIFEST, Registry, registry, text
from tests.penstock.conftest import MakeFunction

BASE = "team/function"
NAME, SECRET = "robot", "s3cr3t-of-the-robot"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody is logged in anywhere, and trying again costs nothing."""
    monkeypatch.setattr(registry_module, "_PAUSES", (0.0, 0.0))
    monkeypatch.setenv(login.CONFIG, str(tmp_path / "docker"))
    monkeypatch.delenv(login.AUTH_CONFIG, raising=False)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """A registry with the function image in it."""
    with registry() as made:
        monkeypatch.setenv(INSECURE, made.host)
        made.put_image(BASE, "1")
        yield made


def made_of(hub: Registry, package: Path, tag: str = "1") -> str:
    """The package's image, on the function image of that registry."""
    return append(contents(package), f"{hub.host}/{BASE}:{tag}", f"{hub.host}/team/fn-shift")


def test_the_image_is_the_function_image_with_the_package_as_one_layer(
    hub: Registry, make_function: MakeFunction
) -> None:
    """At /package, read-only and of root; all below and all settings are kept; labels say what it is."""
    package = make_function(3, steps={"double/step.py": "def step(record): return record\n"})
    image = made_of(hub, package)
    manifest, base = hub.manifest(image), json.loads(hub.manifests[BASE, "1"][1])
    assert manifest["mediaType"] == MANIFEST
    assert manifest["layers"][:-1] == base["layers"]
    layer = hub.blobs["team/fn-shift", manifest["layers"][-1]["digest"]]
    assert manifest["layers"][-1]["size"] == len(layer)
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        entries = archive.getmembers()
        files = {each.name: archive.extractfile(each).read() for each in entries if each.isfile()}  # type: ignore[union-attr]
    assert files == {
        f"package/{path.relative_to(package)}": path.read_bytes()
        for path in package.rglob("*")
        if path.is_file()
    }
    assert {(each.uid, each.gid, each.mtime) for each in entries} == {(0, 0, 0)}
    assert {each.mode for each in entries if each.isfile()} == {0o444}
    assert {each.mode for each in entries if each.isdir()} == {0o555}

    config = json.loads(hub.blobs["team/fn-shift", manifest["config"]["digest"]])
    assert config["rootfs"]["diff_ids"][-1] == manifest["layers"][-1]["digest"]
    assert len(config["rootfs"]["diff_ids"]) == len(config["history"]) == 2
    assert config["config"]["User"] == "10001:10001"
    assert config["config"]["Labels"] == {
        "org.opencontainers.image.title": "shift",
        "org.opencontainers.image.version": "3",
        "org.opencontainers.image.base.digest": next(
            digest for repository, digest in hub.manifests if repository == BASE and digest != "1"
        ),
        "penstock.revision": contents(package).revision,
    }


def test_only_the_package_is_sent_and_the_second_time_nothing(
    hub: Registry, make_function: MakeFunction
) -> None:
    """The registry takes over what is below; the same package and function image are the same digest."""
    package = make_function(1)
    first = made_of(hub, package)
    below = sum(len(content) for (repository, _), content in hub.blobs.items() if repository == BASE)
    assert 0 < hub.received < 20_000 < below
    received = hub.received
    assert made_of(hub, package) == first
    assert hub.received == received
    with registry() as other:
        other.put_image(BASE, "1")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(INSECURE, other.host)
            for path in package.iterdir():
                os.utime(path, (1, 1))
            assert made_of(other, package).partition("@")[2] == first.partition("@")[2]


def test_another_package_or_function_image_is_another_image(
    hub: Registry, make_function: MakeFunction
) -> None:
    """Each has a tag of its own, so that no registry takes one away for want of it."""
    hub.put_image(BASE, "2", about="arm64")
    first, second = make_function(1), make_function(2)
    images = {made_of(hub, first), made_of(hub, second), made_of(hub, first, "2")}
    assert len(images) == 3
    tags = [tag for repository, tag in hub.manifests if repository == "team/fn-shift" and ":" not in tag]
    assert len(tags) == 3
    assert {contents(package).revision[-12:] for package in (first, second)} == {
        tag.partition("-")[0] for tag in tags
    }


def test_a_function_image_in_another_registry_is_copied_once(
    hub: Registry, make_function: MakeFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is where a registry takes nothing over: the layers go through us, and are checked by their digests."""
    with registry(mounts=False) as own:
        monkeypatch.setenv(INSECURE, f"{hub.host}, {own.host}")
        below = f"{hub.host}/{BASE}:1"
        image = append(contents(make_function(1)), below, f"{own.host}/fn")
        assert own.received > 100_000
        received = own.received
        append(contents(make_function(2)), below, f"{own.host}/fn")
        assert own.received - received < 20_000
        assert own.manifest(image)["layers"][0]["digest"] in {digest for _, digest in own.blobs}


def test_dockers_kind_of_image_stays_one(hub: Registry, make_function: MakeFunction) -> None:
    """Its layers have names of their own."""
    hub.put_image(BASE, "docker", kind=DOCKER)
    manifest = hub.manifest(made_of(hub, make_function(1), "docker"))
    assert manifest["mediaType"] == DOCKER
    assert manifest["layers"][-1]["mediaType"] == "application/vnd.docker.image.rootfs.diff.tar"


def test_an_image_for_several_platforms_stays_one(hub: Registry, make_function: MakeFunction) -> None:
    """Each gets the package; what was noted of the building of the old ones is left behind."""
    platforms = [(name, "linux") for name in ("amd64", "arm64")] + [("unknown", "unknown")]
    entries = [
        {
            "mediaType": MANIFEST, "digest": hub.put_image(BASE, f"of-{name}", about=name), "size": 1,
            "platform": {"architecture": name, "os": system},
        }
        for name, system in platforms
    ]  # fmt: skip
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    hub.put_manifest(BASE, "many", INDEX, text(index))
    made = hub.manifest(made_of(hub, make_function(1), "many"))
    assert [each["platform"]["architecture"] for each in made["manifests"]] == ["amd64", "arm64"]
    for each in made["manifests"]:
        kind, content = hub.manifests["team/fn-shift", each["digest"]]
        assert (kind, len(content)) == (MANIFEST, each["size"])
        assert len(json.loads(content)["layers"]) == 2


def docker_config(**of_host: object) -> str:
    """Docker's configuration."""
    return json.dumps(of_host)


def pair() -> str:
    return base64.b64encode(f"{NAME}:{SECRET}".encode()).decode()


@pytest.mark.parametrize("scheme", ["Bearer", "Basic"])
@pytest.mark.parametrize("place", ["file", "variable", "token", "helper"])
def test_a_registry_that_wants_a_login_gets_it_and_nothing_shows_it(
    make_function: MakeFunction,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    scheme: str,
    place: str,
) -> None:
    """From Docker's file, its variable, a token of the account, or a credential helper."""
    caplog.set_level(logging.DEBUG)
    name = "<token>" if place == "token" else NAME
    with registry(login=(name, SECRET), scheme=scheme) as hub:
        monkeypatch.setenv(INSECURE, hub.host)
        hub.put_image(BASE, "1")
        entry = {"identitytoken": SECRET} if place == "token" else {"auth": pair()}
        config = docker_config(auths={hub.host: entry})
        if place == "helper":
            program = tmp_path / "docker-credential-test"
            program.write_text(
                f'#!/bin/sh\nread host; test "$host" = {hub.host} && '
                f'echo \'{{"Username": "{NAME}", "Secret": "{SECRET}"}}\'\n'
            )
            program.chmod(0o755)
            monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
            config = docker_config(credHelpers={hub.host: "test"})
        if place == "variable":
            monkeypatch.setenv(login.AUTH_CONFIG, config)
        else:
            (tmp_path / "docker").mkdir()
            (tmp_path / "docker" / "config.json").write_text(config)
        assert made_of(hub, make_function(1)).startswith(f"{hub.host}/team/fn-shift@sha256:")
        assert 1 <= len(hub.tokens) <= 2 or scheme == "Basic"
    assert SECRET not in caplog.text
    assert pair() not in caplog.text


def test_who_is_not_known_is_told_to_log_in(
    make_function: MakeFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a wrong login too, and without showing it."""
    with registry(login=(NAME, SECRET)) as hub:
        monkeypatch.setenv(INSECURE, hub.host)
        with pytest.raises(TargetError, match=r"no token for anybody: 401.*docker login"):
            made_of(hub, make_function(1))
        wrong = base64.b64encode(f"{NAME}:wrong-one".encode()).decode()
        monkeypatch.setenv(login.AUTH_CONFIG, docker_config(auths={hub.host: {"auth": wrong}}))
        with pytest.raises(TargetError, match="no token for robot: 401") as caught:
            made_of(hub, make_function(1))
        assert "wrong-one" not in str(caught.value)


@pytest.mark.parametrize(
    "config",
    [
        "{s3cr3t",
        "[]",
        '{"auths": {"r.example": {"auth": "!"}}}',
        '{"auths": {"r.example": 1}}',
    ],
)
def test_a_configuration_that_is_none_is_told_by_its_name_alone(
    monkeypatch: pytest.MonkeyPatch, config: str
) -> None:
    """Its content may be a secret."""
    monkeypatch.setenv(login.AUTH_CONFIG, config)
    with pytest.raises(TargetError, match=login.AUTH_CONFIG) as caught:
        login.find("r.example")
    assert config not in str(caught.value)


def test_a_helper_that_knows_nothing_is_anybody_and_one_that_fails_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Or is not there at all."""
    monkeypatch.setenv(login.AUTH_CONFIG, docker_config(credsStore="test"))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(TargetError, match="docker-credential-test is not on the path"):
        login.find("r.example")
    program = tmp_path / "docker-credential-test"
    program.write_text("#!/bin/sh\necho credentials not found in native keychain; exit 1\n")
    program.chmod(0o755)
    assert login.find("r.example") is None
    program.write_text("#!/bin/sh\necho locked; exit 2\n")
    with pytest.raises(TargetError, match="ended with 2"):
        login.find("r.example")


def test_a_registry_that_trips_is_asked_again_and_one_that_lies_is_not_believed(
    hub: Registry, make_function: MakeFunction
) -> None:
    """Answers that tell of its own trouble, for a while; but a digest is a digest."""
    hub.faults += [("GET", 503), ("PUT", 502), ("POST", 429)]
    made_of(hub, make_function(1))
    hub.faults += [("GET", 503)] * 5
    with pytest.raises(TargetError, match="503"):
        made_of(hub, make_function(1))
    hub.faults.clear()
    config = json.loads(hub.manifests[BASE, "1"][1])["config"]["digest"]
    hub.blobs[BASE, config] += b" "
    with pytest.raises(TargetError, match=f"for {config}"):
        made_of(hub, make_function(2))


def test_what_is_not_there_or_no_image(hub: Registry, make_function: MakeFunction) -> None:
    """A tag that nobody pushed, a manifest that is none, and a server that is no registry."""
    package = make_function(1)
    with pytest.raises(TargetError, match=r"team/function/manifests/9: 404: MANIFEST_UNKNOWN") as caught:
        made_of(hub, package, "9")
    assert caught.value.status == 404
    for content, said in ((b"[]", "no JSON object"), (b"{}", "kind that is known"), (text({"mediaType": MANIFEST}), "not one: KeyError")):  # fmt: skip
        hub.put_manifest(BASE, "bad", "text/plain", content)
        with pytest.raises(TargetError, match=said):
            made_of(hub, package, "bad")
    with pytest.raises(TargetError, match="no answer to GET"):
        append(contents(package), "localhost:9/a/b:1", f"{hub.host}/c")


def test_a_registry_without_tls_must_be_named(
    hub: Registry, make_function: MakeFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On this machine, too."""
    monkeypatch.delenv(INSECURE)
    with pytest.raises(TargetError, match=f"no answer to GET.*{INSECURE}"):
        made_of(hub, make_function(1))
    assert hub.seen == []


@pytest.mark.parametrize(
    ("given", "host", "repository", "version"),
    [
        ("localhost:5000/a/b:1", "localhost:5000", "a/b", "1"),
        ("docker.io/team/function:v1", "docker.io", "team/function", "v1"),
        (f"r.example/f:1@sha256:{'a' * 64}", "r.example", "f", f"sha256:{'a' * 64}"),
    ],
)
def test_references(given: str, host: str, repository: str, version: str) -> None:
    """With a tag or a digest, or both, of which the digest counts."""
    assert Reference.parse(given) == Reference(host, repository, version)


@pytest.mark.parametrize(
    "given", ["function:1", "team/function:1", "r.example/function", "r.example/Function:1", "r.example/f:1\n", "r.example/../f:1", ""]
)  # fmt: skip
def test_what_is_no_reference(given: str) -> None:
    """Without a registry, a name or a version, or with what no registry takes."""
    with pytest.raises(TargetError, match="is no image that can be found"):
        Reference.parse(given)


@pytest.mark.parametrize(
    "given", ["team", "team/a", "r.example", "r.example/A", "http://r.example/a", "r.example/a/"]
)
def test_what_is_no_place(given: str) -> None:
    """A place has a registry and a path."""
    with pytest.raises(TargetError, match="PENSTOCK_REGISTRY"):
        parse_place(given)

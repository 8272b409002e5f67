"""The registry: questions, changes, and what a missing one answers."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from penstock.registered import LeftToMLflow, Row
from penstock.registry import (
    CHALLENGER,
    CHAMPION,
    KEY,
    REGISTER_PATH,
    VERDICT,
    VERDICT_PATH,
    WINDOW_END,
    Registry,
)
from penstock.registry_file import RegistryFile
from penstock.registry_server import RegistryServer
from tests.conftest import MakeMlflow
from tests.servers import mlflow_server


class _Nothing:
    """A reader that leaves all to MLflow."""

    def versions(self, name: str) -> list[Row]:
        raise LeftToMLflow(name)

    def by_alias(self, name: str, alias: str) -> Row | None:
        raise LeftToMLflow(alias)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, make_mlflow: MakeMlflow) -> Iterator[str]:
    """MLflow's server; its URL."""
    folder = tmp_path_factory.mktemp("server")
    with mlflow_server(folder, make_mlflow(folder / "mlflow.db")) as url:
        yield url


@pytest.fixture(params=["file", "server", "mlflow"])
def registry(
    tmp_path: Path, make_mlflow: MakeMlflow, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Registry:
    """A registry with two versions of `flights`, of keys a and b; asked by file, by HTTP, and through MLflow itself."""
    if request.param == "server":
        made = Registry(request.getfixturevalue("server"))
        made.delete("flights")
    else:
        made = Registry(make_mlflow(tmp_path / "mlflow.db"))
    if request.param == "mlflow":
        monkeypatch.setattr(made, "_reader", _Nothing())
    made.client.create_registered_model("flights")
    for key, month in (("a", 5), ("b", 6)):
        made.client.create_model_version(
            "flights",
            source=f"s3://models/{key}",
            tags={
                KEY: key,
                REGISTER_PATH: f"flights/register/{key}/attempt",
                WINDOW_END: datetime(2013, month, 1, tzinfo=UTC).isoformat(),
            },
        )
    return made


def test_a_version_carries_what_its_tags_say(registry: Registry) -> None:
    """A version leads back to the store, and knows its key, its window and when it was made."""
    version = registry.version("flights", "2")
    assert version is not None
    assert (version.name, version.version, version.key) == ("flights", "2", "b")
    assert version.register_path == "flights/register/b/attempt"
    assert version.window_end == datetime(2013, 6, 1, tzinfo=UTC)
    assert version.verdict_path is None
    assert abs((datetime.now(UTC) - version.created).total_seconds()) < 600


def test_versions_come_the_newest_first_and_by_key(registry: Registry) -> None:
    """All versions are listed, and the one of a training key is found."""
    assert [version.version for version in registry.versions("flights")] == ["2", "1"]
    found = registry.by_key("flights", "a")
    assert found is not None
    assert found.version == "1"
    assert registry.by_key("flights", "c") is None


def test_an_alias_names_one_version_until_it_is_moved_or_dropped(registry: Registry) -> None:
    """The champion is who has the alias; moving it is one act, dropping it twice is harmless."""
    assert registry.champion("flights") is None
    registry.set_alias("flights", CHAMPION, "1")
    registry.set_alias("flights", CHAMPION, "2")
    champion = registry.champion("flights")
    assert champion is not None
    assert champion.version == "2"
    assert registry.by_alias("flights", CHALLENGER) is None
    registry.drop_alias("flights", CHAMPION)
    registry.drop_alias("flights", CHAMPION)
    assert registry.champion("flights") is None


def test_tags_are_set_replaced_and_dropped(registry: Registry) -> None:
    """A verdict given again replaces the first; other tags stay."""
    registry.tag("flights", "1", {VERDICT: "refuse", VERDICT_PATH: "flights/validate_model/k/attempt"})
    registry.tag("flights", "1", {VERDICT: "promote"})
    version = registry.version("flights", "1")
    assert version is not None
    assert (version.tags[VERDICT], version.verdict_path) == ("promote", "flights/validate_model/k/attempt")
    registry.drop_tag("flights", "1", VERDICT)
    version = registry.version("flights", "1")
    assert version is not None
    assert VERDICT not in version.tags
    assert version.key == "a"


def test_a_deleted_model_is_gone_and_can_be_deleted_again(registry: Registry) -> None:
    """Removing a pipeline removes its versions and aliases; doing it twice is harmless."""
    registry.set_alias("flights", CHAMPION, "1")
    registry.delete("flights")
    registry.delete("flights")
    assert registry.versions("flights") == []
    assert registry.champion("flights") is None


def test_what_is_not_there_is_none_not_an_error(registry: Registry) -> None:
    """A model, version, alias or key that does not exist gives None or an empty list."""
    assert registry.champion("planes") is None
    assert registry.version("planes", "1") is None
    assert registry.version("flights", "9") is None
    assert registry.versions("planes") == []
    assert registry.by_key("planes", "a") is None
    registry.drop_alias("planes", CHAMPION)


def test_asking_makes_no_database(tmp_path: Path) -> None:
    """On a machine where nothing ran yet a question answers at once and leaves nothing behind."""
    registry = Registry(f"sqlite:///{tmp_path}/mlflow.db")
    assert registry.champion("flights") is None
    assert registry.version("flights", "1") is None
    assert registry.versions("flights") == []
    registry.drop_alias("flights", CHAMPION)
    registry.delete("flights")
    assert list(tmp_path.iterdir()) == []


def test_a_version_registered_by_hand_is_shown_with_what_is_known(registry: Registry) -> None:
    """A version without our tags is a version: its key and paths are None."""
    registry.client.create_model_version("flights", source="s3://models/own")
    version = registry.version("flights", "3")
    assert version is not None
    assert (version.key, version.register_path, version.window_end) == (None, None, None)


def test_file_server_and_mlflow_say_the_same(registry: Registry) -> None:
    """Every field of every version, after versions were tagged, named and deleted, is as MLflow tells it."""
    from penstock.registry import _of_entity

    client = registry.client
    client.create_model_version("flights", source="s3://models/c", run_id="0" * 32)
    client.delete_model_version("flights", "1")
    registry.set_alias("flights", CHAMPION, "3")
    registry.tag("flights", "3", {VERDICT: "promote"})
    told = [_of_entity(entity) for entity in client.search_model_versions("name = 'flights'")]
    assert registry.versions("flights") == sorted(told, key=lambda version: version.version, reverse=True)
    assert registry.champion("flights") == _of_entity(client.get_model_version_by_alias("flights", CHAMPION))
    assert registry.version("flights", "1") is None


def test_tables_that_are_not_known_are_left_to_mlflow(tmp_path: Path, make_mlflow: MakeMlflow) -> None:
    """An MLflow whose tables look otherwise is asked itself: nothing is guessed."""
    path = tmp_path / "mlflow.db"
    registry = Registry(make_mlflow(path))
    registry.client.create_registered_model("flights")
    registry.client.create_model_version("flights", source="s3://models/a", tags={KEY: "a"})
    with closing(sqlite3.connect(path)) as file:
        file.execute("alter table registered_model_aliases rename column alias to nickname")
    with pytest.raises(LeftToMLflow):
        RegistryFile(path).by_alias("flights", CHAMPION)
    assert [version.key for version in registry.versions("flights")] == ["a"]


@pytest.mark.parametrize("registry", ["file", "server"], indirect=True)
def test_a_question_to_a_file_or_a_server_does_not_load_mlflow(registry: Registry) -> None:
    """The operator and `status` ask often: they are answered without MLflow."""
    registry.set_alias("flights", CHAMPION, "2")
    code = f"""if True:
        import sys
        from penstock.registry import Registry
        registry = Registry({registry.uri!r})
        print(registry.champion("flights").version, len(registry.versions("flights")))
        assert "mlflow" not in sys.modules"""
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert said.stdout == "2 2\n"


@pytest.mark.parametrize("registry", ["server"], indirect=True)
def test_a_server_s_pages_are_all_read(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model with more versions than an answer holds is listed whole."""
    monkeypatch.setattr("penstock.registry_server._PAGE", 1)
    assert [row.version for row in RegistryServer(registry.uri).versions("flights")] == [2, 1]


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "secret"},
        {"MLFLOW_TRACKING_TOKEN": "token"},
        {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "s", "MLFLOW_TRACKING_TOKEN": "t"},
        {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_TOKEN": "token"},
    ],
)
def test_a_server_is_shown_what_mlflow_would_show_it(
    said: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name and password, or the token, of the environment go to the server as MLflow's client sends them."""
    from mlflow import MlflowClient

    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    with _recorder() as (url, shown):
        RegistryServer(url).by_alias("flights", CHAMPION)
        MlflowClient(url, url).get_model_version_by_alias("flights", CHAMPION)
    ours, theirs = shown
    assert ours == theirs


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_INSECURE_TLS", "MLFLOW_TRACKING_AUTH", "MLFLOW_WORKSPACE"])
def test_what_more_is_said_of_a_server_is_left_to_mlflow(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin, a certificate or a workspace is MLflow's affair: nothing is sent that it would not send."""
    monkeypatch.setenv(name, "true")
    with _recorder() as (url, shown), pytest.raises(LeftToMLflow):
        RegistryServer(url).by_alias("flights", CHAMPION)
    assert shown == []


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:1", "postgresql://mlflow@127.0.0.1:1/mlflow", "databricks"]
)
def test_what_is_no_server_or_does_not_answer_is_left_to_mlflow(uri: str) -> None:
    """Databases and platforms are asked by MLflow, which also says why a server does not answer."""
    with pytest.raises(LeftToMLflow):
        RegistryServer(uri).versions("flights")


@contextmanager
def _recorder() -> Iterator[tuple[str, list[str | None]]]:
    """A server that has one version, and the Authorization of each request to it."""
    shown: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown.append(self.headers["Authorization"])
            body = b'{"model_version": {"name": "flights", "version": "1", "creation_timestamp": 1}}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_port}", shown
        made.shutdown()


def test_importing_the_registry_does_not_load_mlflow() -> None:
    """DAG files and `--help` import it: MLflow takes seconds and is loaded with the first question only."""
    code = "import sys, penstock.registry as r; r.Registry('sqlite:///x.db').versions('a'); assert 'mlflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

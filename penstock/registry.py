"""The registry: MLflow's registered model of each pipeline is the truth of what exists and what should serve.

A pipeline's registered model has its name. Each version carries tags that lead back to the store, and two
aliases say what they mean: `champion` should serve, `challenger` was registered last.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from filelock import FileLock

from penstock import telemetry
from penstock.errors import PenstockError
from penstock.registered import LeftToMLflow, Reader, Row
from penstock.registry_file import RegistryFile
from penstock.registry_server import RegistryServer, missing

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"

#: Tags of a version: the training key, the result of register (its path in the store; the key in it is what
#: counts), the end of the training window, and what validate_model found (`promote` or `refuse`).
KEY: Final = "penstock.key"
REGISTER_PATH: Final = "penstock.register_path"
WINDOW_END: Final = "penstock.window_end"
VERDICT: Final = "penstock.verdict"
VERDICT_PATH: Final = "penstock.verdict_path"
REFUSED_BECAUSE: Final = "penstock.refused_because"
#: When a version last became the champion (ISO, UTC).
PROMOTED_AT: Final = "penstock.promoted_at"
#: How a version's rollout stands or ended (`penstock.rollout.record.State`), and why.
ROLLOUT: Final = "penstock.rollout"
ROLLOUT_BECAUSE: Final = "penstock.rollout_because"

_SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Version:
    """One registered version. What Penstock tags is None on a version that a person registered by hand."""

    name: str
    version: str
    key: str | None
    register_path: str | None
    verdict_path: str | None
    window_end: datetime | None
    created: datetime
    run_id: str | None
    tags: Mapping[str, str]


class Registry:
    """The registered models behind an MLflow URI.

    Nothing is contacted, and MLflow (seconds to import) not loaded, before it is needed: an SQLite file and a server
    answer questions by themselves. Where there is no registry yet, or no such model, a question finds nothing: None
    or an empty list.
    """

    def __init__(self, mlflow_uri: str) -> None:
        self.uri = mlflow_uri
        self._file = Path(mlflow_uri.removeprefix(_SQLITE)) if mlflow_uri.startswith(_SQLITE) else None
        # What is no server by HTTP, such as a database, it leaves to MLflow.
        self._reader: Reader = RegistryFile(self._file) if self._file else RegistryServer(mlflow_uri)

    # -- questions -----------------------------------------------------------------------------------------

    def champion(self, name: str) -> Version | None:
        """The version that should serve, or None."""
        return self.by_alias(name, CHAMPION)

    def by_alias(self, name: str, alias: str) -> Version | None:
        """The version that an alias names, or None."""
        if not self._exists:
            return None
        try:
            row = self._reader.by_alias(name, alias)
        except LeftToMLflow:
            entity = self._ask(lambda client: client.get_model_version_by_alias(name, alias))
            return None if entity is None else _of_entity(entity)
        return None if row is None else _of_row(name, row)

    def by_key(self, name: str, train_key: str) -> Version | None:
        """The one version of a training key, or None."""
        return next((version for version in self.versions(name) if version.key == train_key), None)

    def version(self, name: str, version: str) -> Version | None:
        """A version by its number, or None."""
        return next((known for known in self.versions(name) if known.version == version), None)

    def versions(self, name: str) -> list[Version]:
        """Every version, the newest first."""
        if not self._exists:
            return []
        with suppress(LeftToMLflow):
            return [_of_row(name, row) for row in self._reader.versions(name)]
        found: list[Version] = []
        token: str | None = None
        while True:
            page = self.client.search_model_versions(f"name = '{name}'", max_results=1000, page_token=token)
            found += [_of_entity(entity) for entity in page]
            token = page.token
            if not token:
                return sorted(found, key=lambda version: int(version.version), reverse=True)

    # -- changes -------------------------------------------------------------------------------------------

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Make an alias name this version, whichever it named before."""
        self.client.set_registered_model_alias(name, alias, version)

    def drop_alias(self, name: str, alias: str) -> None:
        """Remove an alias; one that is not there stays so."""
        if self._model_exists(name):
            self.client.delete_registered_model_alias(name, alias)

    def tag(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        """Set tags of a version, replacing those of the same key."""
        for key, value in tags.items():
            self.client.set_model_version_tag(name, version, key, value)

    def drop_tag(self, name: str, version: str, key: str) -> None:
        """Remove a tag of a version; one that is not there stays so."""
        self.client.delete_model_version_tag(name, version, key)

    def delete(self, name: str) -> None:
        """Remove a registered model with its versions and aliases, if it is there."""
        if self._model_exists(name):
            self.client.delete_registered_model(name)

    # -- MLflow --------------------------------------------------------------------------------------------

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time, on a database that is whole; nothing to do where it is no SQLite file.

        Two that make MLflow's tables in a new file both fail, and MLflow cannot go on with half of its tables: so a
        new database is made beside its place, and gets its name when it is done.
        """
        if self._file is None:
            yield
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self._file}.lock"):
            if not self._file.exists():
                _make(self._file)
            yield

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's own client, for what this class does not say."""
        telemetry.switch_off()
        try:
            from mlflow.tracking import MlflowClient
        except ImportError as error:
            raise PenstockError(
                f"the registry at {self.uri} needs MLflow, which cannot be imported here: {error}",
                next_step="install requirements.txt into this environment",
            ) from error
        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    @property
    def _exists(self) -> bool:
        # MLflow would make a missing SQLite database, which takes seconds, only to find it empty.
        return self._file is None or (self._file.is_file() and self._file.stat().st_size > 0)

    def _model_exists(self, name: str) -> bool:
        return self._exists and self._ask(lambda client: client.get_registered_model(name)) is not None

    def _ask(self, question: Callable[[MlflowClient], Any]) -> Any | None:
        """The answer of MLflow, or None where it says that there is no such model, version or alias."""
        client = self.client  # first: it imports MLflow as it must be
        from mlflow.exceptions import MlflowException

        try:
            return question(client)
        except MlflowException as error:
            if missing(error.error_code, error):
                return None
            raise


def _make(path: Path) -> None:
    new = path.with_name(f".{path.name}.new")
    for left in (new, new.with_name(f"{new.name}-journal")):
        left.unlink(missing_ok=True)
    Registry(f"{_SQLITE}{new}").client.search_experiments(max_results=1)  # MLflow makes what it asks
    with suppress(
        FileExistsError
    ):  # a link, and no rename: a server of somebody's that made one meanwhile keeps it
        os.link(new, path)
    new.unlink()


def _of_entity(entity: Any) -> Version:
    return _version(
        entity.name, int(entity.version), entity.run_id, entity.creation_timestamp, dict(entity.tags or {})
    )


def _of_row(name: str, row: Row) -> Version:
    return _version(name, row.version, row.run_id, row.created, row.tags)


def _version(name: str, number: int, run_id: str | None, created: int, tags: Mapping[str, str]) -> Version:
    end = tags.get(WINDOW_END)
    return Version(
        name=name,
        version=str(number),
        key=tags.get(KEY),
        register_path=tags.get(REGISTER_PATH),
        verdict_path=tags.get(VERDICT_PATH),
        window_end=datetime.fromisoformat(end) if end else None,
        created=datetime.fromtimestamp(created / 1000, tz=UTC),
        run_id=run_id or None,
        tags=tags,
    )

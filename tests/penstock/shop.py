"""A pipeline with registered versions, without anything trained: for tests of what comes after registering."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from penstock import signatures
from penstock.promotion import Promotion
from penstock.registry import CHALLENGER, REGISTER_PATH, Registry
from penstock.results import StageResult
from penstock.settings import Settings
from penstock.store import Store
from penstock.targets.embedded import EmbeddedTarget

SPEC = '''"""What is x, shifted?"""

from penstock import Pipeline, files
from penstock_airflow import to_dag

pipeline = Pipeline(
    name="shift", problem=__doc__, owner="me", task="regression", label="y", time="at", id="row",
    sources=[files("rows", "data/{{ interval }}.csv", time="at")],
    schedule="@monthly", start="2024-01-01", end="2024-03-01", metric="rmse",
)
dag = to_dag(pipeline)
'''


def write(path: Path, text: str) -> Path:
    """A file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@dataclass(frozen=True)
class Shop:
    """Versions of `shift` as register leaves them, promoted as deploy does: version N answers x + N."""

    settings: Settings
    make_function: Callable[..., Path]

    @property
    def store(self) -> Store:
        return Store(self.settings.store)

    @property
    def registry(self) -> Registry:
        return Registry(self.settings.mlflow_uri)

    @property
    def promotion(self) -> Promotion:
        target = EmbeddedTarget(self.settings.host_state)
        return Promotion(self.settings, "shift", "shift", target, self.registry)

    def register(self, offset: int | None = None, *, of: str | None = None) -> str:
        """One more version, the challenger; its number. `of` makes another package of that version: x + `offset`."""
        client = self.registry.client
        if not self.registry.versions("shift"):
            client.create_registered_model("shift")
        number = int(of) if of else len(self.registry.versions("shift")) + 1
        path = self.package(str(number), offset)
        key = path.split("/")[2]
        package = self.make_function(number, offset=offset)
        signatures.sign(package)
        self.store.put(package, f"{path}/package")
        self.store.commit(
            StageResult(
                pipeline="shift", stage="register", subject="", key=key, attempt="won", digest="d", state="ran",
                spec={"function": "shift"}, summary={"version": str(number)},
                started="2024-01-01T00:00:00+00:00", seconds=1.0,
            )
        )  # fmt: skip
        if of is None:
            client.create_model_version("shift", source="file:///none", tags={REGISTER_PATH: path})
            self.registry.set_alias("shift", CHALLENGER, str(number))
        return str(number)

    def package(self, version: str, offset: int | None = None) -> str:
        """The path of a version's registration in the store."""
        return f"shift/register/key{version}{'' if offset is None else f'of{offset}'}/won"

    def promote(self) -> str:
        """One more version, live."""
        version = self.register()
        champion = self.registry.champion("shift")
        self.promotion.promote(
            version, self.package(version), judged_against=champion.version if champion else None
        )
        return version

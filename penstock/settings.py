"""Where this installation keeps its things, from the environment or from the checkout.

Everything that Penstock writes lives under `var/` of the project root unless an environment variable says
otherwise; nothing here is secret.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from penstock.errors import PenstockError


@dataclass(frozen=True)
class Settings:
    """Resolved locations. `root` holds dags/, jobs/, expectations/ and steps/; `var` holds all state."""

    root: Path
    var: Path
    store: str
    mlflow_uri: str

    @property
    def dags(self) -> Path:
        return self.root / "dags"

    @property
    def expectations(self) -> Path:
        return self.root / "expectations"

    @property
    def steps(self) -> Path:
        return self.root / "steps"

    @property
    def host_state(self) -> Path:
        return self.var / "host"

    @property
    def airflow_home(self) -> Path:
        return self.var / "airflow"

    @property
    def mlflow_is_served(self) -> bool:
        """Whether MLflow is a server of its own, which also keeps the artifacts, and not a database."""
        return self.mlflow_uri.startswith(("http://", "https://"))

    @property
    def mlflow_artifacts(self) -> Path:
        return self.var / "mlflow" / "artifacts"

    def environment(self) -> dict[str, str]:
        """The variables that make another process resolve the very same settings."""
        return {
            "PENSTOCK_ROOT": str(self.root),
            "PENSTOCK_VAR": str(self.var),
            "PENSTOCK_STORE": self.store,
            "PENSTOCK_MLFLOW_URI": self.mlflow_uri,
        }


def find_root(start: Path | None = None) -> Path:
    """The nearest folder at or above `start` (default: here) that holds `dags/`, else this package's checkout.

    Raises PenstockError where neither is a project.
    """
    here = (start or Path.cwd()).resolve()
    own = Path(__file__).resolve().parents[1]
    for folder in (here, *here.parents, own):
        if (folder / "dags").is_dir() and (folder / "jobs").is_dir():
            return folder
    raise PenstockError(
        f"no Penstock project at {here} or above it: expected a folder with dags/ and jobs/ in it",
        next_step="change into the checkout, or set PENSTOCK_ROOT to it",
    )


def load() -> Settings:
    """Settings of this process: PENSTOCK_ROOT, _VAR, _STORE and _MLFLOW_URI, each with its default."""
    root = Path(os.environ["PENSTOCK_ROOT"]).resolve() if "PENSTOCK_ROOT" in os.environ else find_root()
    var = Path(os.environ.get("PENSTOCK_VAR", root / "var")).resolve()
    return Settings(
        root=root,
        var=var,
        store=os.environ.get("PENSTOCK_STORE", f"file://{var / 'store'}"),
        mlflow_uri=os.environ.get("PENSTOCK_MLFLOW_URI", f"sqlite:///{var / 'mlflow' / 'mlflow.db'}"),
    )

"""A program: parse a DAG folder as on a machine that has what the Airflow room's lock names, and nothing else.

`python only_airflow.py LOCK FOLDER` prints one JSON object: the DAGs, the import errors, and what was imported. What
the lock does not name cannot be found, as if it were not installed: neither its modules nor its entry points.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

#: Ours, as they lie in one checkout: the plugin with the core is there, the other rooms are not.
PLUGIN, OTHER_ROOMS = "penstock", {"jobs", "penstock_function"}


class OnlyLocked:
    """Finds modules and distributions as Python does, but none outside of a lock."""

    def __init__(self, lock: Path) -> None:
        lines = lock.read_text(encoding="utf-8").splitlines()
        self.allowed = {
            _canonical(line.split("==")[0]) for line in lines if re.match(r"[\w.-]+(\[.*\])?==", line)
        }
        self.allowed.add(PLUGIN)
        made_by = importlib.metadata.packages_distributions()
        foreign = {
            module
            for module, names in made_by.items()
            if self.allowed.isdisjoint(_canonical(name) for name in names)
        }
        self.blocked = foreign | OTHER_ROOMS

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return None if name.partition(".")[0] in self.blocked else PathFinder.find_spec(name, path, target)

    def find_distributions(self, context: Any) -> Iterator[importlib.metadata.Distribution]:
        for found in PathFinder.find_distributions(context):
            if _canonical(found.metadata["Name"]) in self.allowed:
                yield found

    @staticmethod
    def invalidate_caches() -> None:
        PathFinder.invalidate_caches()


def _canonical(name: str) -> str:
    """A distribution's name as PEP 503 compares it, without extras."""
    return re.sub(r"[-_.]+", "-", name.split("[")[0]).lower()


def parse(folder: str) -> dict[str, Any]:
    """What Airflow's DAG processor does with a folder: load each file, and serialize its DAG."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.serialized_objects import DagSerialization

    bag = DagBag(folder, safe_mode=True)
    for dag in bag.dags.values():
        DagSerialization.to_dict(dag)
    return {"ids": sorted(bag.dags), "errors": bag.import_errors}


if __name__ == "__main__":
    only = OnlyLocked(Path(sys.argv[1]))
    sys.meta_path[sys.meta_path.index(PathFinder)] = only  # type: ignore[assignment,call-overload]
    found = parse(sys.argv[2])
    imported = sorted({name.partition(".")[0] for name in sys.modules})
    print(f"\n{json.dumps({**found, 'imported': imported, 'blocked': sorted(only.blocked)})}")

"""The DAG folder as Airflow sees it: the expected DAGs, and no import error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_airflow_finds_exactly_these_dags(tmp_path: Path) -> None:
    """Airflow's own DagBag loads both examples and nothing else, through its safe mode and ignore files."""
    script = (
        "import json\n"
        "from airflow.dag_processing.dagbag import DagBag\n"
        f"bag = DagBag({str(ROOT / 'dags')!r}, safe_mode=True)\n"
        "print('\\n' + json.dumps({'ids': sorted(bag.dags), 'errors': bag.import_errors}))\n"
    )
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    ran = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    found = json.loads(ran.stdout.strip().splitlines()[-1])
    assert found["errors"] == {}
    assert found["ids"] == ["flight_arrival", "flight_delays"]

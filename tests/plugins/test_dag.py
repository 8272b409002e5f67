"""Spec to DAG: the tasks, the trigger form, the page; and that parsing stays light."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from penstock import Pipeline, files, hours
from penstock_airflow import to_dag

ROOT = Path(__file__).parents[2]


def pipeline(**changes: Any) -> Pipeline:
    fields: dict[str, Any] = {
        "name": "flights", "problem": "Will it be late?\nMore words.", "owner": "flight-ops", "task": "binary",
        "label": "late", "time": "t", "id": "i", "sources": [files("flights", "x", time="t")],
        "schedule": "@monthly", "start": "2013-01-01", "end": "2014-01-01", "metric": "roc_auc",
        "gates": {"holdout": {"roc_auc": ">= 0.65"}, "fit": False},
    }  # fmt: skip
    return Pipeline(**{**fields, **changes})


def test_the_chain() -> None:
    """Plan, then collect and validate for each interval, then the chain to deploy, in its order."""
    dag = to_dag(pipeline())
    assert dag is not None
    order = ["plan", "collect", "validate", "features", "train", "register", "validate_model", "deploy"]
    assert sorted(dag.task_ids) == sorted(order)
    for before, after in pairwise(order):
        assert before in dag.get_task(after).upstream_task_ids, f"{after} does not wait for {before}"


def test_its_end_is_the_end_of_the_data() -> None:
    """The last scheduled interval is December: Airflow's end is its start, not the first day without data."""
    dag = to_dag(pipeline())
    assert dag is not None
    assert dag.end_date == datetime(2013, 12, 1, tzinfo=UTC)
    assert dag.max_active_runs == 1
    assert dag.catchup is False


def test_the_page_says_what_to_do() -> None:
    """The DAG's page has problem, owner, schedule, gates (an off one says so), and what to do on failure."""
    dag = to_dag(pipeline())
    assert dag is not None
    assert dag.doc_md is not None
    for expected in ("Will it be late?", "flight-ops", "@monthly", "roc_auc >= 0.65", "| fit | **off** |", "penstock explain", "penstock rollback flights"):  # fmt: skip
        assert expected in dag.doc_md


def test_the_form_is_typed() -> None:
    """Each field of the trigger form has a type, a title and help; nonsense is refused by it."""
    dag = to_dag(pipeline())
    assert dag is not None
    assert set(dag.params) == {"date", "since", "trials", "force", "note"}
    for name in dag.params:
        param = dag.params.get_param(name)
        assert param.schema["title"]
        assert param.description
    for name, wrong in {"trials": 0, "force": "everything", "date": 3}.items():
        with pytest.raises(Exception, match=r"(?i)valid|enum|minimum|type"):
            dag.params.get_param(name).resolve(wrong)


def test_a_deadline_where_the_spec_sets_one() -> None:
    """A deadline becomes Airflow's alert; without one there is none."""
    with_one, without = to_dag(pipeline(deadline=hours(6))), to_dag(pipeline())
    assert with_one is not None
    assert without is not None
    assert with_one.deadline
    assert not without.deadline


def test_a_hundred_pipelines_parse_without_heavy_imports(tmp_path: Path) -> None:
    """Parsing imports neither Spark, MLflow, pandas nor Great Expectations, however many pipelines there are."""
    for number in range(100):
        folder = tmp_path / f"p{number}"
        folder.mkdir()
        (folder / "pipeline.py").write_text(
            textwrap.dedent(f'''
                """Airflow DAG of a penstock pipeline."""
                from penstock import Pipeline, Search, days, files, months, table
                from penstock_airflow import to_dag
                pipeline = Pipeline(
                    name="p{number}", problem="x", owner="o", task="binary", label="l", time="t", id="i",
                    sources=[files("rows", "x", time="t"), table("dim", connection="c", query="q")],
                    schedule="@monthly", start="2013-01-01", window=months(3), holdout=days(14),
                    metric="roc_auc", search=Search(trials=8, depth=[4, 6]),
                )
                dag = to_dag(pipeline)
            ''')
        )
    script = textwrap.dedent(f"""
        import importlib.util, pathlib, sys
        ids = []
        for path in sorted(pathlib.Path({str(tmp_path)!r}).glob("*/pipeline.py")):
            spec = importlib.util.spec_from_file_location(path.parent.name, path)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            ids.append(module.dag.dag_id)
        heavy = [name for name in ("pyspark", "mlflow", "pandas", "great_expectations", "jobs") if name in sys.modules]
        print(len(ids), heavy)
    """)
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip().splitlines()[-1] == "100 []"

"""One item of validate: evaluate the suite, say what failed, write the report and Data Docs."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.common.job import Done, Work
from jobs.common.progress import Progress
from jobs.validate.checks import Check, evaluate
from jobs.validate.docs import write_docs
from jobs.validate.engines import PANDAS_VALUES, Engine, choose, validator
from jobs.validate.suite import check_columns, load_suite
from jobs.validate.verdict import verdict
from penstock import keys


def run(work: Work, limit: int = PANDAS_VALUES) -> Done:
    """Validate what was collected; `limit` is the most values (rows times columns) that pandas gets.

    Refused where an expectation of severity critical failed, unless the gate is off. Raises SpecError where the
    suite is none, DataError where it names a column that is not there.
    """
    data = work.fetch("data", "data.parquet")
    path = work.settings.root / work.item.inputs["suite"].path
    subject = work.item.subject or str(work.spec["source"])
    suite = load_suite(path)
    schema = pq.read_schema(data)
    check_columns(suite, schema.names, subject)
    engine: Engine | None = choose(data, limit) if pq.read_metadata(data).num_rows else None
    whole = {field.name for field in schema if pa.types.is_integer(field.type)}
    checks: list[Check] = []
    results: list[Any] = []
    if engine is None:
        print(f"{subject}: no rows, nothing to check", flush=True)
    else:
        progress = Progress(f"{subject} expectations", len(suite.expectations))
        with validator(engine, data, work) as over:
            for check, result in evaluate(suite, over, whole):
                checks.append(check)
                results.append(result)
                progress.advance(note=("" if check.passed else f"{check.severity}: ") + check.title)
    write_docs(work.scratch / "docs", suite, checks, results, subject)
    report = work.scratch / "validation.json"
    report.write_text(_report(suite.name, engine, checks), encoding="utf-8")
    work.put(work.scratch / "docs", "docs")
    work.put(report, "validation.json")
    gate = verdict(subject, suite.name, checks, rows=engine is not None, on=bool(work.spec["gate"]))
    print(f"{subject}: {gate.observed}", flush=True)
    failed = [check for check in checks if not check.passed]
    return Done(
        digest=keys.digest([check.model_dump(mode="json") for check in checks]),
        outputs=["docs", "validation.json"],
        state="ran" if gate.passed else "refused",
        gates=[gate],
        summary={
            "expectations": len(suite.expectations),
            "failed": [check.title for check in failed if check.severity == "critical"],
            "warnings": [check.title for check in failed if check.severity != "critical"],
            "engine": engine,
        },
    )


def _report(suite: str, engine: Engine | None, checks: list[Check]) -> str:
    value = {
        "suite": suite,
        "engine": engine,
        "skipped": "no rows" if engine is None else None,
        "checks": [check.model_dump(mode="json") for check in checks],
    }
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)

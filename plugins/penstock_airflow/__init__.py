"""The thin Airflow side: `to_dag(pipeline)` turns a spec into its DAG."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.loader import reading_spec

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from penstock import Pipeline

__all__ = ["to_dag"]


def to_dag(pipeline: Pipeline) -> DAG | None:
    """The pipeline's DAG, for a `pipeline.py`. None where the file is read only for its spec (no Airflow then)."""
    if reading_spec():
        return None
    from penstock_airflow.dag import build

    return build(pipeline)

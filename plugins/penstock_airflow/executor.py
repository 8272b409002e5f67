"""Airflow's LocalExecutor, whose workers have imported what tasks need before there is one."""

from __future__ import annotations

from contextlib import suppress

import fsspec
from airflow.executors.local_executor import LocalExecutor

from penstock import settings
from penstock.errors import PenstockError


class WarmLocalExecutor(LocalExecutor):
    """A task is a fork of its worker, so that it begins its work at once.

    From a worker that has imported nothing each task imports Airflow's SDK, the spec, the operator and the store's file
    system anew, which takes longer than the work of many stages.
    """

    def start(self) -> None:
        """Start the workers, which are forks of this process."""
        # What is amiss is said where it is needed: in the DAG's own import error, and by its tasks.
        with suppress(ImportError, ValueError, PenstockError):
            from penstock_airflow import dag

            dag.operator()
            fsspec.get_filesystem_class(fsspec.utils.get_protocol(settings.load().store))
        super().start()

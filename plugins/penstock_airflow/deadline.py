"""Deadline alerts: where the spec sets one, a run that takes too long is said in the log at warning level."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from penstock.spec.pipeline import Pipeline

log = logging.getLogger(__name__)


def deadline_alert(pipeline: Pipeline) -> DeadlineAlert | None:
    """An alert when a run is not done so long after it was queued; None where the spec sets no deadline."""
    if pipeline.deadline is None:
        return None
    epoch = datetime(2000, 1, 1, tzinfo=UTC)
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=pipeline.deadline.after(epoch) - epoch,
        callback=SyncCallback(missed, {"pipeline": pipeline.name, "owner": pipeline.owner}),
    )


def missed(pipeline: str, owner: str, **context: Any) -> None:
    """Say that a run missed its deadline."""
    log.warning("pipeline %s missed its deadline; owner: %s", pipeline, owner)

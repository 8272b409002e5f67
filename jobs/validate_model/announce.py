"""Says the verdict where people look: the report in the version's MLflow run, tags on the run and the version."""

from __future__ import annotations

from pathlib import Path

from jobs.common import tracking
from jobs.common.job import Work
from jobs.validate_model.judgement import Judgement
from penstock.registry import REFUSED_BECAUSE, VERDICT, VERDICT_PATH, Registry

#: MLflow's own limit is 8000 characters; a reason of more than a page is no reason.
_REASON = 2000


def verdict(work: Work, judgement: Judgement, report: Path) -> None:
    """Log the report and tag the verdict; said again it changes nothing."""
    tags = {VERDICT: judgement.verdict, VERDICT_PATH: work.folder}
    if not judgement.promote:
        tags[REFUSED_BECAUSE] = judgement.reason[:_REASON]
    with tracking.told(work.settings):
        client, _ = tracking.connect(work.settings, judgement.pipeline, work.scratch)
        run_id, name, version = judgement.candidate.run_id, judgement.pipeline, judgement.candidate.version
        client.log_artifact(run_id, str(report))
        tracking.tag_run(client, run_id, tags)
        registry = Registry(work.settings.mlflow_uri)
        registry.tag(name, version, tags)
        if judgement.promote:
            registry.drop_tag(name, version, REFUSED_BECAUSE)

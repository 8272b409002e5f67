"""validate_model: judges a registered version, writes its report and says the verdict where people look."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import ExitStack

from jobs.common.job import Done, Work
from penstock import keys


def run(work: Work) -> Done:
    """Judge the candidate by gates 2 to 6; a refused one is a result like any other.

    Raises:
        StoreError: the store has no result of an input any more.
        PenstockError: MLflow cannot be reached, or the runtime that the package is for is not there.
    """
    from jobs.validate_model import announce
    from jobs.validate_model.judge import judge
    from jobs.validate_model.report.page import write

    report = work.scratch / "report.html"
    with ExitStack() as runtimes:
        judgement = judge(work, runtimes)
        for gate in judgement.gates:
            state = "off" if gate.off else "passed" if gate.passed else "refused"
            print(
                f"gate {gate.name}: {state}. {gate.observed}; required: {gate.required}; {gate.why}",
                flush=True,
            )
        write(report, judgement)
    work.put(report, "report.html")
    announce.verdict(work, judgement, report)
    print(
        f"verdict on {judgement.pipeline} version {judgement.candidate.version}: {judgement.verdict}",
        flush=True,
    )
    return Done(
        # What was measured on this machine (fit) is no content: the same model judged again is the same verdict.
        digest=keys.digest([gate.model_dump() for gate in judgement.gates if gate.name != "fit"]),
        outputs=["report.html"],
        summary={
            "verdict": judgement.verdict,
            "version": judgement.candidate.version,
            "champion": judgement.rival.version if judgement.rival else None,
            "metrics": _known(judgement.metrics),
            "champion_metrics": _known(judgement.champion_metrics) if judgement.champion_metrics else None,
            "reason": judgement.reason,
        },
        gates=list(judgement.gates),
        state="ran" if judgement.promote else "refused",
    )


def _known(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no NaN: a metric that cannot be told is null."""
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}

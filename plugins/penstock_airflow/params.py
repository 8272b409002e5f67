"""The trigger form: typed parameters with help."""

from __future__ import annotations

from airflow.sdk import Param

from penstock.spec.pipeline import Pipeline
from penstock.stages import CHAIN


def params(pipeline: Pipeline) -> dict[str, Param]:
    """What a person may set when they trigger a run; every field may be left empty."""
    search = pipeline.search
    trials = (
        "Leave it empty: the search is a grid, which tries every combination."
        if search.method == "grid"
        else f"Number of parameter sets to try. Empty: {search.trials}."
    )
    until = f" to {pipeline.end:%Y-%m-%d}" if pipeline.end else ""
    return {
        "date": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Date",
            description=f"A day within the data interval to run for, from {pipeline.start:%Y-%m-%d}{until}. "
            "Empty: the run's own interval, or the newest complete one.",
        ),
        "since": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Train on data since",
            description=f"Start of the training window. Empty: {pipeline.window} up to the interval's end.",
        ),
        "trials": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            maximum=1000,
            title="Search size",
            description=trials,
        ),
        "force": Param(
            None,
            type=["null", "string"],
            enum=[None, *(stage.name for stage in CHAIN)],
            title="Do a stage again",
            description="Do this stage anew although nothing that it rests on has changed; what follows then "
            "runs if its output differs.",
        ),
        "note": Param(
            None,
            type=["null", "string"],
            maxLength=1000,
            title="Note",
            description="Why this run was made; kept in its record.",
        ),
    }

"""The last stage: the version goes live through `penstock.promotion`, or the old one stays."""

from __future__ import annotations

from jobs.common.job import Done, Work
from penstock.errors import PenstockError
from penstock.promotion import Promotion
from penstock.registry import Registry
from penstock.results import StageResult
from penstock.spec.function import Function
from penstock.targets import open_target


def run(work: Work) -> Done:
    """Promote the registered version that `validate_model` let through; refused where its rollout ended without it.

    Raises Stale where another version was promoted since it was judged, DeployError where the target would not
    have it, PenstockError where its verdict was a refusal.
    """
    judged, registered = _result(work, "validate_model"), _result(work, "register")
    version = str(registered.summary["version"])
    if judged.state == "refused":
        raise PenstockError(f"version {version} was refused by its gates and cannot be deployed")
    champion = judged.inputs.get("champion")
    judged_against = None if champion is None else str(work.store.result_at(champion.path).summary["version"])
    declared = Function.model_validate(work.spec["declared"])
    promotion = Promotion(
        work.settings,
        work.request.pipeline,
        work.spec["function"],
        open_target(declared, work.settings.host_state),
        Registry(work.settings.mlflow_uri),
    )
    live = promotion.promote(
        version,
        registered.path,
        judged_against=judged_against,
        rollout=declared.rollout,
        run=work.item.key,
        say=lambda line: print(line, flush=True),
    )
    gates = [live.canary] if live.canary else []
    print(f"version {live.version} answers at {live.url}", flush=True)
    if gates and not gates[0].passed:
        return Done(
            digest=work.item.key, outputs=[], summary={"version": version}, gates=gates, state="refused"
        )
    return Done(
        digest=work.item.key,
        outputs=[],
        summary={"version": live.version, "revision": live.revision, "url": live.url},
        gates=gates,
    )


def _result(work: Work, name: str) -> StageResult:
    return work.store.result_at(work.item.inputs[name].path)

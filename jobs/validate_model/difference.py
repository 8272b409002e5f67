"""How far the package's answers are from Spark's own."""

from __future__ import annotations

import numpy as np

from jobs.common.scorer import Scorer
from jobs.validate_model.gates.parity import Difference
from jobs.validate_model.scored import Array, Holdout, Scored
from penstock_function.package import PackageError


def difference(scorer: Scorer, ours: Scored, holdout: Holdout) -> Difference:
    """Compare `ours`, the package's answers on the holdout, with those that Spark left in it; and prove the samples."""
    spark = holdout.spark
    outputs = {"prediction": (ours.prediction, spark.prediction)}
    if spark.probabilities is not None:
        assert ours.probabilities is not None
        for index in range(spark.probabilities.shape[1]):
            outputs[f"probability_{index}"] = (ours.probabilities[:, index], spark.probabilities[:, index])
    if spark.raw is not None:
        assert ours.raw is not None
        outputs["rawPrediction"] = (ours.raw, spark.raw)
    largest, where = 0.0, "nothing"
    for name, (own, expected) in outputs.items():
        apart = _apart(own, expected)
        if len(apart) and apart.max() > largest:
            row = int(apart.argmax())
            largest = float(apart[row])
            where = f"{name} of row {holdout.ids[row]!r}: {own[row]!r} where Spark gave {expected[row]!r}"
    try:
        scorer.prove()
    except PackageError as error:
        fault: str | None = str(error)
    else:
        fault = None
    return Difference(len(holdout), len(scorer.package.samples.records), largest, where, fault)


def _apart(ours: Array, spark: Array) -> Array:
    """The difference of each row relative to max(1, |Spark's|); infinite where only one of them is NaN."""
    with np.errstate(invalid="ignore"):
        apart = np.abs(ours - spark) / np.maximum(1.0, np.abs(spark))
    apart[ours == spark] = 0.0  # equal infinities too
    none = np.isnan(ours), np.isnan(spark)
    apart[none[0] & none[1]] = 0.0
    apart[none[0] ^ none[1]] = np.inf
    return apart

"""The same key gives the same model, whatever the number of cores and the process's own accidents."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.spark

#: Three learners as three trials of a grid; none of them has a seed of the user's.
LEARNERS = """{
        "boosted": c.GBTClassifier(labelCol="late", maxIter=4, maxDepth=4, subsamplingRate=0.7),
        "forest": c.RandomForestClassifier(labelCol="late", numTrees=6, maxDepth=5),
        "logistic": c.LogisticRegression(labelCol="late", maxIter=8),
    }[params["learner"]]"""
ROWS = 100_000  # train and validation in several partitions: on one, every number of cores is the same


def test_one_and_four_cores_give_the_same_model(quarry: Any) -> None:
    """Each in a process of its own (with its own hash seed): trials, chosen model and answers agree to 1e-9."""
    quarry.model(LEARNERS)
    features = quarry.features(table=quarry.stones(ROWS))
    judged, answers = [], []
    for cores in (1, 4):
        search = {"learner": ["boosted", "forest", "logistic"]}
        item = quarry.item(features, search=search, salt=str(cores))
        outcome, result = quarry.project.spawn("train", "stones", item, cpu=cores, memory="2Gi")
        assert result is not None, outcome.message
        judged.append([trial["metric"] for trial in quarry.json(result, "trials.json")])
        answers.append(np.array(quarry.holdout(result)["_probability_1"]))
    assert judged[1] == pytest.approx(judged[0], abs=1e-9)
    assert np.abs(answers[1] - answers[0]).max() < 1e-9

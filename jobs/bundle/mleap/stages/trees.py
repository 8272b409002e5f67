"""Decision trees, random forests and gradient-boosted trees. A tree is a file: a node a line, the left side before the right."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from jobs.bundle.mleap import values
from jobs.bundle.mleap.bundle import Model
from jobs.bundle.mleap.frame import Frame
from jobs.bundle.mleap.stages import predictor
from jobs.bundle.mleap.values import Value
from jobs.bundle.saved import Stage
from jobs.bundle.stages import forest
from jobs.bundle.stages.forest import Forest


def decision_tree_regressor(stage: Stage, frame: Frame) -> None:
    """DecisionTreeRegressionModel."""
    trees = _regressors(forest.read_one(stage), _size(stage, frame))
    predictor.regressor(stage, frame, trees[0])


def random_forest_regressor(stage: Stage, frame: Frame) -> None:
    """RandomForestRegressionModel: the mean of the trees."""
    _regressor(stage, frame, "random_forest_regression")


def gbt_regressor(stage: Stage, frame: Frame) -> None:
    """GBTRegressionModel: the weighted sum of the trees."""
    _regressor(stage, frame, "gbt_regression")


def decision_tree_classifier(stage: Stage, frame: Frame) -> None:
    """DecisionTreeClassificationModel."""
    fitted = forest.read_one(stage)
    (tree,) = _classifiers(fitted, _size(stage, frame), predictor.thresholds(stage))
    predictor.classifier(stage, frame, tree, _classes(fitted))


def random_forest_classifier(stage: Stage, frame: Frame) -> None:
    """RandomForestClassificationModel: the sum of the trees' class probabilities."""
    fitted, size = forest.read(stage), _size(stage, frame)
    classes = _classes(fitted)
    attributes = {"num_classes": values.long(classes), **predictor.thresholds(stage)}
    model = _ensemble("random_forest_classifier", fitted, size, _classifiers(fitted, size), attributes)
    predictor.classifier(stage, frame, model, classes)


def gbt_classifier(stage: Stage, frame: Frame) -> None:
    """GBTClassificationModel: the weighted sum is half the log-odds of the second class."""
    fitted, size = forest.read(stage), _size(stage, frame)
    attributes = {"num_classes": values.long(2), **predictor.thresholds(stage)}
    model = _ensemble("gbt_classifier", fitted, size, _regressors(fitted, size), attributes)
    predictor.classifier(stage, frame, model, 2)


def _regressor(stage: Stage, frame: Frame, op: str) -> None:
    fitted, size = forest.read(stage), _size(stage, frame)
    predictor.regressor(stage, frame, _ensemble(op, fitted, size, _regressors(fitted, size), {}))


def _ensemble(
    op: str, fitted: Forest, size: Value, trees: Sequence[Model], attributes: dict[str, Value]
) -> Model:
    named = {f"tree{place}": tree for place, tree in enumerate(trees)}
    given = {
        "num_features": size,
        "tree_weights": values.doubles(fitted.weights.tolist()),
        "trees": values.strings(list(named)),
    }
    return Model(op, {**given, **attributes}, models=named)


def _regressors(fitted: Forest, size: Value) -> list[Model]:
    leaves = [[value] for value in fitted.prediction.tolist()]
    return [
        Model("decision_tree_regression", {"num_features": size}, {"tree.json": tree})
        for tree in _files(fitted, leaves)
    ]


def _classifiers(fitted: Forest, size: Value, thresholds: dict[str, Value] | None = None) -> list[Model]:
    attributes = {"num_features": size, "num_classes": values.long(_classes(fitted)), **(thresholds or {})}
    return [
        Model("decision_tree_classifier", attributes, {"tree.json": tree})
        for tree in _files(fitted, fitted.stats)
    ]


def _files(fitted: Forest, leaves: Sequence[Sequence[float]]) -> Iterator[bytes]:
    """The file of each tree; `leaves` has the values of every node, of which a leaf's are written."""
    roots = [int(node) for node in (fitted.tree[1:] != fitted.tree[:-1]).nonzero()[0] + 1]
    for root in [0, *roots]:
        lines, waiting = [], [root]
        while waiting:
            node = waiting.pop()
            if fitted.leaf[node]:
                lines.append({"type": "leaf", "values": list(leaves[node])})
            else:
                lines.append({"type": "internal", "split": _split(fitted, node)})
                waiting += [int(fitted.right[node]), int(fitted.left[node])]
        yield "".join(f"{json.dumps(line, allow_nan=False)}\n" for line in lines).encode()


def _split(fitted: Forest, node: int) -> dict[str, Any]:
    feature, left, categories = int(fitted.feature[node]), fitted.splits[node], int(fitted.categories[node])
    if categories < 0:
        return {"type": "continuous", "featureIndex": feature, "threshold": left[0]}
    tested, is_right = forest.tested_categories(left, categories)
    return {
        "type": "categorical",
        "featureIndex": feature,
        "isLeft": not is_right,
        "numCategories": categories,
        "categories": tested,
    }


def _classes(fitted: Forest) -> int:
    return int(fitted.leaf_stats().shape[1])


def _size(stage: Stage, frame: Frame) -> Value:
    return values.long(predictor.features(stage, frame).size)

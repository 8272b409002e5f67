"""What classifiers and regressors share: the columns that they read and make, and how classes are weighed."""

from __future__ import annotations

from jobs.bundle.errors import UnsupportedStage
from jobs.bundle.mleap import values
from jobs.bundle.mleap.bundle import Model
from jobs.bundle.mleap.frame import Frame, Number, Scores, Vector
from jobs.bundle.mleap.values import Value
from jobs.bundle.saved import Stage, numbers


def features(stage: Stage, frame: Frame) -> Vector:
    """The column that the stage predicts from."""
    return frame.vector(stage.params["featuresCol"], stage.name)


def thresholds(stage: Stage) -> dict[str, Value]:
    """The attribute by which a class is chosen whose probability is the greatest share of its threshold; none by default.

    Raises UnsupportedStage for a threshold of 0: MLeap chooses that class even where its probability is 0.
    """
    if stage.params.get("thresholds") is None:
        return {}
    given = numbers(stage.params["thresholds"])
    if 0.0 in given:
        raise UnsupportedStage(
            f"{stage.name} has a threshold of 0, which MLeap takes otherwise than Spark: {given}",
            next_step="give it a small threshold instead, or let the function be of the kind onnx",
        )
    return {"thresholds": values.doubles(given)}


def classifier(stage: Stage, frame: Frame, model: Model, classes: int) -> None:
    """Add a classifier's columns and make it the pipeline's answer."""
    # With a column for the raw scores MLeap works on a copy of them: without, it writes into the leaves of a tree.
    ports = ("raw_prediction", "probability", "prediction")
    made = frame.bundle.add(model, {"features": features(stage, frame).name}, {port: port for port in ports})
    frame.scores = Scores(made["prediction"], made["probability"], classes)
    _name(frame, stage.params["predictionCol"], Number(made["prediction"], "double", "never", classes))
    _name(frame, stage.params["rawPredictionCol"], Vector(made["raw_prediction"], classes, "never"))
    _name(frame, stage.params["probabilityCol"], Vector(made["probability"], classes, "never"))


def regressor(stage: Stage, frame: Frame, model: Model) -> None:
    """Add a regressor's column and make it the pipeline's answer."""
    made = frame.bundle.add(model, {"features": features(stage, frame).name}, {"prediction": "prediction"})
    frame.scores = Scores(made["prediction"], None, None)
    _name(frame, stage.params["predictionCol"], Number(made["prediction"], "double", "never"))


def _name(frame: Frame, name: str, column: Number | Vector) -> None:
    if name:  # Spark leaves out a column whose name is empty
        frame.columns[name] = column

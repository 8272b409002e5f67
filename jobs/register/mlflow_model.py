"""Writes the MLflow model: one folder with three flavors, python_function, onnx and spark.

`mlflow.pyfunc.load_model(uri).predict(df)` works for a client with none of our code: the small loader that it needs
(client/onnx_table_model.py) travels inside. `mlflow.spark.load_model(uri)` gives the very Spark model that was
trained; its flavor is written here by hand, as MLflow's own writer wants a live JVM for it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities import LoggedModel
    from mlflow.models import ModelSignature
    from onnx import ModelProto

_LOADER = Path(__file__).parent / "client" / "onnx_table_model.py"
#: What a client must have installed; the spark flavor needs pyspark besides, but only who asks for it.
_REQUIREMENTS = ("mlflow", "numpy", "onnx", "onnxruntime", "pandas")
_EXAMPLES = 5


@dataclass(frozen=True)
class Servable:
    """What an MLflow model is made of: the converted graph, its interface, and where Spark's own lies."""

    graph: ModelProto
    spark_model: Path
    inputs: Sequence[Mapping[str, str]]
    classes: Sequence[Any] | None
    examples: Sequence[Mapping[str, Any]]
    metadata: Mapping[str, Any]


def write(folder: Path, servable: Servable, logged: LoggedModel) -> None:
    """Write the model of `logged` (its identity in MLflow) into the new folder `folder`."""
    import mlflow.onnx
    from mlflow.models import Model

    model = Model(
        artifact_path=logged.artifact_location,
        model_uuid=logged.model_id,
        model_id=logged.model_id,
        run_id=logged.source_run_id,
    )
    mlflow.onnx.save_model(
        servable.graph,
        str(folder),
        mlflow_model=model,
        signature=signature(servable.inputs, servable.classes, outputs(servable.graph)),
        input_example=example(servable.inputs, servable.examples),
        pip_requirements=[f"{name}=={version(name)}" for name in _REQUIREMENTS],
        code_paths=[str(_LOADER)],
        onnx_execution_providers=["CPUExecutionProvider"],
        onnx_session_options={"intra_op_num_threads": 1},
        metadata=dict(servable.metadata),
        save_as_external_data=False,
    )
    columns = {"inputs": [dict(entry) for entry in servable.inputs], "classes": servable.classes}
    (folder / "columns.json").write_text(json.dumps(columns, indent=1, ensure_ascii=False), encoding="utf-8")
    shutil.copytree(servable.spark_model, folder / "sparkml")
    model.flavors["python_function"]["loader_module"] = _LOADER.stem
    model.add_flavor(
        "spark",
        pyspark_version=version("pyspark"),
        model_data="sparkml",
        code=None,
        model_class="pyspark.ml.pipeline.PipelineModel",
    )
    model.model_size_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    model.save(str(folder / "MLmodel"))


def outputs(graph: ModelProto) -> list[str]:
    """The names of a graph's outputs."""
    return [output.name for output in graph.graph.output]


def signature(
    inputs: Sequence[Mapping[str, str]], classes: Sequence[Any] | None, given: Sequence[str]
) -> ModelSignature:
    """The model's signature, such that a natural DataFrame is right; `given` names the graph's outputs.

    Numbers are declared `any`. MLflow checks a column by its dtype, and that of one and the same column follows the
    values: int64 without nulls, float64 with one. MLflow refuses the first where a double is declared and the
    second where a long is. The loader checks and converts them instead; `metadata.inputs` has the exact types.
    """
    from mlflow.models import ModelSignature
    from mlflow.types.schema import AnyType, ColSpec, Schema, TensorSpec

    number = AnyType()  # type: ignore[no-untyped-call]
    columns: list[ColSpec | TensorSpec] = [
        ColSpec(entry["type"] if entry["type"] in ("string", "boolean") else number, entry["name"])
        for entry in inputs
    ]
    if classes is None:
        answers: list[ColSpec | TensorSpec] = [ColSpec("double", "prediction")]
    else:
        kind = "string" if isinstance(classes[0], str) else "long"
        scores = [f"probability_{name}" for name in classes] if "probability_0" in given else []
        scores += ["rawPrediction"] if "rawPrediction" in given else []
        answers = [ColSpec(kind, "prediction"), *(ColSpec("double", name) for name in scores)]
    return ModelSignature(inputs=Schema(columns), outputs=Schema(answers))


def example(inputs: Sequence[Mapping[str, str]], records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The first records as a DataFrame, its columns in order."""
    import pandas as pd

    return pd.DataFrame(records[:_EXAMPLES], columns=[entry["name"] for entry in inputs])

"""Reading what Spark saved."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from pyspark.ml import PipelineModel
from pyspark.ml.feature import Bucketizer, StringIndexerModel, VectorAssembler

from jobs.bundle import saved
from jobs.bundle.errors import BundleError


@pytest.mark.spark
def test_nested_pipelines_are_flattened_in_order(spark, tmp_path):
    """Pipelines within pipelines give one list; with ten or more stages Spark pads the folders' numbers."""
    inner = PipelineModel([VectorAssembler(inputCols=["x"], outputCol=f"v{n}") for n in range(12)])
    indexer = StringIndexerModel.from_labels(["a", "b"], "s", "si", "keep")
    PipelineModel([indexer, PipelineModel([inner])]).write().save(str(tmp_path / "model"))
    stages = saved.read(tmp_path / "model")
    assert [stage.name for stage in stages] == ["StringIndexerModel"] + ["VectorAssembler"] * 12
    assert [stage.params["outputCol"] for stage in stages[1:]] == [f"v{n}" for n in range(12)]
    assert stages[0].params["stringOrderType"] == "frequencyDesc"  # a default
    assert stages[0].params["handleInvalid"] == "keep"  # set over the default
    assert stages[0].row() == {"labelsArray": [["a", "b"]]}


@pytest.mark.spark
def test_infinite_splits(spark, tmp_path):
    """Spark writes infinities as text."""
    splits = [-float("inf"), 0.0, float("inf")]
    bucketizer = Bucketizer(inputCol="x", outputCol="b", splits=splits)
    bucketizer.write().save(str(tmp_path / "stage"))
    (stage,) = saved.read(tmp_path / "stage")
    assert saved.numbers(stage.params["splits"]) == splits


@pytest.mark.spark
def test_a_broken_model_is_named(spark, tmp_path):
    """A missing stage, missing data and truncated data are told apart, each with its path."""
    indexer = StringIndexerModel.from_labels(["a", "b"], "s", "si", "keep")
    PipelineModel([indexer]).write().save(str(tmp_path / "model"))
    (stage,) = saved.read(tmp_path / "model")
    (file,) = (stage.path / "data").glob("*.parquet")
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(BundleError, match="cannot be read"):
        stage.row()
    file.unlink()
    with pytest.raises(BundleError, match="holds no Parquet file"):
        stage.row()
    shutil.rmtree(stage.path)
    with pytest.raises(BundleError, match=f"no folder for stage 0, {stage.uid}"):
        saved.read(tmp_path / "model")


def test_another_folder_is_no_model(tmp_path):
    """A folder that Spark did not write is refused."""
    with pytest.raises(BundleError, match="is no saved Spark model"):
        saved.read(tmp_path)


def test_vectors():
    """Dense and sparse vectors as Spark stores them."""
    dense = {"type": 1, "size": None, "indices": None, "values": [1.0, 2.0]}
    sparse = {"type": 0, "size": 4, "indices": [1, 3], "values": [5.0, 6.0]}
    np.testing.assert_array_equal(saved.vector(dense), [1.0, 2.0])
    np.testing.assert_array_equal(saved.vector(sparse), [0.0, 5.0, 0.0, 6.0])

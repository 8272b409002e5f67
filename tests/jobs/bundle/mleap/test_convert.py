"""A Bundle.ML zip as it is written: what is in it, and what is refused. That MLeap answers as Spark does by it is proved in
tests/images/function_mleap."""

from __future__ import annotations

import io
import json
import math
import zipfile

import pytest
from pyspark.ml import PipelineModel
from pyspark.ml.classification import LogisticRegression, RandomForestClassifier
from pyspark.ml.feature import (
    Bucketizer,
    Imputer,
    OneHotEncoder,
    SQLTransformer,
    StringIndexer,
    StringIndexerModel,
    VectorAssembler,
)

from jobs.bundle.errors import BundleError, UnsupportedStage
from jobs.bundle.field import Field
from jobs.bundle.mleap.convert import to_mleap

pytestmark = pytest.mark.spark

FIELDS = [Field("s", "string"), Field("x", "double"), Field("n", "int")]
ROWS = [("a", 1.0, 1, 0), ("b", 2.0, 0, 1), ("a", 3.0, 2, 0), ("b", 0.5, 1, 1)]
LABELLED = [*FIELDS, Field("label", "int")]


def indexer(name, output, invalid="keep"):
    return StringIndexerModel.from_labels(["a", "b"], name, output, invalid)


def assembler(inputs, invalid="error"):
    return VectorAssembler(inputCols=inputs, outputCol="features", handleInvalid=invalid)


@pytest.fixture
def bundle(spark, tmp_path):
    """The zip of fitted stages."""

    def convert(*stages, task="regression", classes=None):
        folder = tmp_path / f"model{len(list(tmp_path.iterdir()))}"
        PipelineModel(list(stages)).write().save(str(folder))
        return to_mleap(folder, FIELDS, task, classes)

    return convert


def files(data):
    """The JSON files of a bundle by their path."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {
            name: json.loads(archive.read(name)) for name in archive.namelist() if "tree.json" not in name
        }


def test_a_node_names_its_columns(bundle, probe):
    """A node reads the function's inputs by their own names, and what nodes make by a name of its own; the root has the answer's."""
    found = files(bundle(indexer("s", "i"), assembler(["i", "x"]), probe(2)))
    assert found["bundle.json"]["format"] == "json"
    nodes = found["root/model.json"]["attributes"]["nodes"]["string"]
    assert nodes == ["0_string_indexer", "1_vector_assembler", "2_linear_regression"]
    assert found["root/0_string_indexer.node/node.json"]["shape"] == {
        "inputs": [{"port": "input", "name": "s"}],
        "outputs": [{"port": "output", "name": "·0·i"}],
    }
    assert found["root/1_vector_assembler.node/node.json"]["shape"]["inputs"] == [
        {"port": "input0", "name": "·0·i"},
        {"port": "input1", "name": "x"},
    ]
    assert found["root/node.json"]["shape"]["outputs"] == [{"port": "prediction", "name": "·2·prediction"}]


def test_the_same_model_gives_the_same_bytes(bundle, probe):
    """Nothing of when or where it was made is in it."""
    stages = indexer("s", "i"), assembler(["i", "x"]), probe(2)
    assert bundle(*stages) == bundle(*stages)


def test_an_input_that_must_not_be_null_says_so(bundle, probe):
    """To an assembler that keeps null an input is nullable, to one that refuses it not."""
    found = files(bundle(assembler(["x", "n"], "keep"), probe(2)))
    assert _nullable(found) == [True, True]
    found = files(bundle(assembler(["x", "n"], "error"), probe(2)))
    assert _nullable(found) == [False, False]


def _nullable(found):
    shapes = found["root/0_vector_assembler.node/model.json"]["attributes"]["input_shapes"]["data_shape"]
    return [shape["isNullable"] for shape in shapes]


def test_an_imputer_takes_null(bundle, table, probe):
    """Its missing value is NaN, which JSON has not: instead it replaces the surrogate by itself."""
    imputer = Imputer(inputCols=["n"], outputCols=["m"]).fit(table(LABELLED, [*ROWS, ("a", 1.0, 9, 0)]))
    found = files(bundle(imputer, assembler(["m"]), probe(1)))
    attributes = found["root/0_imputer.node/model.json"]["attributes"]
    assert attributes["nullable_input"] == {"boolean": True}
    assert (
        attributes["surrogate_value"] == attributes["missing_value"] == {"double": 2.0}
    )  # of 2.6, in a whole column


def test_infinite_splits_are_null(bundle, probe):
    """As JSON has no infinity, and MLeap reads null as NaN and that as the end without a bound."""
    bucketizer = Bucketizer(inputCol="n", outputCol="b", splits=[-math.inf, 0.0, math.inf])
    found = files(bundle(bucketizer, assembler(["b"]), probe(1)))
    splits = found["root/0_bucketizer.node/model.json"]["attributes"]["splits"]
    assert splits == {"type": "list", "double": [None, 0.0, None]}


def test_stages_without_an_op_are_named(bundle, probe):
    """All of them, before anything is converted."""
    statement = SQLTransformer(statement="SELECT *, x + 1 AS y FROM __THIS__")
    with pytest.raises(UnsupportedStage, match=r"function of the kind mleap: .*SQLTransformer"):
        bundle(statement, assembler(["y"]), probe(1))


def test_options_without_a_form_are_named(bundle, table, probe):
    """What MLeap would answer otherwise than Spark is refused, by stage and column."""
    hot = OneHotEncoder(inputCols=["x"], outputCols=["v"]).fit(table(LABELLED, [("a", 1.0, 1, 0)]))
    buckets = Bucketizer(inputCol="x", outputCol="b", splits=[0.0, 1.0, 9.0])
    again = StringIndexer(inputCol="b", outputCol="i").fit(buckets.transform(table(LABELLED, ROWS)))
    for stages, said in (
        ([hot, assembler(["v"]), probe(1)], "OneHotEncoderModel on the column 'x'"),
        ([buckets, assembler(["b"], "keep"), probe(1)], "VectorAssembler on the column 'b'"),
        ([buckets, again, assembler(["i"]), probe(1)], "StringIndexerModel on the column 'b'"),
        ([assembler(["x", "x"]), probe(2)], "VectorAssembler on the column 'x'"),
    ):
        with pytest.raises(UnsupportedStage, match=said):
            bundle(*stages)


def test_a_threshold_of_nothing_is_refused(bundle, table):
    """Spark never chooses a class of probability and threshold 0; MLeap always would."""
    data = assembler(["x", "n"]).transform(table(LABELLED, ROWS))
    forest = RandomForestClassifier(numTrees=2).setThresholds([0.0, 1.0]).fit(data)
    with pytest.raises(UnsupportedStage, match="threshold of 0"):
        bundle(assembler(["x", "n"]), forest, task="binary", classes=2)


def test_what_does_not_fit_is_refused(bundle, table, probe):
    """A column that is not there, text where numbers are, and a model for another task."""
    model = LogisticRegression(maxIter=1).fit(assembler(["x", "n"]).transform(table(LABELLED, ROWS)))
    with pytest.raises(BundleError, match="reads the column 'y', which is not there"):
        bundle(assembler(["y"]), probe(1))
    with pytest.raises(
        BundleError, match="reads the column 's' as a number or vector, but it is a text column"
    ):
        bundle(assembler(["s"]), probe(1))
    with pytest.raises(BundleError, match="is a classifier of 2 classes, but the task is regression"):
        bundle(assembler(["x", "n"]), model)

"""Bulk scoring: the model's own answers beside every row, in one whole file; what cannot be scored is named."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from jobs.predict.predict import score
from penstock.errors import DataError
from penstock.results import Input
from penstock.store import Store
from penstock.work import Item
from tests.jobs.frames import of_pandas

if TYPE_CHECKING:
    from pyspark.ml import PipelineModel
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

INPUTS = [{"name": "shop", "type": "string"}, {"name": "amount", "type": "double"}]


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """60 orders: the north pays, the south does not, and amounts speak for it too."""
    shops = ["north", "south"] * 30
    amounts = [float(n % 7 + (5 if shop == "north" else 0)) for n, shop in enumerate(shops)]
    paid = [float(amount + 3 * (shop == "north") > 6) for amount, shop in zip(amounts, shops, strict=True)]
    return pd.DataFrame({"id": [f"O{n}" for n in range(60)], "shop": shops, "amount": amounts, "paid": paid})


@pytest.fixture(scope="module")
def fit(spark: SparkSession, rows: pd.DataFrame) -> Any:
    """Fits a pipeline whose categories are handled as told."""
    from pyspark.ml import Pipeline
    from pyspark.ml.classification import LogisticRegression
    from pyspark.ml.feature import StringIndexer, VectorAssembler

    def fitted(invalid: str, last: Any = None) -> PipelineModel:
        stages = [
            StringIndexer(inputCol="shop", outputCol="shop_index", handleInvalid=invalid),
            VectorAssembler(inputCols=["shop_index", "amount"], outputCol="features", handleInvalid=invalid),
            last or LogisticRegression(labelCol="paid", regParam=0.1),
        ]
        return Pipeline(stages=stages).fit(of_pandas(spark, rows))

    return fitted


@pytest.fixture
def predict(spark: SparkSession, fit: Any, tmp_path: Path) -> Any:
    """Scores a file with a model of classes 'no' and 'yes' that handles the unseen as told."""

    def run(data: Path, output: Path, invalid: str = "keep", last: Any = None) -> dict[str, int]:
        store = Store(f"file://{tmp_path}/store")
        model = fit(invalid, last)
        model.write().overwrite().save(store.uri_of("p/train/k/a/model"))
        spec = {
            "data": str(data), "output": str(output), "version": "7", "inputs": INPUTS, "classes": ["no", "yes"],
        }  # fmt: skip
        item = Item(spec=spec, inputs={"train": Input(path="p/train/k/a", digest="d")}, key="")
        return score(spark, Path(store.path("p/train/k/a/model")), item, tmp_path / "parts")

    return run


def test_a_csv_gets_its_answers_beside_each_row(
    predict: Any, fit: Any, spark: SparkSession, rows: pd.DataFrame, tmp_path: Path
) -> None:
    """Every row in its order with what it had, the class by its name, a probability a class and the version."""
    data, output = tmp_path / "in.csv", tmp_path / "out.csv"
    rows.to_csv(data, index=False)
    assert predict(data, output) == {"rows": 60, "refused": 0}
    answers = pd.read_csv(output, dtype={"version": str})
    assert list(answers.columns) == [
        *rows.columns,
        "prediction",
        "probability_no",
        "probability_yes",
        "version",
    ]
    assert list(answers["id"]) == list(rows["id"])
    assert set(answers["version"]) == {"7"}
    own = fit("keep").transform(of_pandas(spark, rows)).select("prediction", "probability").collect()
    assert list(answers["prediction"]) == [["no", "yes"][int(row["prediction"])] for row in own]
    assert list(answers["probability_yes"]) == pytest.approx(
        [row["probability"][1] for row in own], abs=1e-12
    )


def test_parquet_in_parquet_out(predict: Any, rows: pd.DataFrame, tmp_path: Path) -> None:
    """The same rows as Parquet give one Parquet file with the types kept."""
    data, output = tmp_path / "in.parquet", tmp_path / "out.parquet"
    rows.to_parquet(data)
    assert predict(data, output) == {"rows": 60, "refused": 0}
    answers = pd.read_parquet(output)
    assert output.is_file()
    assert answers["amount"].tolist() == rows["amount"].tolist()
    assert set(answers["prediction"]) == {"no", "yes"}


def test_a_classifier_without_probabilities_answers_classes(
    predict: Any, spark: SparkSession, rows: pd.DataFrame, tmp_path: Path
) -> None:
    """The class alone; none where Spark's OneVsRest has no number to choose one by."""
    from pyspark.ml.classification import LinearSVC, OneVsRest

    data, output = tmp_path / "in.parquet", tmp_path / "out.parquet"
    rows.assign(amount=[None, *rows["amount"][1:]]).to_parquet(data)
    last = OneVsRest(labelCol="paid", classifier=LinearSVC(maxIter=5))
    assert predict(data, output, last=last) == {"rows": 60, "refused": 0}
    answers = pd.read_parquet(output)
    assert list(answers.columns) == [*rows.columns, "prediction", "version"]
    assert answers["prediction"][0] is None
    assert set(answers["prediction"][1:]) == {"no", "yes"}


def test_text_with_quotes_commas_and_line_breaks_survives(predict: Any, tmp_path: Path) -> None:
    """What a column that the model does not read holds comes out as it went in; nothing and NA are null."""
    data, output = tmp_path / "in.csv", tmp_path / "out.csv"
    table = pd.DataFrame(
        {"shop": ["north", None], "amount": [1.5, 2.0], "note": ['said "yes", then\nleft', "a\\b"]}
    )
    table.to_csv(data, index=False)
    data.write_text(data.read_text().replace(",2.0,", ",NA,"))
    assert predict(data, output)["rows"] == 2
    answers = pd.read_csv(output)
    assert list(answers["note"]) == list(table["note"])
    assert answers["amount"].isna().tolist() == [False, True]


def test_missing_columns_are_named(predict: Any, tmp_path: Path) -> None:
    """All that the model needs and the file lacks, with what the file has; nothing is written."""
    (tmp_path / "in.csv").write_text("shops,id\nnorth,1\n")
    with pytest.raises(DataError, match="lacks shop, amount; its columns: shops, id"):
        predict(tmp_path / "in.csv", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_a_value_of_another_type_is_named(predict: Any, tmp_path: Path) -> None:
    """Text where a number is due: column, type and value."""
    (tmp_path / "in.csv").write_text("shop,amount\nnorth,1.0\nsouth,many\n")
    with pytest.raises(DataError, match=r"amount \(expected double\): many"):
        predict(tmp_path / "in.csv", tmp_path / "out.csv")


def test_a_column_with_the_name_of_an_answer_is_refused(predict: Any, tmp_path: Path) -> None:
    """A file that was scored before would get two predictions."""
    (tmp_path / "in.csv").write_text("shop,amount,prediction\nnorth,1.0,yes\n")
    with pytest.raises(DataError, match="names of answers: prediction"):
        predict(tmp_path / "in.csv", tmp_path / "out.csv")


def test_a_file_that_is_not_there_is_named(predict: Any, tmp_path: Path) -> None:
    """Spark's own words without its stack."""
    with pytest.raises(DataError, match=r"none\.csv cannot be read"):
        predict(tmp_path / "none.csv", tmp_path / "out.csv")


def test_a_row_that_the_model_refuses_ends_it(predict: Any, tmp_path: Path) -> None:
    """handleInvalid='error' on an unseen category: named, with the value; what was at OUT before stays."""
    (tmp_path / "in.csv").write_text("shop,amount\nnorth,1.0\nwest,1.0\n")
    (tmp_path / "out.csv").write_text("before")
    with pytest.raises(DataError, match=r"refuses a row of .*west"):
        predict(tmp_path / "in.csv", tmp_path / "out.csv", "error")
    assert (tmp_path / "out.csv").read_text() == "before"
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_rows_that_the_model_drops_are_counted(predict: Any, tmp_path: Path) -> None:
    """handleInvalid='skip' leaves rows out, and the answer says how many."""
    (tmp_path / "in.csv").write_text("shop,amount\nnorth,1.0\nwest,1.0\nsouth,2.0\n")
    assert predict(tmp_path / "in.csv", tmp_path / "out.csv", "skip") == {"rows": 2, "refused": 1}


def test_no_rows_give_a_file_without_rows(predict: Any, tmp_path: Path) -> None:
    """A header alone is a table too."""
    (tmp_path / "in.csv").write_text("shop,amount\n")
    assert predict(tmp_path / "in.csv", tmp_path / "out.csv") == {"rows": 0, "refused": 0}
    assert (
        tmp_path / "out.csv"
    ).read_text() == "shop,amount,prediction,probability_no,probability_yes,version\n"

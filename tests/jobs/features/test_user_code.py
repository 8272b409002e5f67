"""The user's own code: its helpers and UDFs work, and its errors are told in its own lines."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.spark


def test_a_udf_of_a_helper_module_works(shop: Any) -> None:
    """A Python UDF that uses a function and a constant of a file beside model.py runs in Spark's workers."""
    model = """
from pyspark.sql import functions as F
from prices import rounded

@F.udf("double")
def cheap(price):
    from prices import OFFSET
    return None if price is None else rounded(price) + OFFSET

def features(spark, sources):
    return sources["orders"].withColumn("price", cheap("price"))
"""
    outcome, result = shop.run(
        model, helpers={"prices": "OFFSET = 0.5\ndef rounded(x):\n    return float(round(x, -1))\n"}
    )
    assert outcome.state == "done", outcome.message
    assert result.summary["columns"]["price"] == "double"


def test_two_pipelines_may_have_helpers_of_the_same_name(shop: Any, project: Any) -> None:
    """A helper that was imported for another pipeline is not taken for this one's."""
    model = "import helper\ndef features(spark, sources):\n    return sources['orders'].limit(helper.ROWS)\n"
    project.model("other", model=model, helper="ROWS = 120\n")
    item = project.item(
        "features", "other", {**shop.spec}, {"orders@a": project.collected("other", "a", shop.orders())}
    )
    assert project.run("features", "other", item)[0].state == "done"
    message = shop.refused(model, helpers={"helper": "ROWS = 0\n"}, kind="data")
    assert "no rows" in message


def test_an_exception_names_the_users_line(shop: Any) -> None:
    """What features() raises is told with its file, line and code, and none of Penstock's own frames."""
    message = shop.refused(
        "def features(spark, sources):\n    return deeper(sources)\n\ndef deeper(sources):\n    return sources['order']\n"
    )
    assert "features() of dags/shop/model.py failed: KeyError: 'order'" in message
    assert "shop/model.py:2 in features: return deeper(sources)" in message
    assert "shop/model.py:5 in deeper: return sources['order']" in message
    assert "jobs/" not in message


def test_a_column_that_spark_does_not_find_is_named(shop: Any) -> None:
    """Spark's own word for a wrong column comes with the user's line, without the JVM's stack."""
    message = shop.refused("def features(spark, sources):\n    return sources['orders'].select('prize')\n")
    assert "`prize` cannot be resolved" in message
    assert "shop/model.py:2 in features" in message
    assert "at org.apache" not in message


def test_an_error_in_a_udf_names_its_line(shop: Any) -> None:
    """A UDF fails in a worker, long after features() has returned: its line is told all the same."""
    model = """
from pyspark.sql import functions as F

@F.udf("double")
def price(value):
    return value / 0

def features(spark, sources):
    return sources["orders"].fillna(1.0).withColumn("price", price("price"))
"""
    message = shop.refused(model)
    assert "ZeroDivisionError: float division by zero" in message
    assert "shop/model.py:6 in price: return value / 0" in message


def test_a_failed_cast_is_told(shop: Any) -> None:
    """A value that Spark refuses to cast (lazily) is the user's error, with Spark's word for it."""
    model = """
from pyspark.sql import functions as F
def features(spark, sources):
    return sources["orders"].withColumn("items", F.col("city").cast("int"))
"""
    message = shop.refused(model)
    assert "CAST_INVALID_INPUT" in message
    assert "'Rome'" in message or "'Oslo'" in message or "'Graz'" in message


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            "import no_such_library\n",
            "ModuleNotFoundError: No module named 'no_such_library'\n  dags/shop/model.py:1",
        ),
        ("def features(spark, sources)\n    return 1\n", "SyntaxError: expected ':'"),
        ("x = 1\n", "has no function features()"),
    ],
)
def test_a_model_that_cannot_be_used_is_told(shop: Any, model: str, said: str) -> None:
    """A model.py that does not import, or lacks features(), fails as the user's error and says why."""
    assert said in shop.refused(model)

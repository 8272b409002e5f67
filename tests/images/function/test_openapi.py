"""The OpenAPI document is made from the model's columns, and what it shows as an example works."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from penstock_function import openapi
from penstock_function.package import Package
from penstock_function.steps import Steps

# What the schema cannot say: the model refuses categories that it was not trained on.
_FUZZ = """
[checks.positive_data_acceptance]
expected-statuses = [200, 422]
"""


def schema_of(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """A schema of the document with its references, for jsonschema."""
    return {**part, "components": document["components"]}


def test_columns_become_properties(client: Any) -> None:
    """Each column is required, typed and nullable; nothing else is allowed."""
    record = client.get("/openapi.json").json()["components"]["schemas"]["Record"]
    assert record["required"] == ["carrier", "distance", "ratio", "seats", "month", "holiday"]
    assert record["additionalProperties"] is False
    assert record["properties"]["carrier"] == {"type": ["string", "null"]}
    assert record["properties"]["seats"]["type"] == ["integer", "null"]
    assert record["properties"]["month"]["maximum"] == 2**31 - 1


@pytest.mark.parametrize("example", ["one", "many"])
def test_the_examples_work(client: Any, example: str) -> None:
    """Sending an example gives the answer that stands beside it, and both fit their schemas."""
    document = client.get("/openapi.json").json()
    post = document["paths"]["/predict"]["post"]
    request = post["requestBody"]["content"]["application/json"]
    answer = post["responses"]["200"]["content"]["application/json"]
    response = client.post("/predict", json=request["examples"][example]["value"])
    assert response.status_code == 200
    expected = answer["examples"][example]["value"]
    given = response.json()
    assert given.keys() == expected.keys()
    jsonschema.validate(request["examples"][example]["value"], schema_of(document, request["schema"]))
    jsonschema.validate(given, schema_of(document, answer["schema"]))
    jsonschema.validate(expected, schema_of(document, answer["schema"]))


@pytest.mark.parametrize(
    "change",
    [{"seats": 1.5}, {"seats": 2**53 + 1}, {"month": 2**31}, {"holiday": 1}, {"carrier": 3}, {"more": 1}],
)
def test_the_schema_refuses_what_the_function_refuses(
    client: Any, right: dict[str, Any], change: dict[str, Any]
) -> None:
    """What the function answers with 422, a client with the schema finds before it sends it."""
    document = client.get("/openapi.json").json()
    assert client.post("/predict", json={**right, **change}).status_code == 422
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(
            {**right, **change}, schema_of(document, document["components"]["schemas"]["Record"])
        )


def test_errors_fit_their_schema(client: Any) -> None:
    """A 422 is as described."""
    document = client.get("/openapi.json").json()
    error = client.post("/predict", json=[{}]).json()
    jsonschema.validate(error, schema_of(document, document["components"]["schemas"]["Error"]))


def test_answers_follow_the_task(make_package: Callable[..., Path]) -> None:
    """A regression's answer is a number, a text class an enum, and without probabilities none are described."""
    package = Package.load(make_package(task="regression"))
    regression = openapi.describe(package, Steps(package), 1, 1)
    one = regression["components"]["schemas"]["One"]["properties"]
    assert one["prediction"]["type"] == ["number", "null"]
    assert "probability" not in one
    package = Package.load(make_package(classes=["on time", "late"], output="prediction"))
    named = openapi.describe(package, Steps(package), 1, 1)
    one = named["components"]["schemas"]["One"]["properties"]
    assert one["prediction"] == {"enum": ["on time", "late", None]}
    assert "probability" not in one


_LENGTH = """
TAKES = {"word": "string", "ratio": "float"}
GIVES = {"seats": "long"}
EXAMPLES = [({"word": "four", "ratio": 0.5}, {"seats": 4})]

def run(record):
    if record["word"] is None:
        raise ValueError("no word")
    return {"seats": len(record["word"])}
"""
_KINDS = """
TAKES = {"prediction": "double", "word": "string"}
GIVES = {"kind": "string", "large": "boolean", "half": "double"}
EXAMPLES = [({"prediction": 3, "word": "x"}, {"kind": "x", "large": False, "half": 1.5})]

def run(record):
    return {"kind": record["word"], "large": record["prediction"] > 10, "half": record["prediction"] / 2}
"""


@pytest.mark.parametrize(
    "made",
    [
        {"task": "binary"},
        {"task": "regression"},
        {"task": "regression", "before": {"length": _LENGTH}, "after": {"kinds": _KINDS}},
    ],
    ids=["binary", "regression", "steps"],
)
def test_the_runtime_keeps_to_its_description(
    start: Callable[..., Any], make_package: Callable[..., Path], tmp_path: Path, made: dict[str, Any]
) -> None:
    """Over a socket, whatever fits the description is taken and whatever does not is refused, each as described.

    Never a 500, a status, type or field that it does not name, or an answer later than ten seconds.
    """
    process = start("--package", str(make_package(**made)))
    (tmp_path / "fuzz.toml").write_text(_FUZZ)
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", "fuzz.toml", "run", f"{process.url}/openapi.json",
        "--checks", "all", "--max-examples", "60", "--request-timeout", "10", "--no-color",
    ]  # fmt: skip
    # Beside the folder it runs in, it writes into the home; the environment's proxies are for the world outside.
    environment = {"HOME": str(tmp_path)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Fuzzing" in done.stdout
    code, _, err = process.end()
    assert code == 0
    assert "traceback" not in err

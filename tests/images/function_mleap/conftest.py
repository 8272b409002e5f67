"""The runtime in Java as it is deployed, which `make test-mleap` builds: a JVM of its own, and Spark's answers beside it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pyspark.ml import PipelineModel
from pyspark.ml.classification import LogisticRegression
from pyspark.sql import SparkSession

from jobs.bundle.field import Field
from jobs.bundle.mleap.convert import to_mleap
from jobs.register import package
from penstock import java, runtimes
from tests.images.function_mleap import delays
from tests.jobs.bundle.conftest import TOLERANCE, Row, answers, frame, probe, refuses, table
from tests.jobs.conftest import spark

__all__ = ["probe", "spark", "table"]

JAR = Path(__file__).parents[3] / runtimes.JAR
#: A JVM that starts sooner and is slower in the long run, which no test is.
QUICK = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData")
#: The field that the function named of a row that it refused, by the row.
Refused = dict[int, str]


class Process:
    """A runtime: its first line once it has written one, a client for it, its end."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        command = [str(java.home() / "bin" / "java"), *QUICK, "-jar", str(JAR), *arguments, "--port", "0"]
        self.popen = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        self.first: dict[str, Any] = json.loads(line) if line else {}
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.first.get('port', 0)}", timeout=60)

    def end(self) -> tuple[int, str, str]:
        """SIGTERM; the exit code and the rest of stdout and stderr."""
        self.client.close()
        self.popen.send_signal(signal.SIGTERM)
        out, err = self.popen.communicate(timeout=60)
        return self.popen.returncode, out, err


@pytest.fixture(scope="session", autouse=True)
def interpreted(spark: SparkSession) -> None:
    """Spark interprets its plans: each is for some hundred rows at most, and compiling it takes far longer than that."""
    spark.conf.set("spark.sql.codegen.wholeStage", "false")
    spark.conf.set("spark.sql.codegen.factoryMode", "NO_CODEGEN")


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    """Starts runtimes and leaves none behind."""
    with starting() as run:
        yield run


@contextmanager
def starting() -> Iterator[Callable[..., Process]]:
    """What starts runtimes, which end with the block."""
    started: list[Process] = []

    def run(*arguments: str, **environment: str) -> Process:
        started.append(Process(arguments, environment))
        return started[-1]

    yield run
    for process in started:
        process.client.close()
        if process.popen.poll() is None:
            process.popen.kill()
        process.popen.communicate(timeout=60)


def records(fields: Sequence[Field], rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows as requests have them."""
    return [dict(zip([field.name for field in fields], row, strict=True)) for row in rows]


def spark_answers(
    spark: SparkSession,
    fitted: PipelineModel,
    fields: Sequence[Field],
    rows: Sequence[Row],
    classes: int | None,
) -> list[dict[str, Any]]:
    """Spark's own answers, as a function whose classes are whole numbers gives them."""
    found = answers(fitted, frame(spark, fields, rows), classes)
    made = []
    for number in range(len(rows)):
        prediction, *probabilities = found[number]
        if classes is None:
            made.append({"prediction": prediction})
        else:
            shown = {str(place): value for place, value in enumerate(probabilities)}
            made.append({"prediction": int(prediction), "probability": shown})
    return made


@pytest.fixture(scope="session")
def make_package(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes the package of a fitted pipeline, whose samples are `rows` with Spark's answers to them."""

    def make(
        fitted: PipelineModel, fields: Sequence[Field], rows: Sequence[Row], task: str, classes: int | None
    ) -> Path:
        folder = tmp_path_factory.mktemp("package")
        fitted.write().save(str(folder / "spark"))
        samples = folder / "samples.json"
        given = {
            "records": records(fields, rows),
            "answers": spark_answers(spark, fitted, fields, rows, classes),
        }
        samples.write_text(json.dumps(given))
        manifest = package.Manifest(
            name="delays",
            version="7",
            key="0123abc",
            runtime="mleap",
            task=task,
            inputs=[{"name": field.name, "type": field.type} for field in fields],
            classes=None if classes is None else list(range(classes)),
            output="prediction" if classes is None else "probability",
            tolerance=TOLERANCE,
            environment={},
            reference={},
            log=None,
        )
        model = to_mleap(folder / "spark", fields, task, classes)
        package.write(folder / "package", manifest, model, samples)
        return folder / "package"

    return make


@pytest.fixture(scope="session")
def made(spark: SparkSession, make_package: Callable[..., Path]) -> Path:
    """The package of a small model of two classes."""
    fitted = delays.fit(spark, LogisticRegression(maxIter=5, regParam=0.1))
    return make_package(fitted, delays.FIELDS, delays.INPUTS[:2], "binary", 2)


@pytest.fixture
def parity(
    spark: SparkSession, start: Callable[..., Process], make_package: Callable[..., Path]
) -> Callable[..., Refused]:
    """Serve a fitted pipeline and prove, row by row, that it answers as Spark does; the fields of refused rows.

    The first row must be one that Spark answers. Every answered row is compared at 1e-9 relative to max(1, |x|), null
    with NaN; every refused row is given to Spark alone, which must refuse it too (`alone` of them at most).
    """

    def check(
        fitted: PipelineModel,
        fields: Sequence[Field],
        rows: Sequence[Row],
        task: str,
        classes: int | None = None,
        alone: int = 6,
    ) -> Refused:
        process = start("--package", str(make_package(fitted, fields, rows[:1], task, classes)))
        assert process.first.get("event") == "ready", process.end()
        got: dict[int, dict[str, Any]] = {}
        refused: Refused = {}
        for number, record in enumerate(records(fields, rows)):
            response = process.client.post("/predict", json=record)
            if response.status_code == 422:
                (fault,) = response.json()["faults"]
                refused[number] = fault["field"]
            else:
                assert response.status_code == 200, response.text
                got[number] = response.json()
        for number in list(refused)[:alone]:
            assert refuses(fitted, frame(spark, fields, [rows[number]]), classes), (
                rows[number],
                refused[number],
            )
        wanted = spark_answers(spark, fitted, fields, [rows[number] for number in got], classes)
        wrong = [
            (rows[number], found, expected)
            for (number, found), expected in zip(got.items(), wanted, strict=True)
            if not same(found, expected)
        ]
        assert not wrong, wrong[:5]
        return refused

    return check


def same(found: Any, expected: Any) -> bool:
    """Whether an answer holds what is expected: numbers within the tolerance, null where Spark gave NaN."""
    if isinstance(expected, dict):
        return all(same(found[name], value) for name, value in expected.items())
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, float) and expected != expected:
        return found is None
    if isinstance(expected, float):
        return found is not None and abs(found - expected) <= TOLERANCE * max(1.0, abs(expected))
    return bool(found == expected)

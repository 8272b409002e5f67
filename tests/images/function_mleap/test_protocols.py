"""The runtime's answers and refusals beside those of the runtime in Python, for one and the same model."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shutil
import time
import zipfile

import numpy as np
import pytest
from pyspark.ml import Pipeline
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import Imputer, StringIndexer, VectorAssembler

from jobs.bundle.convert import to_onnx
from jobs.bundle.field import Field
from jobs.common.scorer import scorer
from penstock.signatures import PUBLIC_KEYS, SIGNING_KEY, generate, sign
from penstock_function.package import Package
from penstock_function.scorer import Scorer
from penstock_function.service import Refusal, Service
from tests.images.function_mleap.conftest import same, starting

pytestmark = [pytest.mark.maven, pytest.mark.spark]

FIELDS = [
    Field("carrier", "string"),
    Field("distance", "double"),
    Field("ratio", "float"),
    Field("seats", "long"),
    Field("month", "int"),
    Field("holiday", "boolean"),
]
ROWS = [
    ("AA", 0.5, 0.25, 2, 3, True, 1),
    ("DL", 1.5, 0.75, 1, 4, False, 0),
    ("AA", -2.5, 0.1, 2, 5, False, 1),
    ("DL", 1.0, 0.5, 9, 1, True, 0),
    ("Zürich ☃", 2.0, 0.3, 4, 7, True, 1),
]
RIGHT = dict(zip([field.name for field in FIELDS], ROWS[0], strict=False))
#: What a client may send, right and wrong.
BODIES = [
    RIGHT,
    [RIGHT, {**RIGHT, "carrier": "DL"}],
    {"records": [RIGHT]},
    {**RIGHT, "seats": 3.0, "distance": 7, "month": 2.0},
    {**RIGHT, "carrier": "Zürich ☃", "distance": 1e-300},
    {**RIGHT, "carrier": "nobody"},
    {**RIGHT, "carrier": None},
    {**RIGHT, "distance": None},
    {**RIGHT, "seats": None},
    {**RIGHT, "ratio": None, "month": None},
    [RIGHT, {**RIGHT, "carrier": "nobody"}, {**RIGHT, "ratio": None}],
    {**RIGHT, "distance": "far"},
    {**RIGHT, "carrier": 7, "seats": 2.5, "month": 2**31, "holiday": 1, "ratio": 1e39},
    {**RIGHT, "seats": 2**53 + 1},
    {**RIGHT, "carrier": "it's", "month": "it's " + 50 * "long"},
    {**RIGHT, "carrier": ["AA"], "holiday": {"a": 1}, "distance": True},
    {"carrier": "AA"},
    {**RIGHT, "surplus": 1},
    [],
    7,
    None,
    "text",
    {"records": [RIGHT], "other": 1},
    {"records": 7},
    [RIGHT, 7, None],
    30 * [{**RIGHT, "distance": "far"}],
    100_001 * [{}],
]


@pytest.fixture(scope="module")
def fitted(spark):
    """A small binary model: an indexer that refuses the unseen, one imputed column, the others must be there."""
    schema = "carrier string, distance double, ratio float, seats long, month int, holiday boolean, label int"
    stages = [
        StringIndexer(inputCol="carrier", outputCol="carrier_index", handleInvalid="error"),
        Imputer(inputCol="distance", outputCol="distance_there"),
        VectorAssembler(
            inputCols=["carrier_index", "distance_there", "ratio", "seats", "month", "holiday"],
            outputCol="features",
        ),
        LogisticRegression(maxIter=5, regParam=0.1),
    ]
    return Pipeline(stages=stages).fit(spark.createDataFrame(ROWS, schema))


@pytest.fixture(scope="module")
def made(fitted, make_package):
    """The package of that model."""
    return make_package(fitted, FIELDS, [row[:-1] for row in ROWS[:2]], "binary", 2)


@pytest.fixture
def folder(made, tmp_path):
    """The package, which a test may change."""
    return shutil.copytree(made, tmp_path / "package")


@pytest.fixture(scope="module")
def served(made):
    """The runtime that serves it."""
    with starting() as run:
        yield run("--package", str(made))


def as_onnx(folder):
    """The package of the same model as ONNX."""
    model = to_onnx(folder.parent / "spark", FIELDS, "binary", 2).SerializeToString()
    manifest = json.loads((folder / "function.json").read_text())
    samples = (folder / "samples.json").read_bytes()
    digests = {
        "model.onnx": hashlib.sha256(model).hexdigest(),
        "samples.json": manifest["files"]["samples.json"],
    }
    files = {
        "function.json": json.dumps(
            {**manifest, "runtime": "onnx", "files": digests, "reference": None}
        ).encode(),
        "model.onnx": model,
        "samples.json": samples,
    }
    return Package.read(files.__getitem__)


def zipped(folder):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    return buffer.getvalue()


def test_both_runtimes_answer_alike(made, served):
    """Every body gets the same status, answer, sentence and faults from both."""
    python = Service()
    python.serve(as_onnx(made))
    for body in BODIES:
        try:
            status, expected = 200, python.predict(body)[0]
        except Refusal as refusal:
            status, expected = refusal.status, refusal.body()
        response = served.client.post("/predict", content=json.dumps(body))
        assert response.status_code == status, (body, response.text)
        found = response.json()
        assert found.keys() == expected.keys()
        if status == 200:
            assert same(found, expected), (body, found, expected)
        else:
            assert found == expected, body


def test_in_bulk_both_runtimes_score_alike(made):
    """As columns, in the job's way: every score is the same, and NaN where a row is refused, by more faults than are told."""
    count = 150
    columns = {
        "carrier": np.array(["AA", "DL", "nobody", None, "Zürich ☃"] * (count // 5), dtype=object),
        "distance": np.array([0.5, np.nan, 7.0] * (count // 3)),
        "ratio": np.linspace(0, 1, count, dtype=np.float32),
        "seats": np.arange(count, dtype=np.float64),
        "month": np.array([3.0] * (count - 1) + [np.nan]),
        "holiday": np.array([True, False] * (count // 2)),
    }
    with scorer(made) as java:
        found = java.score_columns(columns)
    expected = Scorer(as_onnx(made)).score_columns(columns)
    assert np.isnan(expected["prediction"]).sum() == 61
    assert sorted(found) == ["prediction", "probability_0", "probability_1"]
    for name, values in found.items():
        assert values == pytest.approx(expected[name], abs=1e-9, nan_ok=True), name
    endless = {name: values[:1] for name, values in columns.items()} | {"distance": np.array([np.inf])}
    with scorer(made) as java:
        assert np.isnan(java.score_columns(endless)["prediction"]).all()


def test_what_it_answers(served):
    """The name and version, the class and both probabilities; the caller's ids and the version come back as headers."""
    ids = {"x-request-id": "r-1", "traceparent": "00-1-2-01"}
    response = served.client.post("/predict", json=RIGHT, headers=ids)
    answer = response.json()
    assert list(answer) == ["name", "version", "prediction", "probability"]
    assert (answer["name"], answer["version"], answer["prediction"]) == ("delays", "7", 1)
    assert sum(answer["probability"].values()) == pytest.approx(1)
    assert {**ids, "x-penstock-version": "7"}.items() <= dict(response.headers).items()


def test_what_is_no_request(served):
    """JSON that is none is a 400, a path that is none a 404, another method a 405, a body too large a 413."""
    client = served.client
    response = client.post("/predict?explain=true", json=RIGHT)
    assert (response.status_code, "explain=true" in response.json()["error"]) == (422, True)
    for body, said in (
        (b"", "is empty"),
        (b"{", "is not JSON"),
        (b"[NaN]", "send null"),
        (b"{} {}", "is not JSON"),
    ):
        response = client.post("/predict", content=body)
        assert (response.status_code, said in response.json()["error"]) == (400, True), response.text
    assert client.get("/nothing").status_code == 404
    response = client.get("/predict")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert client.post("/predict", content=b" " * (8 * 2**20 + 1)).status_code == 413
    assert (
        client.post("/predict", json=[RIGHT] * 2000).status_code == 200
    )  # the connection and the server live on


def test_health_and_its_end(made, start):
    """It says when and where it is ready, on loopback only, and SIGTERM ends it well."""
    served = start("--package", str(made))
    assert (served.first["event"], served.first["version"], served.first["bind"]) == (
        "ready",
        "7",
        "127.0.0.1",
    )
    health = served.client.get("/health")
    told = {"status": "ready", "name": "delays", "version": "7", "key": "0123abc"}
    assert (health.status_code, health.json()) == (200, told)
    assert served.end() == (0, "", "")


def test_openwhisk(folder, start):
    """Not ready before /init; then it runs activations, and what is wrong with one is an `error` of a 200."""
    process = start()
    assert process.first["event"] == "waiting"
    client = process.client
    assert client.get("/health").status_code == 503
    assert client.post("/predict", json=RIGHT).status_code == 503
    assert client.post("/run", json={"value": RIGHT}).status_code == 403
    refused = client.post("/init", json={"value": {"code": "no base64", "binary": True}})
    assert (refused.status_code, "base64" in refused.json()["error"]) == (400, True)
    code = base64.b64encode(zipped(folder)).decode()
    assert client.post("/init", json={"value": {"code": code, "binary": True}}).json() == {
        "name": "delays",
        "version": "7",
    }
    assert client.post("/init", json={"value": {}}).status_code == 403
    result = client.post("/run", json={"value": {**RIGHT, "__ow_method": "post"}})
    assert (result.status_code, result.json()["prediction"]) == (200, 1)
    wrong = client.post("/run", json={"value": {**RIGHT, "ratio": None}, "activation_id": "a"})
    assert wrong.status_code == 200
    (fault,) = wrong.json()["error"]["faults"]
    assert fault["field"] == "ratio"
    late = client.post("/run", json={"value": RIGHT, "deadline": str(int(time.time() * 1000) - 1)})
    assert "deadline" in late.json()["error"]["message"]
    assert client.post("/run", json={"value": 7}).status_code == 400
    _, out, err = process.end()
    sentinel = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX"
    assert (out.count(sentinel), err.count(sentinel)) == (7, 7)  # five runs, and the two that /init refused


def refusal(process):
    """Why the process ended instead of serving."""
    code, _, err = process.end()
    assert code == 3
    return json.loads(err)["reason"]


def changed(folder, **changes):
    path = folder / "function.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_package_that_is_not_whole_is_refused(folder, start):
    """A file that is another than was packaged ends the process with 3."""
    (folder / "model.zip").write_bytes(b"something else")
    assert "model.zip is not the file that was packaged" in refusal(start("--package", str(folder)))


def test_a_package_for_the_other_runtime_is_refused(folder, start):
    """So does the other kind, and every fault of the manifest is named."""
    changed(folder, runtime="onnx", tolerance=2)
    reason = refusal(start("--package", str(folder)))
    assert "runtime is" in reason
    assert "tolerance is" in reason


def test_what_nobody_trusted_signed_is_refused(folder, start, monkeypatch, tmp_path):
    """Where public keys are set, a package must be signed by one of them, and be the one that was."""
    private, public = generate()
    trusted = {PUBLIC_KEYS: f"{generate()[1]}  # another's\n{public}"}
    assert "is not signed" in refusal(start("--package", str(folder), **trusted))
    monkeypatch.setenv(SIGNING_KEY, private)
    sign(folder)
    assert start("--package", str(folder), **trusted).first["event"] == "ready"
    file = tmp_path / "another.pub"
    file.write_text(generate()[1])
    assert "by any of the 1 keys" in refusal(start("--package", str(folder), "--key", str(file)))
    changed(folder, version="8")
    assert "it was changed" in refusal(start("--package", str(folder), **trusted))
    code, _, said = start("--package", str(folder), **{PUBLIC_KEYS: private[:-8]}).end()
    assert (code, "number 1 of the public keys is none" in said, private[:8] in said) == (2, True, False)


def test_a_model_that_does_not_prove_itself_is_refused(folder, start):
    """So does an answer to a sample that is not Spark's."""
    samples = json.loads((folder / "samples.json").read_text())
    samples["answers"][1]["probability"]["1"] += 1e-6
    data = json.dumps(samples).encode()
    (folder / "samples.json").write_bytes(data)
    files = json.loads((folder / "function.json").read_text())["files"]
    changed(folder, files={**files, "samples.json": hashlib.sha256(data).hexdigest()})
    reason = refusal(start("--package", str(folder)))
    assert "sample 1 does not prove the model: probability of 1 is" in reason


def test_a_bundle_that_reads_other_columns_is_refused(folder, start):
    """So does a bundle that is not for the package's inputs."""
    inputs = [
        {"name": "other", "type": "string"},
        *json.loads((folder / "function.json").read_text())["inputs"][1:],
    ]
    changed(folder, inputs=inputs)
    assert "it reads 'carrier'" in refusal(start("--package", str(folder)))

"""What the runtime answers on its own, and what it refuses to serve; that it answers as the one in Python does is in test_alike."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shutil
import time
import zipfile
from contextlib import ExitStack, closing
from http.client import HTTPConnection

import pytest

from penstock.host.manifest import read_manifest
from penstock.signatures import PUBLIC_KEYS, SIGNING_KEY, generate, sign
from tests.images.function_mleap.conftest import starting
from tests.images.function_mleap.delays import RIGHT

pytestmark = [pytest.mark.maven, pytest.mark.spark]


@pytest.fixture
def folder(made, tmp_path):
    """The package, which a test may change."""
    return shutil.copytree(made, tmp_path / "package")


@pytest.fixture(scope="module")
def served(made):
    """The runtime that serves it."""
    with starting() as run:
        yield run("--package", str(made))


def zipped(folder):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    return buffer.getvalue()


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
    _, revision = read_manifest(made)
    told = {"status": "ready", "name": "delays", "version": "7", "revision": revision, "key": "0123abc"}
    assert (health.status_code, health.json()) == (200, told)
    assert served.end() == (0, "", "")


def test_many_connections(served):
    """More of them than the JDK's server keeps by default stay open: none is closed under a client's next request."""
    port = served.first["port"]
    with ExitStack() as stack:
        connections = [
            stack.enter_context(closing(HTTPConnection("127.0.0.1", port, timeout=60))) for _ in range(300)
        ]
        for _ in range(2):
            for connection in connections:
                connection.request("GET", "/health")
                response = connection.getresponse()
                response.read()
                assert response.status == 200


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

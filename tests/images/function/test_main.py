"""The runtime as a process: it starts, says so, serves, drains, and refuses what it must, each in JSON lines."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

FORBIDDEN = {
    "pyspark",
    "mlflow",
    "airflow",
    "pandas",
    "pydantic",
    "httpx",
    "penstock",
    "jobs",
    "great_expectations",
}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the runtime to its end."""
    command = [sys.executable, "-m", "penstock_function", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_it_says_when_and_where_it_is_ready(
    start: Callable[..., Any], make_package: Callable[..., Path], right: dict[str, Any]
) -> None:
    """Port 0 takes a free port, which the first line of stdout names; from then on it answers."""
    process = start("--package", str(make_package()))
    assert process.first["event"] == "ready"
    assert process.first["version"] == "7"
    with httpx.Client(base_url=process.url, timeout=30) as client:
        assert client.get("/health").status_code == 200
        for _ in range(3):
            response = client.post("/predict", json=right)
            assert (response.status_code, response.json()["prediction"]) == (200, 1)
            assert int(response.headers["content-length"]) == len(response.content)
    code, out, err = process.end()
    assert (code, out, err) == (0, "", "")


def test_it_listens_on_loopback_only(start: Callable[..., Any], make_package: Callable[..., Path]) -> None:
    """Without --bind nobody else on the network reaches the function."""
    assert start("--package", str(make_package())).first["bind"] == "127.0.0.1"


def test_without_a_package_it_waits_for_init(start: Callable[..., Any]) -> None:
    """It serves at once, not ready, and says that it waits."""
    process = start()
    assert process.first["event"] == "waiting"
    assert httpx.get(f"{process.url}/health", timeout=30).status_code == 503


def test_a_request_in_hand_is_answered_after_sigterm(
    start: Callable[..., Any], make_package: Callable[..., Path], right: dict[str, Any]
) -> None:
    """SIGTERM refuses new connections, waits for the request that is half sent, answers it, and exits with 0."""
    process = start("--package", str(make_package()))
    body = json.dumps(right).encode()
    with socket.create_connection(("127.0.0.1", process.port), timeout=30) as half:
        half.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:5]
        )
        # Its own connection is answered only after the one before has been accepted.
        assert httpx.get(f"{process.url}/health", timeout=30).status_code == 200
        process.popen.terminate()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", process.port), timeout=1).close()
            except OSError:
                break
        else:
            pytest.fail("it still accepts connections after SIGTERM")
        assert process.popen.poll() is None
        half.sendall(body[5:])
        answer = b"".join(iter(lambda: half.recv(65536), b""))  # to the end: the server closes
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b'"prediction":1' in answer
    process.popen.communicate(timeout=60)
    assert process.popen.returncode == 0


def test_the_prediction_log_outlives_its_process(
    start: Callable[..., Any], make_package: Callable[..., Path], right: dict[str, Any], tmp_path: Path
) -> None:
    """What was answered before SIGTERM is logged when the process has ended, and nobody else may read it."""
    log = {"pipeline": "flights", "rate": 1, "sensitive": ["carrier"]}
    process = start("--package", str(make_package(log=log)), "--log", str(tmp_path / "spool"))
    assert httpx.post(f"{process.url}/predict", json=[right] * 3, timeout=30).status_code == 200
    assert process.end() == (0, "", "")
    [segment] = (tmp_path / "spool").iterdir()
    _, *rows = segment.read_text().splitlines()
    assert [json.loads(row)["row"]["prediction"] for row in rows] == [1, 1, 1]
    assert segment.stat().st_mode & 0o777 == 0o600


HANGS = """
import time
TAKES = {"prediction": "long"}
GIVES = {"near": "string"}
EXAMPLES = [({"prediction": 2}, {"near": "yes"})]

def run(record):
    time.sleep(0 if record["prediction"] == 2 else 10**6)
    return {"near": "yes"}
"""
SOON = (
    "import sys\n"
    "from penstock_function import __main__, service\n"
    "service.ANSWER_SECONDS, service.STUCK_SECONDS, __main__.LOOK_SECONDS = 0.1, 3.0, 0.1\n"
    "sys.exit(__main__.main(sys.argv[1:]))\n"
)


def test_a_request_that_hangs_ends_the_process(
    make_package: Callable[..., Path], right: dict[str, Any]
) -> None:
    """Its caller is answered; whoever started the process sees by its exit code that it is to be started anew, and the log says why."""
    package = make_package(after={"near": HANGS})
    command = [sys.executable, "-c", SOON, "--package", str(package), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        answer = httpx.post(f"http://127.0.0.1:{port}/predict", json=right, timeout=30)
        assert answer.status_code == 504
        _, said = process.communicate(timeout=60)
    assert process.returncode == 4
    assert json.loads(said)["event"] == "stuck"


def refusal(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one line on stderr, as JSON."""
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    refused: dict[str, Any] = json.loads(line)
    assert refused["event"] == "refused"
    return refused


def test_a_corrupt_package_is_refused(make_package: Callable[..., Path]) -> None:
    """A model that is not the packaged one ends the process with 3 and one line that says why."""
    folder = make_package()
    (folder / "model.onnx").write_bytes(b"something else")
    done = run("--package", str(folder), "--port", "0")
    assert done.returncode == 3
    assert "model.onnx is not the file that was packaged" in refusal(done)["reason"]


def test_a_mismatched_package_is_refused(make_package: Callable[..., Path], right: dict[str, Any]) -> None:
    """A model that does not give its samples' answers never opens its port."""
    samples = {"records": [right], "answers": [{"prediction": 0, "probability": {"0": 0.9, "1": 0.1}}]}
    done = run("--package", str(make_package(samples=samples)), "--port", "0")
    assert done.returncode == 3
    assert "sample 0 does not prove the model" in refusal(done)["reason"]


def test_a_port_that_is_taken_is_said(make_package: Callable[..., Path]) -> None:
    """A port in use ends the process with 1 and names the port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("--package", str(make_package()), "--port", str(port))
    assert done.returncode == 1
    assert f"port {port}" in refusal(done)["reason"]


@pytest.mark.parametrize("port", ["-1", "70000", "x"])
def test_a_wrong_port_is_a_wrong_argument(port: str) -> None:
    """Arguments are checked before anything else, with the usual exit code."""
    done = run("--port", port)
    assert done.returncode == 2
    assert "expected 0 to 65535" in done.stderr or "expected one argument" in done.stderr


def test_bytes_that_are_no_http_do_not_stop_it(
    start: Callable[..., Any], make_package: Callable[..., Path], right: dict[str, Any]
) -> None:
    """Noise, a cut header and a client that goes away mid-body leave the next request answered."""
    process = start("--package", str(make_package()))
    for noise in (b"\x16\x03\x01\x00\x00", b"GET", b"POST /predict HTTP/1.1\r\nContent-Length: 100\r\n\r\n{"):
        with socket.create_connection(("127.0.0.1", process.port), timeout=30) as connection:
            connection.sendall(noise)
    assert httpx.post(f"{process.url}/predict", json=right, timeout=30).status_code == 200
    code, _, err = process.end()
    assert code == 0
    for line in err.splitlines():
        assert json.loads(line)["level"] == "warning"


def test_a_huge_body_gets_its_answer_over_a_socket(
    start: Callable[..., Any], make_package: Callable[..., Path]
) -> None:
    """A real client that sends 32 MB is told 413, and the function goes on."""
    process = start("--package", str(make_package()))
    assert httpx.post(f"{process.url}/predict", content=b" " * 2**25, timeout=60).status_code == 413
    assert httpx.get(f"{process.url}/health", timeout=30).status_code == 200


def test_no_secret_is_in_the_log(
    start: Callable[..., Any], make_package: Callable[..., Path], right: dict[str, Any]
) -> None:
    """Of what a caller sends, taken or refused, by whatever protocol or by none, nothing is printed."""
    secret = "hunter2-q8Zt"
    process = start("--package", str(make_package()))
    headers = {"authorization": f"Bearer {secret}", "cookie": f"session={secret}", "x-api-key": secret}
    wrong = {**right, "carrier": secret, "seats": secret}
    with httpx.Client(base_url=process.url, headers=headers, timeout=30) as client:
        sent = [
            client.post(f"/predict?token={secret}", json=right),
            client.post("/predict", json=wrong),
            client.post("/predict", json={**right, "carrier": secret}),
            client.post("/predict", content=f'{{"password": "{secret}"'),
            client.post("/v2/models/delays/infer", json={"inputs": [{"name": secret, "datatype": secret}]}),
            client.post("/v2/models/delays/infer", content=b"{}", headers={"inference-header-content-length": secret}),
            client.get(f"/{secret}"),
            client.post("/init", json={"value": {"env": {"__OW_API_KEY": secret}}}),
            client.post("/init", json={"value": {"code": secret}}),
            client.post("/run", json={"value": right, "api_key": secret}),
            client.post("/run", json={"value": wrong, "api_key": secret, "activation_id": "a1"}),
            client.post("/run", content=secret),
        ]  # fmt: skip
    statuses = [response.status_code for response in sent]
    assert statuses == [200, 422, 422, 400, 400, 400, 404, 200, 403, 200, 200, 400]
    with socket.create_connection(("127.0.0.1", process.port), timeout=30) as noise:
        noise.sendall(f"{secret}\r\n\r\n".encode())
        noise.recv(1000)
    code, out, err = process.end()
    assert code == 0
    assert '"activation_id":"a1"' in err  # what was refused is told all the same, by row and field
    assert '"field":"seats"' in err
    assert secret not in out + err


def test_it_imports_no_other_room(make_package: Callable[..., Path]) -> None:
    """Started and serving, the process has loaded nothing of Spark, MLflow, Airflow or the rest of the project."""
    script = f"""
import sys
from penstock_function import __main__
from penstock_function.app import build
from penstock_function.package import Package
from penstock_function.service import Service
import uvicorn.protocols.http.httptools_impl, uvicorn.loops.uvloop
service = Service()
service.serve(Package.load({str(make_package())!r}))
build(service)
print(*sorted({{name.partition(".")[0] for name in sys.modules}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True
    )
    loaded = set(done.stdout.split())
    assert {"numpy", "onnxruntime", "starlette", "uvicorn"} <= loaded
    assert not loaded & FORBIDDEN

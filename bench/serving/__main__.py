"""Our function runtime beside what people use today, and beside what a bare server costs: the same model, machine, client,
a core for the servers and one for the client.

`python -m bench.serving [--model linear | --package DIR] [--rounds N] [--seconds N] [--only NAME ...] [--plot FILE]`. All of them run; in
each round each is asked in turn, and the tables have the medians of the rounds: requests a second and latencies of one record and of
100, from one client and from 16 as fast as it answers, and the processor's time a request, which a busy machine changes least; then
one record at 70 % of that rate, where requests come when they are due and latencies count from then. And the time from a
server's start until it is ready; its memory.
The model is 20 trees of depth 5 over 8 numbers and 2 categories, or linear over 8 numbers (`bench.serving.models`).
`--soak MINUTES` puts our runtime alone at 70 % for so long, and prints its memory and errors.

Needs wrk (Debian's package) and Go; the peers' libraries are installed below var/cache. The runtime in Java is measured
where it was built (docs/function.md), and with a model that is made here.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench.serving import load, models
from bench.serving.measuring import SHARE, check, measure, milliseconds, show, start
from bench.serving.servers import Records, Server, body_of, servers
from penstock import runtimes, telemetry
from penstock.settings import find_root

OURS, ROWS = "Penstock", (1, 100)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.serving", description=__doc__)
    parser.add_argument(
        "--model", choices=models.KINDS, default="boosted", help="which is made here (default boosted)"
    )
    parser.add_argument("--package", type=Path, help="a function package of yours in its place")
    parser.add_argument("--rounds", type=int, default=7, help="whose medians are shown (default 7)")
    parser.add_argument("--seconds", type=int, default=1, help="of each load (default 1)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these servers alone")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write a plot there, by its ending")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="ours alone, at 70 %% for so long")
    options = parser.parse_args()
    load.need("wrk", "go")
    peers = _peers()
    with tempfile.TemporaryDirectory(prefix="bench-serving-") as name, ExitStack() as stack:
        folder = Path(name)
        package = options.package or models.write(options.model, folder / "package")
        records = _records(package)
        bundle = None
        if not options.package and (find_root() / runtimes.JAR).is_file():
            bundle = models.write(options.model, folder / "bundle", "mleap")
        everyone = servers(package, _logged(package, folder), peers, bundle)
        if options.soak:
            _soak(next(each for each in everyone if each.name == OURS), records, folder, options.soak)
            return
        chosen = [each for each in everyone if not options.only or each.name in options.only]
        started, bodies = {}, {}
        for each in chosen:
            own = Path(tempfile.mkdtemp(dir=folder))
            print(f"starting {each.name}", file=sys.stderr, flush=True)
            started[each.name] = start(each, own, stack)
            for rows in ROWS:
                bodies[each.name, rows] = own / f"{rows}.json"
                bodies[each.name, rows].write_bytes(body_of(each, records[:rows]))
        measured = measure(started, bodies, options.rounds, options.seconds)
    show(measured, OURS)
    check(measured)
    if options.plot:
        from bench.serving import plot

        medians = {
            name: {kind: load.median(seen) for kind, seen in each.full.items()}
            for name, each in measured.items()
        }
        plot.write(options.plot, medians)


def _peers() -> Path:
    """The environment of the peers, made where it is not there yet."""
    folder = find_root() / "var" / "cache" / "bench-serving"
    wanted = Path(__file__).with_name("requirements.txt")
    done = folder / "installed.txt"
    if not done.exists() or done.read_bytes() != wanted.read_bytes():
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "venv", "--clear", "--quiet", "--python", sys.executable, folder], check=True)
        python = folder / "bin" / "python"
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, "-r", wanted], check=True)
        done.write_bytes(wanted.read_bytes())
    return folder


def _records(package: Path) -> Records:
    """100 records that every server's model answers, from the package's samples."""
    samples = json.loads((package / "samples.json").read_text())
    good = [
        record
        for record, answer in zip(samples["records"], samples["answers"], strict=True)
        # mlflow's frames know no null for whole numbers and strings: rows without nulls compare like with like.
        if "invalid" not in answer and None not in record.values()
    ]
    if not good:
        raise SystemExit(f"{package} has no sample without nulls to send")
    return (good * (max(ROWS) // len(good) + 1))[: max(ROWS)]


def _logged(package: Path, folder: Path) -> str:
    """The package's model.onnx, logged to an mlflow store of its own as its ONNX flavour; the model's URI."""
    os.environ |= {**telemetry.OFF, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    import mlflow
    import onnx
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    experiment = mlflow.create_experiment("bench", artifact_location=(folder / "artifacts").as_uri())
    inputs = json.loads((package / "function.json").read_text())["inputs"]
    # Every column but a string reaches the graph as a double.
    kinds = {entry["name"]: "string" if entry["type"] == "string" else "double" for entry in inputs}
    schema = Schema([ColSpec(kind, name) for name, kind in kinds.items()])
    with mlflow.start_run(experiment_id=experiment):
        model = mlflow.onnx.log_model(
            onnx.load(package / "model.onnx"),
            name="model",
            signature=ModelSignature(inputs=schema),
            pip_requirements=[],
        )
    return str(model.model_uri)


def _soak(server: Server, records: Records, folder: Path, minutes: float) -> None:
    """Print memory and errors of each minute."""
    body = folder / "body.json"
    body.write_bytes(body_of(server, records[:1]))
    with server.running(folder) as it:
        rate = SHARE * load.closed(it.url, body, 16, 10).rate
        print(f"{rate:.0f} requests a second", flush=True)
        for minute in range(1, round(minutes) + 1):
            seen = load.constant(it.url, body, rate, 60)
            print(
                f"minute {minute}: {seen.rate:.0f} requests a second, {seen.errors} errors, "
                f"p50 / p99 {milliseconds(seen)}, {it.memory():.1f} MB",
                flush=True,
            )


if __name__ == "__main__":
    main()

"""register: converts, packages, logs and registers a trained model; no JVM."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.common import tracking
from jobs.common.job import Done, Work
from penstock import requirements, steps
from penstock.errors import PenstockError, UserCodeError
from penstock.results import StageResult
from penstock.runtimes import Kind

_FORMS: Mapping[Kind, str] = {"onnx": "ONNX", "mleap": "a Bundle.ML"}


def run(work: Work) -> Done:
    """Make the function package of a trained model and its one registered version.

    Raises:
        UnsupportedStage, BundleError: the model has no form in the bundle that it is to become.
        UserCodeError: a step of the function is wrong, or lacks a library here.
        StoreError: the store has no result of training or features any more.
        PenstockError: MLflow refused, MLeap's answers are not Spark's, or its runtime is not there.
    """
    from jobs.bundle.convert import Field, to_onnx
    from jobs.bundle.mleap.convert import to_mleap

    _see_libraries(work)
    train = work.store.result_at(work.item.inputs["train"].path)
    facts = train.summary
    model_dir = work.fetch("train", "model")
    interface = (
        [Field(entry["name"], entry["type"]) for entry in facts["inputs"]],
        work.spec["task"],
        None if facts["classes"] is None else len(facts["classes"]),
    )
    # Whatever the function is, MLflow's model is ONNX, which its clients can load.
    graph = to_onnx(model_dir, *interface)
    kind: Kind = work.spec["bundle"]
    if kind == "onnx":
        bundle = graph.SerializeToString(deterministic=True)
    else:
        bundle = to_mleap(model_dir, *interface)
    model = _Model(model_dir, graph, bundle)
    print(f"converted to {_FORMS[kind]}: {' > '.join(facts['stages'])}", flush=True)
    with tracking.told(work.settings):
        made, run_id, model_id = _register(work, train, model)
    if made.fault is not None:
        print(f"the package differs from Spark (the parity gate judges it): {made.fault}", flush=True)
    return Done(
        digest=made.digest[:32],
        outputs=["package"],
        summary={
            "version": made.version,
            "revision": made.revision,
            "mlflow_run_id": run_id,
            "mlflow_model_id": model_id,
            "model_uri": f"models:/{work.request.pipeline}/{made.version}",
            "train_key": train.key,
            "window_end": work.spec["window_end"],
            "parity_fault": made.fault,
        },
    )


@dataclass(frozen=True)
class _Made:
    """A package in the store: the version in it, its revision and digest, and what it answers otherwise than Spark."""

    version: str
    revision: str
    digest: str
    fault: str | None


@dataclass(frozen=True)
class _Model:
    """A trained model by its folder, as the ONNX graph that clients of MLflow load, and as what its function scores with."""

    folder: Path
    graph: Any
    bundle: bytes


def _package(work: Work, train: StageResult, features: StageResult, model: _Model, version: str) -> _Made:
    from jobs.bundle.interface import PROBABILITY
    from jobs.register import package, provenance, reference
    from jobs.register.mlflow_model import outputs
    from penstock import signatures
    from penstock.host.manifest import read_manifest

    spec, facts = work.spec, train.summary
    usual = json.loads(work.store.read_bytes(f"{features.path}/reference.json"))
    manifest = package.Manifest(
        name=spec["function"],
        version=version,
        key=train.key,
        runtime=spec["bundle"],
        task=spec["task"],
        inputs=facts["inputs"],
        classes=facts["classes"],
        # A classifier without probabilities answers its prediction alone.
        output=spec["output"] if f"{PROBABILITY}0" in outputs(model.graph) else "prediction",
        tolerance=spec["tolerance"],
        environment=provenance.libraries(),
        reference=reference.row(usual["columns"], facts["inputs"]),
        log=_log(work, facts["inputs"]),
        steps=spec["steps"],
    )
    folder = work.scratch / f"package-{version}"
    samples = work.fetch("train", "samples.json")
    files = _step_files(work)
    digest = package.write(folder, manifest, model.bundle, samples, files)
    if files:
        package.prove_steps(folder)
    if signer := signatures.sign(folder):
        print(f"signed: the public key is {signer}", flush=True)
    fault = package.fault(folder)
    if fault is not None and spec["bundle"] == "mleap":
        # Its runtime serves nobody, the parity gate neither.
        raise PenstockError(
            f"MLeap does not answer as Spark does: {fault}", next_step="let the function be of the kind onnx"
        )
    work.put(folder, "package")
    return _Made(version, read_manifest(folder)[1], digest, fault)


def _step_files(work: Work) -> dict[str, Path]:
    """The files of the function's steps, by their place in the package: as in the project."""
    own = [name for name in map(steps.named, work.item.inputs) if name is not None]
    files = [file for name in own for file in steps.files(work.settings.steps, name)]
    return {file.relative_to(work.settings.root).as_posix(): file for file in files}


def _see_libraries(work: Work) -> None:
    """See that what the function's steps ask for is here, where their examples are run. Raises UserCodeError."""
    for file in _step_files(work).values():
        if file.name == requirements.FILE and (lacking := requirements.missing(file)):
            raise UserCodeError(
                f"steps/{file.parent.name}/{file.name} asks for {', '.join(lacking)}",
                next_step=requirements.install(file),
            )


def _log(work: Work, inputs: Sequence[Mapping[str, str]]) -> dict[str, Any] | None:
    """What the function logs: where the spec says so, with those of its sensitive columns that the function is given."""
    asked = work.spec["log"]
    if asked is None:
        return None
    sensitive = [entry["name"] for entry in inputs if entry["name"] in asked["sensitive"]]
    return {"pipeline": work.request.pipeline, "rate": asked["rate"], "sensitive": sensitive}


def _register(work: Work, train: StageResult, trained: _Model) -> tuple[_Made, str, str]:
    """Log to MLflow, store the package, register; returns the package, the run's id and the logged model's."""
    from jobs.register import provenance, tracking_run, version
    from jobs.register.mlflow_model import Servable
    from penstock import keys, registry

    pipeline, facts = work.request.pipeline, train.summary
    client, experiment = tracking.connect(work.settings, pipeline, work.scratch)
    records = json.loads(work.fetch("train", "samples.json").read_text(encoding="utf-8"))["records"]
    servable = Servable(
        graph=trained.graph,
        spark_model=trained.folder,
        inputs=facts["inputs"],
        classes=facts["classes"],
        examples=records,
        metadata={"pipeline": pipeline, "penstock.key": train.key, "inputs": facts["inputs"]},
    )
    features = work.store.result_at(train.inputs["features"].path)
    data = tracking_run.datasets(work.store, features)
    with work.store.lock(f"register-{pipeline}"):
        run_id = tracking_run.training_run(client, experiment, train)
        wanted = version.Registration(
            name=pipeline,
            problem=work.spec["problem"],
            key=train.key,
            run_id=run_id,
            experiment=experiment,
            graph_digest=keys.digest_bytes(trained.graph.SerializeToString(deterministic=True)),
            params={name: str(value) for name, value in facts["params"].items()},
            tags={
                registry.KEY: train.key,
                registry.REGISTER_PATH: work.folder,
                registry.WINDOW_END: work.spec["window_end"],
            },
        )
        client.log_inputs(run_id, data)
        tracking.tag_run(
            client,
            run_id,
            {
                "penstock.pipeline": pipeline,
                "penstock.train_key": train.key,
                "penstock.features_key": features.key,
                "penstock.register_key": work.item.key,
                "penstock.window_end": work.spec["window_end"],
                "penstock.libraries": json.dumps(provenance.libraries()),
                **provenance.git_tags(work.settings.root),
            },
        )
        model = version.logged_model(client, wanted, servable, work.scratch)
        holdout = [given for given in data if given.dataset.name == "holdout"]
        tracking_run.log_model_metrics(client, run_id, model, facts["metrics"], holdout)
        models = registry.Registry(work.settings.mlflow_uri)
        # The package first: a version that is registered has one, whatever happens to the store's disk.
        made = _package(work, train, features, trained, version.expected(models, wanted))
        number = version.registered(models, wanted, model)
        if made.version != number:  # a person registered one by hand meanwhile
            made = _package(work, train, features, trained, number)
    print(f"registered {pipeline} version {number}", flush=True)
    return made, run_id, model.model_id

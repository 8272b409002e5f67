"""`python -m jobs.register.mleap PACKAGE MODEL FOLDER`: a function package once more, for the runtime in Java.

PACKAGE is one of the kind onnx, MODEL the Spark model that it was made from (`PipelineModel.save`, such as an MLflow
model has in `sparkml`), FOLDER the new package, of the kind mleap: the same function, with the same samples.

Exit codes: 0 written, 1 refused, 2 wrong arguments.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from jobs.bundle.field import Field
from jobs.bundle.mleap.convert import to_mleap
from jobs.register import package
from penstock.errors import PenstockError
from penstock_function.package import SAMPLES, Package, PackageError


def rewrite(given: Path, model: Path, folder: Path) -> None:
    """Write the package `given` once more into the new folder `folder`, with the Spark model `model` as Bundle.ML.

    Raises:
        PackageError: `given` is no package of the kind onnx.
        UnsupportedStage: a stage, or an option of one, has no op in MLeap.
        BundleError: `model` is no saved model, or another one than the package's.
    """
    known = Package.load(given)
    bundle = to_mleap(
        model,
        [Field(field.name, field.type) for field in known.inputs],
        known.task,
        len(known.classes) or None,
    )
    manifest = package.Manifest(
        name=known.name,
        version=known.version,
        key=known.key,
        runtime="mleap",
        task=known.task,
        inputs=[{"name": field.name, "type": field.type} for field in known.inputs],
        classes=known.classes or None,
        output=known.output,
        tolerance=known.tolerance,
        environment=known.environment,
    )
    package.write(folder, manifest, bundle, given / SAMPLES)


def main(arguments: list[str] | None = None) -> int:
    """Write the package; returns the exit code."""
    parser = argparse.ArgumentParser(prog="jobs.register.mleap", description=__doc__.splitlines()[0])
    for name in ("package", "model", "folder"):
        parser.add_argument(name, type=Path, metavar=name.upper())
    options = parser.parse_args(arguments)
    try:
        rewrite(options.package, options.model, options.folder)
    except (PenstockError, PackageError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

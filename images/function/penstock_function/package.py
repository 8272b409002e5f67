"""A function package: the folder (or zip) that is deployed, read once and checked against its own digests."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import orjson

from penstock_function.signature import SIGNATURE, is_signed

if TYPE_CHECKING:
    from nacl.signing import VerifyKey

FORMAT = 1
MANIFEST = "function.json"
MODEL = "model.onnx"
SAMPLES = "samples.json"
#: By the kind of runtime that a package is for, its file that holds the model. This one serves the first.
MODELS = {"onnx": MODEL, "mleap": "model.zip"}
#: The model among a function's steps.
SCORE = "score"

FieldType = Literal["string", "double", "float", "long", "int", "boolean"]
Runtime = Literal["onnx", "mleap"]
Task = Literal["binary", "multiclass", "regression"]
Output = Literal["probability", "prediction"]

# What goes into a URL, a response header and a metric's label must be harmless in all of them.
_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", re.ASCII)
_STEP = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)
_STEP_FILE = re.compile(rf"steps/{_STEP.pattern}/(step\.py|requirements\.txt)", re.ASCII)


class PackageError(Exception):
    """The package cannot be served: what is wrong with it, where, and what was expected."""


@dataclass(frozen=True, slots=True)
class Field:
    """One input column of the model: its name and its Spark type."""

    name: str
    type: FieldType


@dataclass(frozen=True, slots=True)
class Log:
    """Which answers are logged, for which pipeline: a share of them (0 to 1), and the inputs that nobody may read."""

    pipeline: str
    rate: float
    sensitive: frozenset[str]


@dataclass(frozen=True, slots=True)
class Samples:
    """Records with the answers that Spark gave for them, in the same order."""

    records: tuple[Mapping[str, Any], ...]
    answers: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Package:
    """A checked package in memory; `model` holds the very bytes whose digest was checked."""

    name: str
    version: str
    #: Its version, and what its manifest's bytes are known by: same revision, same content.
    revision: str
    key: str
    runtime: Runtime
    task: Task
    inputs: tuple[Field, ...]
    classes: tuple[Any, ...]
    output: Output
    tolerance: float
    environment: Mapping[str, str]
    #: A usual value for each column, which a record is compared with; None in a package that has none.
    reference: Mapping[str, Any] | None
    #: None where nothing is logged.
    log: Log | None
    samples: Samples
    model: bytes = field(repr=False)
    #: The source of each step before the model and of each after it, by name, in their order.
    before: Mapping[str, bytes] = field(repr=False)
    after: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def load(cls, path: str | Path, keys: Sequence[VerifyKey] = ()) -> Package:
        """Read the package in the folder `path`, which one of `keys` signed where there are any.

        Raises:
            PackageError: a file is missing, nobody trusted signed it, the manifest is wrong, or a digest differs.
        """
        folder = Path(path)

        def read(name: str) -> bytes:
            try:
                return (folder / name).read_bytes()
            except OSError as error:
                raise PackageError(
                    f"{folder / name} cannot be read ({error.strerror}); a package is a folder"
                    f" with {MANIFEST}, its model and {SAMPLES}"
                ) from error

        return cls.read(read, keys)

    @classmethod
    def read(cls, read: Callable[[str], bytes], keys: Sequence[VerifyKey] = ()) -> Package:
        """Build a package from a function that gives the content of a file by its name; `keys` as in `load`.

        Raises:
            PackageError: nobody trusted signed it, the manifest is wrong (every fault is named) or a digest differs.
        """
        data = read(MANIFEST)
        manifest = _manifest(data, read, keys)
        content = {name: _packaged(read, manifest, name) for name in manifest["files"]}
        steps = manifest.get("steps") or [SCORE]
        place = steps.index(SCORE)
        return cls(
            name=manifest["name"],
            version=manifest["version"],
            revision=f"v{manifest['version']}-{hashlib.sha256(data).hexdigest()[:12]}",
            key=manifest["key"],
            runtime=manifest["runtime"],
            task=manifest["task"],
            inputs=tuple(Field(entry["name"], entry["type"]) for entry in manifest["inputs"]),
            classes=tuple(manifest["classes"] or ()),
            output=manifest["output"],
            tolerance=float(manifest["tolerance"]),
            environment=manifest.get("environment", {}),
            reference=manifest.get("reference"),
            log=_log(manifest.get("log")),
            samples=_samples(content[SAMPLES]),
            model=content[MODELS[manifest["runtime"]]],
            before={name: content[source_of(name)] for name in steps[:place]},
            after={name: content[source_of(name)] for name in steps[place + 1 :]},
        )


def read_step(step: str, read: Callable[[str], bytes], keys: Sequence[VerifyKey] = ()) -> tuple[bytes, float]:
    """The source of one step, and its function's tolerance, from a package of which no more is there; else as `Package.read`.

    Raises:
        PackageError: also where the package has no such step.
    """
    manifest = _manifest(read(MANIFEST), read, keys)
    if source_of(step) not in manifest["files"]:
        raise PackageError(f"{MANIFEST} has no step {step!r:.80}")
    return _packaged(read, manifest, source_of(step)), float(manifest["tolerance"])


def source_of(step: str) -> str:
    """The file of a step's code, below the package."""
    return f"steps/{step}/step.py"


def libraries_of(step: str) -> str:
    """The file of the lock of a step's libraries, where it has any."""
    return f"steps/{step}/requirements.txt"


def is_step_file(name: str) -> bool:
    """Whether a package may hold a file of that name as part of a step."""
    return bool(_STEP_FILE.fullmatch(name))


def _manifest(data: bytes, read: Callable[[str], bytes], keys: Sequence[VerifyKey]) -> dict[str, Any]:
    if keys:
        _check_signature(data, read, keys)
    manifest = _json_object(data, MANIFEST)
    faults = _faults(manifest)
    if faults:
        raise PackageError(f"{MANIFEST} is wrong: " + "; ".join(faults))
    return manifest


def _packaged(read: Callable[[str], bytes], manifest: Mapping[str, Any], name: str) -> bytes:
    """The content of a file that the manifest names, which is the one whose digest it has."""
    content, expected = read(name), manifest["files"][name]
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise PackageError(
            f"{name} is not the file that was packaged: its sha256 is {found}, {MANIFEST} says {expected};"
            " build the package again"
        )
    return content


def _check_signature(data: bytes, read: Callable[[str], bytes], keys: Sequence[VerifyKey]) -> None:
    try:
        signature = read(SIGNATURE)
    except PackageError as error:
        raise PackageError(f"the package is not signed, and only signed ones are served: {error}") from error
    if not is_signed(data, signature, keys):
        raise PackageError(
            f"{SIGNATURE} is no signature of this {MANIFEST} by any of the {len(keys)} keys that are trusted:"
            " it was changed, or signed by another"
        )


def _log(value: Mapping[str, Any] | None) -> Log | None:
    return None if value is None else Log(value["pipeline"], value["rate"], frozenset(value["sensitive"]))


def _json_object(data: bytes, name: str) -> dict[str, Any]:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise PackageError(f"{name} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise PackageError(f"{name} must hold a JSON object, it holds {type(value).__name__}")
    return value


def _samples(data: bytes) -> Samples:
    value = _json_object(data, SAMPLES)
    records, answers = value.get("records"), value.get("answers")
    for name, part in (("records", records), ("answers", answers)):
        if not isinstance(part, list) or not all(isinstance(entry, dict) for entry in part):
            raise PackageError(f"{SAMPLES}: `{name}` must be a list of objects")
    records, answers = cast("list[dict[str, Any]]", records), cast("list[dict[str, Any]]", answers)
    if not records or len(records) != len(answers):
        raise PackageError(
            f"{SAMPLES} must hold at least one record and one answer for each;"
            f" it holds {len(records)} records and {len(answers)} answers"
        )
    return Samples(tuple(records), tuple(answers))


def _faults(manifest: Mapping[str, Any]) -> list[str]:
    """Every fault of a manifest, each with what was found and what is allowed."""
    if manifest.get("format") != FORMAT:
        # Nothing else can be judged in a format that this runtime does not know.
        return [f"format is {manifest.get('format')!r}, this runtime reads format {FORMAT}"]
    faults: list[str] = []

    def check(name: str, good: bool, expected: str) -> bool:
        if not good:
            faults.append(f"{name} is {manifest.get(name)!r:.80}, expected {expected}")
        return good

    for name in ("name", "version"):
        value = manifest.get(name)
        check(
            name,
            isinstance(value, str) and bool(_TOKEN.fullmatch(value)),
            "1 to 128 of A-Z a-z 0-9 _ . - that start with a letter or digit",
        )
    check("key", isinstance(manifest.get("key"), str), "the training key")
    model = MODELS.get(str(manifest.get("runtime")), MODEL)
    check("runtime", manifest.get("runtime") in get_args(Runtime), " or ".join(get_args(Runtime)))
    check("task", manifest.get("task") in get_args(Task), " or ".join(get_args(Task)))
    check("output", manifest.get("output") in get_args(Output), " or ".join(get_args(Output)))
    tolerance = manifest.get("tolerance")
    number = isinstance(tolerance, (int, float)) and not isinstance(tolerance, bool)
    check("tolerance", number and 0 <= cast("float", tolerance) < 1, "a number from 0 to below 1")
    check("environment", isinstance(manifest.get("environment", {}), dict), "an object")
    steps = manifest.get("steps")
    if check("steps", _is_steps(steps), f"nothing, or different names of steps, {SCORE!r} among them"):
        own = [name for name in steps or () if name != SCORE]
        needed = {model, SAMPLES, *map(source_of, own)}
        check(
            "files",
            _digests(manifest.get("files"), needed, set(map(libraries_of, own))),
            f"a sha256 for each of {', '.join(sorted(needed))}, and no other file but the steps' requirements.txt",
        )
    check(
        "classes",
        _classes(manifest.get("classes"), manifest.get("task")),
        "null for a regression, otherwise two or more different strings or whole numbers",
    )
    inputs = manifest.get("inputs")
    if check("inputs", isinstance(inputs, list) and bool(inputs), "a list of one or more columns"):
        faults.extend(_input_faults(cast("list[Any]", inputs)))
        names = [entry.get("name") for entry in cast("list[Any]", inputs) if isinstance(entry, dict)]
        check(
            "log",
            _is_log(manifest.get("log"), names),
            "nothing, or the name of a pipeline, a rate above 0 to 1, and sensitive inputs",
        )
    reference = manifest.get("reference")
    check("reference", reference is None or isinstance(reference, dict), "an object, or nothing")
    return faults


def _input_faults(inputs: Sequence[Any]) -> list[str]:
    faults = []
    seen: set[str] = set()
    for position, entry in enumerate(inputs):
        name = entry.get("name") if isinstance(entry, dict) else None
        kind = entry.get("type") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not name or kind not in get_args(FieldType):
            faults.append(
                f"inputs[{position}] is {entry!r:.80}, expected a name and a type of {', '.join(get_args(FieldType))}"
            )
        elif name in seen:
            faults.append(f"inputs[{position}] repeats the column {name!r}")
        else:
            seen.add(name)
    return faults


def _is_log(log: Any, inputs: Sequence[Any]) -> bool:
    if log is None:
        return True
    if not isinstance(log, dict) or log.keys() != {"pipeline", "rate", "sensitive"}:
        return False
    rate, pipeline, sensitive = log["rate"], log["pipeline"], log["sensitive"]
    return (
        isinstance(pipeline, str)
        and bool(_TOKEN.fullmatch(pipeline))
        and type(rate) in (int, float)
        and 0 < rate <= 1
        and isinstance(sensitive, list)
        # One that is misspelt would be logged as it is.
        and all(name in inputs for name in sensitive)
    )


def _is_steps(steps: Any) -> bool:
    return steps is None or (
        isinstance(steps, list)
        and all(isinstance(name, str) and _STEP.fullmatch(name) for name in steps)
        and len(set(steps)) == len(steps)
        and SCORE in steps
    )


def _digests(files: Any, needed: set[str], allowed: set[str]) -> bool:
    return (
        isinstance(files, dict)
        and needed <= set(files) <= needed | allowed
        and all(isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) for value in files.values())
    )


def _classes(classes: Any, task: Any) -> bool:
    if task == "regression":
        return classes is None
    return (
        isinstance(classes, list)
        and len(classes) >= 2
        and all(type(value) in (str, int) for value in classes)
        and len({str(value) for value in classes}) == len(classes)
    )

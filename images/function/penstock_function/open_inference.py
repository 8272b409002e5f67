"""The Open Inference Protocol, version 2, however it is carried: what is told of the model, and a request as tensors.

The protocol: https://github.com/kserve/open-inference-protocol. One tensor a column that the function takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from penstock_function import tensors
from penstock_function.package import Package
from penstock_function.prediction_log import Row
from penstock_function.records import describe
from penstock_function.service import INLINE_BODY, Body, Refusal, Scored, Service, check_count
from penstock_function.steps import Steps
from penstock_function.tensors import DATATYPES, Tensor, malformed

#: What the server is called.
SERVER = "penstock_function"

T = TypeVar("T")


def served(service: Service, model: str, version: str | None) -> Package:
    """The package that answers, of any `version` where none is asked for.

    Raises:
        Refusal: 503 where there is none yet, 404 where another is asked for.
    """
    package = service.served()
    if model != package.name:
        raise Refusal(404, "protocol", f"there is no model {model[:100]!r}: this is {package.name!r}")
    if version is not None and version != package.version:
        raise Refusal(
            404,
            "protocol",
            f"there is no version {version[:100]!r} of {package.name!r}: this is {package.version!r}",
        )
    return package


def metadata(package: Package, steps: Steps) -> dict[str, Any]:
    """What the protocol tells of a model: its name, version, platform, and what the function takes and gives."""
    usual = {**package.samples.answers[0], **dict.fromkeys(field.name for field in steps.gives)}
    outputs = tensors.outputs([usual], package.classes, steps.gives)
    return {
        "name": package.name,
        "versions": [package.version],
        "platform": "onnx",
        "inputs": [
            {"name": field.name, "datatype": DATATYPES[field.type], "shape": [-1]} for field in steps.inputs
        ],
        "outputs": [{**each.described(), "shape": [-1, *each.shape[1:]]} for each in outputs],
    }


class Asked(NamedTuple):
    """A request that has been read: of which model, the request as JSON has it, and one record a row of its inputs."""

    package: Package
    request: Mapping[str, Any]
    records: list[dict[str, Any]]


class Inferred(NamedTuple):
    """The outputs that a request asked for, each with whether it wants its bytes, and the rows that are logged of it."""

    outputs: list[tuple[Tensor, bool]]
    rows: list[Row]


def asked(package: Package, request: Mapping[str, Any], rest: memoryview) -> Asked:
    """Read a request as JSON has it; `rest` are the bytes of those tensors whose values are not in it.

    Raises:
        Refusal: 400 for what is no request of the protocol, 413 for too many rows.
    """
    return Asked(package, request, _records(request.get("inputs"), rest))


async def infer(
    service: Service, body: Body, read: Callable[[Body], Asked], write: Callable[[Asked, Inferred], T]
) -> T:
    """What `write` makes of the answer to the request that `read` finds in a body.

    One small record is scored in a batch with those that others sent; a large body, or one for steps, is worked on by a thread. A request
    may say by its parameter `timeout` for how many microseconds its caller waits, as Triton's clients do.

    Raises:
        Refusal: 422 where the values do not fit the model, 503 as Service.work, 504 where its time was over before its
            turn came; and what `read` and `write` raise.
    """
    came = time.perf_counter()

    def in_time(body: Body) -> Asked:
        asked = read(body)
        microseconds = _timeout(asked.request)
        if microseconds and time.perf_counter() - came > microseconds / 1e6:
            raise Refusal(504, "deadline", "the request's timeout passed before its turn came")
        return asked

    def answer(asked: Asked, scored: Scored) -> T:
        made = tensors.outputs(scored.answers, asked.package.classes, service.steps.gives)
        return write(asked, Inferred(_wanted(asked.request, made), scored.rows))

    def whole(body: Body) -> T:
        asked = in_time(body)
        return answer(asked, service.score(asked.records))

    if len(body) > INLINE_BODY or not service.steps.alone:
        return await service.work(whole, body)
    asked = in_time(body)
    return answer(asked, await service.score_together(asked.records))


def _records(inputs: Any, rest: memoryview) -> list[dict[str, Any]]:
    """One record a row of the input tensors."""
    if not isinstance(inputs, list) or not inputs:
        raise malformed(f"`inputs` is {describe(inputs)}, expected an array of tensors")
    columns: dict[str, list[Any]] = {}
    for position, tensor in enumerate(inputs):
        name, values, taken = tensors.column(tensor, position, rest)
        if name in columns:
            raise malformed(f"the input {name[:100]!r} is there twice")
        columns[name], rest = values, rest[taken:]
    if len(rest):
        raise malformed(f"{len(rest)} bytes are left that no input claims")
    rows = {len(values) for values in columns.values()}
    if len(rows) != 1 or rows == {0}:
        raise malformed(f"the inputs have {sorted(rows)} rows, expected one number of them, at least 1")
    check_count(*rows)
    names = list(columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _timeout(request: Mapping[str, Any]) -> int:
    """Microseconds, 0 for none."""
    found = _parameters(request).get("timeout", 0)
    if type(found) is not int or found < 0:
        raise malformed(f"the parameter timeout is {describe(found)}, expected microseconds")
    return found


def _wanted(request: Mapping[str, Any], made: list[Tensor]) -> list[tuple[Tensor, bool]]:
    """The outputs that a request asks for, each with whether it wants its bytes; all of them where it names none."""
    every = bool(_parameters(request).get("binary_data_output"))
    asked = request.get("outputs")
    if asked is None:
        return [(tensor, every) for tensor in made]
    if not isinstance(asked, list):
        raise malformed(f"`outputs` is {describe(asked)}, expected an array")
    known, found = {tensor.name: tensor for tensor in made}, []
    for each in asked:
        name = each.get("name") if isinstance(each, dict) else None
        if not isinstance(name, str) or name not in known:
            raise malformed(f"there is no output {describe(name)}; there are {', '.join(known)}")
        found.append((known[name], bool(_parameters(each).get("binary_data", every))))
    return found


def _parameters(of: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = of.get("parameters")
    return parameters if isinstance(parameters, dict) else {}

"""The OpenAPI description of one function, made from its model's columns and a sample of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock_function.explanation import MAX_FEATURES, hindrance
from penstock_function.package import Field, FieldType, Package
from penstock_function.steps import Steps

_TYPES: dict[FieldType, dict[str, Any]] = {
    "string": {"type": ["string", "null"]},
    "double": {"type": ["number", "null"], "format": "double"},
    "float": {"type": ["number", "null"], "format": "float"},
    "long": {"type": ["integer", "null"], "minimum": -(2**53), "maximum": 2**53},
    "int": {"type": ["integer", "null"], "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1},
    "boolean": {"type": ["boolean", "null"]},
}


def describe(package: Package, steps: Steps, max_body: int, max_records: int) -> dict[str, Any]:
    """An OpenAPI 3.1 document of `POST /predict`, whose body has at most so many bytes, and records."""
    record, answer = _example(package)
    answered = _answers(package, steps)
    names = {"name": package.name, "version": package.version}
    examples = {
        "one": {"summary": "One record", "value": steps.example(record)},
        "many": {"summary": "Many records", "value": [steps.example(record)]},
    }
    answers = {
        "one": {"summary": "One record", "value": {**names, **answer}},
        "many": {"summary": "Many records", "value": {**names, "predictions": [answer]}},
    }
    if not steps.alone:  # what steps make of it only running them would tell
        answers = {}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": package.name,
            "version": package.version,
            "description": f"A {package.task} model with {len(steps.inputs)} input columns."
            f" Training key {package.key}.",
        },
        # Relative to this document, so that it also holds behind a proxy that serves many functions.
        "servers": [{"url": "."}],
        "paths": {
            "/predict": {
                "post": {
                    "operationId": "predict",
                    "summary": "Score one record or many",
                    "parameters": _parameters(package),
                    "requestBody": {
                        "required": True,
                        "description": f"At most {max_body} bytes and {max_records} records.",
                        "content": {"application/json": {"schema": _request(steps), "examples": examples}},
                    },
                    "responses": {
                        "200": {
                            "description": "The answer to each record, in order.",
                            "headers": {
                                "x-penstock-version": {
                                    "description": "The version of the model that answered.",
                                    "schema": {"type": "string"},
                                }
                            },
                            "content": {
                                "application/json": {
                                    "schema": {"anyOf": [_ref(name) for name in answered]},
                                    "examples": answers,
                                }
                            },
                        },
                        "400": _error("The body is not JSON."),
                        "408": _error("The body did not arrive in time."),
                        "413": _error("The body is too large, or holds too many records."),
                        "422": _error(
                            "A record does not fit the columns, or the model or a step refuses it."
                        ),
                        "500": _error("The model or a step failed; the log says how."),
                        "503": {
                            **_error("Too many requests are in work already."),
                            "headers": {
                                "retry-after": {
                                    "description": "Seconds after which trying again may help.",
                                    "schema": {"type": "integer"},
                                }
                            },
                        },
                        "504": _error("There was no answer in time."),
                    },
                }
            }
        },
        "components": {"schemas": {"Record": _record(steps), **answered, "Error": _ERROR}},
    }


def _example(package: Package) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The sample with the fewest nulls among those that get an answer."""
    pairs = list(zip(package.samples.records, package.samples.answers, strict=True))
    return min(
        pairs, key=lambda pair: ("invalid" in pair[1], sum(value is None for value in pair[0].values()))
    )


def _request(steps: Steps) -> dict[str, Any]:
    many = {"type": "array", "items": _ref("Record"), "minItems": 1}
    shapes = [_ref("Record"), many]
    if all(field.name != "records" for field in steps.inputs):
        shapes.append(
            {
                "type": "object",
                "properties": {"records": many},
                "required": ["records"],
                "additionalProperties": False,
            }
        )
    return {"anyOf": shapes}


def _parameters(package: Package) -> list[dict[str, Any]]:
    if hindrance(package) is not None:
        return []
    description = (
        "Also tell which features moved the answer to one record: each alone is replaced by its reference (its median, or its"
        " most frequent value, in training), and the score is taken again. What features do only together is not seen."
    )
    schema = {"type": "boolean", "default": False}
    return [{"name": "explain", "in": "query", "description": description, "schema": schema}]


def _record(steps: Steps) -> dict[str, Any]:
    return {
        **_object({field.name: _column(field) for field in steps.inputs}),
        "description": "A value for every column; null where it is not known.",
    }


def _answers(package: Package, steps: Steps) -> dict[str, Any]:
    """The forms of a right answer, by name."""
    answer = {**_answer(package), **{field.name: _column(field) for field in steps.gives}}
    names = {"name": {"const": package.name}, "version": {"const": package.version}}
    forms = {
        "One": _object({**names, **answer}),
        "Many": _object({**names, "predictions": {"type": "array", "items": _object(answer)}}),
    }
    if hindrance(package) is None:
        forms["Explained"] = _object({**names, **answer, "explanation": _explanation(package)})
    return forms


def _answer(package: Package) -> dict[str, Any]:
    number = {"type": ["number", "null"], "format": "double"}
    if not package.classes:
        return {"prediction": number}
    answer: dict[str, Any] = {"prediction": {"enum": [*package.classes, None]}}
    if package.output == "probability":
        answer["probability"] = _object({str(value): number for value in package.classes})
    return answer


def _explanation(package: Package) -> dict[str, Any]:
    change = {
        "type": "number",
        "format": "double",
        "description": "The prediction less that of the record with the reference."
        if not package.classes
        else "The probability of the predicted class less that of the record with the reference.",
    }
    feature = {"enum": [field.name for field in package.inputs]}
    reference = {"type": ["string", "number", "boolean", "null"], "description": "What replaced the feature."}
    return {
        "type": "array",
        "description": "The features that changed the score, the largest change first.",
        "maxItems": MAX_FEATURES,
        "items": _object({"feature": feature, "reference": reference, "change": change}),
    }


def _column(field: Field) -> dict[str, Any]:
    return dict(_TYPES[field.type])


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _error(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": _ref("Error")}}}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


_ERROR = {
    "type": "object",
    "properties": {
        "error": {"type": "string", "description": "What is wrong, in a sentence."},
        "faults": {
            "type": "array",
            "items": _object(
                {
                    "row": {"type": "integer", "description": "The record, counted from 0."},
                    "field": {"type": "string", "description": "The column; empty for the whole row."},
                    "found": {"type": "string"},
                    "expected": {"type": "string"},
                }
            ),
        },
    },
    "required": ["error"],
}

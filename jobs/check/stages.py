"""Which pyspark.ml stages an estimator() makes, read from its source, and whether each can become a function.

Making a stage takes a JVM, reading the code does not. Only calls that can be traced to an import from pyspark.ml are
judged, in estimator() and in what it calls of the same folder: the rest shows when it trains.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from penstock.findings import Finding
from penstock.runtimes import Kind

_ML = "pyspark.ml"
#: What holds stages and is none itself.
_HOLDERS = {"Pipeline", "PipelineModel"}


@dataclass(frozen=True)
class _Module:
    """A parsed file: its functions, and where each imported name comes from."""

    path: Path
    where: str
    functions: dict[str, ast.FunctionDef]
    names: dict[str, str]

    @classmethod
    def of(cls, tree: ast.Module, path: Path, where: str) -> _Module:
        functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        return cls(path, where, functions, _imported(tree))


def check(tree: ast.Module, path: Path, where: str, kind: Kind) -> list[Finding]:
    """An error for each stage in reach of estimator() that has no form in a function of that kind."""
    from jobs.bundle.check import fitted_name, supported

    known = supported(kind)
    found: dict[tuple[str, int], str] = {}
    for place, line, name in _stages(_Module.of(tree, path, where), "estimator", set()):
        if _is_stage(name) and fitted_name(name.rsplit(".", 1)[-1], kind) is None:
            found[place, line] = name.rsplit(".", 1)[-1]
    return [
        Finding(
            severity="error",
            where=f"{place}:{line}",
            message=f"the stage {stage} cannot become a function of the kind {kind}; supported are {', '.join(known)}",
            next_step="do this work in features(), or use one of the supported stages",
        )
        for (place, line), stage in found.items()
    ]


def _stages(module: _Module, function: str, seen: set[tuple[Path, str]]) -> Iterator[tuple[str, int, str]]:
    """File, line and full name of each pyspark.ml class that a function calls, through the folder's own functions."""
    node = module.functions.get(function)
    if node is None or (module.path, function) in seen:
        return
    seen.add((module.path, function))
    names = {**module.names, **_imported(node)}
    for call in (each for each in ast.walk(node) if isinstance(each, ast.Call)):
        full = _full_name(call.func, names)
        if full is None:
            continue
        if full.startswith(f"{_ML}."):
            yield module.where, call.lineno, full
        elif "." not in full:
            yield from _stages(module, full, seen)
        else:
            helper, _, name = full.rpartition(".")
            yield from _beside(module, helper, name, seen)


def _beside(
    module: _Module, helper: str, function: str, seen: set[tuple[Path, str]]
) -> Iterator[tuple[str, int, str]]:
    path = module.path.parent / f"{helper.replace('.', '/')}.py"
    if not path.is_file():
        return
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return  # the import says so
    where = f"{module.where.rsplit('/', 1)[0]}/{path.name}"
    yield from _stages(_Module.of(tree, path, where), function, seen)


def _imported(tree: ast.AST) -> dict[str, str]:
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {
                alias.asname or alias.name.split(".")[0]: alias.name
                if alias.asname
                else alias.name.split(".")[0]
                for alias in node.names
            }
    return names


def _full_name(node: ast.expr, names: dict[str, str]) -> str | None:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([names.get(node.id, node.id), *parts])


def _is_stage(name: str) -> bool:
    """Whether a full name is that of a pyspark.ml class that can stand in a pipeline, and is no pipeline itself."""
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError):
        return False  # a method such as Model.load; or a wrong name, which the import tells
    from pyspark.ml import Estimator, Transformer

    return (
        isinstance(found, type)
        and issubclass(found, Estimator | Transformer)
        and found.__name__ not in _HOLDERS
    )

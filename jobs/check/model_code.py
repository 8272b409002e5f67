"""A pipeline's model.py: that it is there, compiles, imports, and has the two functions in their form."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from jobs.check import imports, stages
from penstock import requirements
from penstock.errors import SpecError
from penstock.findings import Checked, Finding
from penstock.settings import Settings

#: The functions that a model.py must have, with their arguments.
FUNCTIONS = {"features": ("spark", "sources"), "estimator": ("params",)}
_GUIDE = "docs/pipeline.md says what they take and give"


def check(pipeline: Checked, here: Settings) -> list[Finding]:
    """What is wrong with the model code of a pipeline, as far as reading it can tell."""
    path = here.dags / pipeline.name / "model.py"
    where = f"dags/{pipeline.name}/model.py"
    if not path.is_file():
        return [_error(where, "there is no such file", f"write features() and estimator() in it; {_GUIDE}")]
    try:
        tree = ast.parse(path.read_bytes(), filename=where)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        return [
            _error(f"{where}:{line}" if line else where, f"it does not compile: {error}", "mend that line")
        ]
    if lacking := libraries(path.with_name(requirements.FILE), f"dags/{pipeline.name}/{requirements.FILE}"):
        return lacking
    return [
        *_signatures(tree, where),
        *imports.check(path, where),
        *stages.check(tree, path, where, pipeline.bundle),
    ]


def libraries(lock: Path, where: str) -> list[Finding]:
    """What a lock asks for and this environment lacks: without it the rest would only fail to import."""
    try:
        lacking = requirements.missing(lock)
    except SpecError as error:
        return [_error(where, error.message, error.next_step or "lock it")]
    return [_error(where, f"it asks for {each}", requirements.install(lock)) for each in lacking]


def _signatures(tree: ast.Module, where: str) -> Iterator[Finding]:
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    # A function may as well be imported from a file beside; then only running it tells its arguments.
    elsewhere = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    elsewhere |= {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for name, arguments in FUNCTIONS.items():
        expected = f"{name}({', '.join(arguments)})"
        if name in functions:
            if not _takes(functions[name].args, len(arguments)):
                found = f"{name}({ast.unparse(functions[name].args)})"
                yield _error(
                    f"{where}:{functions[name].lineno}",
                    f"it has {found}, expected {expected}",
                    f"take these arguments; {_GUIDE}",
                )
        elif name not in elsewhere:
            yield _error(where, f"it has no function {expected}", f"define it; {_GUIDE}")


def _takes(arguments: ast.arguments, count: int) -> bool:
    """Whether a call with so many positional arguments fits."""
    positional = len(arguments.posonlyargs) + len(arguments.args)
    required = positional - len(arguments.defaults)
    keyword_only = any(default is None for default in arguments.kw_defaults)
    return not keyword_only and required <= count and (count <= positional or arguments.vararg is not None)


def _error(where: str, message: str, next_step: str) -> Finding:
    return Finding(severity="error", where=where, message=message, next_step=next_step)

"""The reference part of docs/cli.md and the table of docs/exit-codes.md, from the code.

`python -m penstock.cli.reference` writes them; a test fails while they are stale.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from penstock.cli.schema import answer_schema
from penstock.errors import PenstockError

BEGIN = "<!-- from here on made by `python -m penstock.cli.reference` -->"


def commands() -> str:
    """Every command with its arguments, options and answer, as Markdown."""
    import typer

    from penstock.cli.main import app

    group: Any = typer.main.get_command(app)
    parts: dict[str, Any] = {}
    lines: list[str] = []
    for name, command in _commands(group):
        lines += [
            f"## penstock {name}",
            "",
            command.help,
            "",
            *_usage(name, command),
            "",
            *_answer(name, parts),
            "",
        ]
    lines += ["## Parts of answers", ""]
    for name in sorted(parts):
        lines += [f"### {name}", "", parts[name].get("description", ""), "", *_fields(parts[name]), ""]
    return "\n".join(lines).rstrip() + "\n"


def _commands(group: Any) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from ((f"{name} {own}", each) for own, each in _commands(command))
        else:
            yield name, command


def _usage(name: str, command: Any) -> Iterator[str]:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [
        each
        for each in command.params
        if each.param_type_name == "option" and not getattr(each, "hidden", False)
    ]
    words = [_word(each) for each in arguments]
    yield f"`penstock {' '.join([name, *words])} [OPTIONS]`"
    yield ""
    yield "| | |"
    yield "| --- | --- |"
    for each in arguments:
        yield f"| `{_word(each)}` | {_cell(each.help or '')} |"
    for each in options:
        default = (
            "" if each.default in (None, False, "") or each.name == "help" else f" Default: {each.default}."
        )
        yield f"| `{', '.join(each.opts)}` | {_cell(each.help or '')}{default if 'Default' not in (each.help or '') else ''} |"


def _word(argument: Any) -> str:
    word = argument.metavar or argument.name.upper()
    return word if argument.required or word.startswith("[") else f"[{word}]"


def _answer(name: str, parts: dict[str, Any]) -> Iterator[str]:
    schema = answer_schema(name)
    definitions = schema.get("$defs", {})
    if "anyOf" in schema:
        names = [each["$ref"].rsplit("/", 1)[-1] for each in schema["anyOf"]]
        parts |= definitions
        yield f"Answer: {' or '.join(_link(each) for each in names)}."
        return
    parts |= definitions
    yield f"Answer: {schema.get('description', '')}"
    if schema.get("properties"):
        yield ""
        yield from _fields(schema)


def _fields(schema: dict[str, Any]) -> Iterator[str]:
    yield "| field | type | |"
    yield "| --- | --- | --- |"
    for name, field in schema.get("properties", {}).items():
        yield f"| `{name}` | {_type(field)} | {_cell(field.get('description', ''))} |"


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return _link(field["$ref"].rsplit("/", 1)[-1])
    if "anyOf" in field:
        return " or ".join(_type(each) for each in field["anyOf"])
    if "enum" in field:
        return " ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}))}"
    return str(field.get("format", field.get("type", "any JSON")))


def _link(name: str) -> str:
    return f"[{name}](#{name.lower()})"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def exit_codes() -> str:
    """The kinds of failure by exit status, as a Markdown table: penstock.errors' tree, from its docstrings."""
    rows = ["| exit | kind | what it means |", "| --- | --- | --- |"]
    for kind in sorted(_core(), key=lambda error: (error.exit_code, error.kind)):
        meaning = (kind.__doc__ or "").split("\n\n")[0]
        rows.append(f"| {kind.exit_code} | `{kind.kind}` | {_cell(meaning)} |")
    return "\n".join(rows) + "\n"


def _core() -> set[type[PenstockError]]:
    import penstock.airflow_client
    import penstock.host.errors
    import penstock.host.manifest
    import penstock.processes
    import penstock.targets  # noqa: F401 - their errors join the tree

    found: set[type[PenstockError]] = set()
    left = {PenstockError}
    while left:
        kind = left.pop()
        found.add(kind)
        left |= set(kind.__subclasses__())
    own = {each for each in found if each.__module__.startswith("penstock.")}
    return {each for each in own if "kind" in vars(each)}


def pages(docs: Path) -> dict[Path, str]:
    """The pages with their reference part renewed."""
    made = {"cli.md": commands(), "exit-codes.md": exit_codes()}
    return {
        docs / name: f"{(docs / name).read_text(encoding='utf-8').split(BEGIN)[0]}{BEGIN}\n\n{text}"
        for name, text in made.items()
    }


if __name__ == "__main__":
    from penstock.settings import find_root

    for path, text in pages(find_root() / "docs").items():
        path.write_text(text, encoding="utf-8")

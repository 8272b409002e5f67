"""`penstock init`: a runnable pipeline, over data of its own or a CSV of yours."""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli import project
from penstock.cli.answers import InitAnswer
from penstock.cli.command import command
from penstock.errors import PenstockError
from penstock.spec.metrics import Task
from penstock.spec.sources import NAME

if TYPE_CHECKING:
    from rich.console import Console

    from penstock.cli.columns import Table
    from penstock.cli.plan import Plan
    from penstock.settings import Settings


def add_to(app: typer.Typer) -> None:
    command(app, "init", show)(init)


def init(
    name: Annotated[str, typer.Argument(help="The new pipeline: lower-case letters, digits and _.")],
    csv: Annotated[
        Path | None, typer.Option(help="A CSV with a header to learn from; it stays where it is.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="With --csv: the column to predict.")] = None,
    time: Annotated[
        str | None, typer.Option(help="With --csv: the column of times. Default: the only one.")
    ] = None,
    id: Annotated[
        str | None,
        typer.Option(help="With --csv: the column that names a row. Default: the first unique one."),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="With --csv: binary, multiclass or regression. Default: by the label.")
    ] = None,
) -> InitAnswer:
    """Write a new pipeline that runs at once: its declaration, its model code, a suite of expectations."""
    from penstock.cli import columns, example, from_csv

    here = project.settings()
    _check_name(name, here)
    given = {"--label": label, "--time": time, "--id": id, "--task": task}
    if csv is None:
        if extra := [option for option, value in given.items() if value is not None]:
            raise PenstockError(
                f"{', '.join(extra)} says something of a CSV, and --csv is not given",
                next_step="add --csv FILE",
            )
        made = example.plan(name)
        contents = {f"data/{name}/{file}": text for file, text in example.files(name)}
        contents[_suite_path(made)] = _suite(_example_expectations())
    else:
        if label is None:
            raise PenstockError("--csv needs --label: the column to predict", next_step="name it by --label")
        table = columns.read(csv)
        made = from_csv.plan(name, table, _uri(csv, here), label=label, time=time, id=id, task=_task(task))
        contents = {_suite_path(made): _suite(_expectations(made, table))}
    contents |= {
        f"dags/{name}/{file}": _render(f"{file}.jinja", made) for file in ("model.py", "pipeline.py")
    }
    _write(contents, here.root)
    return InitAnswer(pipeline=name, task=made.task, files=sorted(contents))


def _check_name(name: str, here: Settings) -> None:
    if not re.fullmatch(NAME, name):
        raise PenstockError(
            f"{name!r} cannot be a pipeline's name: expected lower-case letters, digits and _, beginning with a letter",
            next_step="choose another",
        )
    for folder in (here.dags / name, here.expectations / name, here.root / "data" / name):
        if folder.exists():
            raise PenstockError(
                f"{folder} is there already, and nothing is overwritten",
                next_step="choose another name, or move it away",
            )


def _task(text: str | None) -> Task | None:
    tasks: dict[str, Task] = {"binary": "binary", "multiclass": "multiclass", "regression": "regression"}
    if text is not None and text not in tasks:
        raise PenstockError(
            f"--task is {text!r}: expected {', '.join(tasks)}", next_step="choose one of these"
        )
    return None if text is None else tasks[text]


def _uri(csv: Path, here: Settings) -> str:
    path = csv.resolve()
    if signs := sorted(set("*?[{") & set(str(path))):
        raise PenstockError(
            f"{path} cannot be a source: a uri is a pattern, in which {' '.join(signs)} means something else",
            next_step="rename the file or its folder",
        )
    return path.relative_to(here.root).as_posix() if here.root in path.parents else str(path)


def _render(template: str, plan: Plan) -> str:
    import jinja2

    from penstock.cli.plan import literal

    folder = Path(__file__).parent / "templates"
    environment = jinja2.Environment(  # noqa: S701 - Python code, no HTML
        loader=jinja2.FileSystemLoader(folder), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    environment.filters["py"] = literal
    return environment.get_template(template).render(plan=plan)


def _write(contents: Mapping[str, str], root: Path) -> None:
    """Write files below new folders, all or none: each folder is made aside, and moved to its place when all are whole.

    dags/ comes last, so that nobody sees a pipeline whose suite or data is not there yet.
    """
    aside = root / f".init-{uuid.uuid4().hex[:8]}"
    folders = sorted(
        {"/".join(path.split("/")[:2]) for path in contents}, key=lambda path: path.startswith("dags/")
    )
    moved: list[Path] = []
    try:
        for path, text in contents.items():
            (aside / path).parent.mkdir(parents=True, exist_ok=True)
            (aside / path).write_text(text, encoding="utf-8")
        for folder in folders:
            target = root / folder
            target.parent.mkdir(exist_ok=True)
            (aside / folder).rename(target)
            moved.append(target)
    except OSError as error:
        for target in moved:
            shutil.rmtree(target)
        raise PenstockError(
            f"cannot write {error.filename}: {error.strerror}; nothing is left of it",
            next_step="free space or rights in the project's folder, then try again",
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


# -- suites ---------------------------------------------------------------------------------------------------


def _suite_path(plan: Plan) -> str:
    return f"expectations/{plan.name}/{plan.source}.json"


def _suite(expectations: Iterator[dict[str, Any]]) -> str:
    return (
        json.dumps({"name": "starter", "expectations": list(expectations)}, indent=2, ensure_ascii=False)
        + "\n"
    )


def _expectation(type_: str, severity: str, **kwargs: object) -> dict[str, Any]:
    return {"type": f"expect_{type_}", "kwargs": kwargs, "severity": severity}


def _example_expectations() -> Iterator[dict[str, Any]]:
    yield _expectation("table_row_count_to_be_between", "critical", min_value=100)
    for name in ("parcel", "handed_over", "carrier", "late"):
        yield _expectation("column_values_to_not_be_null", "critical", column=name)
    yield _expectation("column_values_to_be_unique", "critical", column="parcel")
    yield _expectation(
        "column_values_to_be_in_set", "critical", column="carrier", value_set=["budget", "city", "swift"]
    )
    yield _expectation("column_values_to_be_between", "critical", column="distance_km", min_value=0)
    yield _expectation("column_values_to_not_be_null", "warning", column="weight_kg", mostly=0.8)


def _expectations(plan: Plan, table: Table) -> Iterator[dict[str, Any]]:
    """What the file shows today, less what may well change: a start to be sharpened by who knows the data."""
    yield _expectation("table_row_count_to_be_between", "critical", min_value=1)
    for column in table.columns:
        if column.name in (plan.id, plan.time) or (column.name == plan.label and not column.nulls):
            yield _expectation("column_values_to_not_be_null", "critical", column=column.name)
        elif not column.nulls and column.name in (*plan.categories, *plan.numbers):
            yield _expectation("column_values_to_not_be_null", "warning", column=column.name, mostly=0.95)
        if column.name == plan.id:
            yield _expectation("column_values_to_be_unique", "critical", column=column.name)
        if (
            column.name in plan.categories
            and column.type == "string"
            and column.values
            and len(column.values) <= 20
        ):
            yield _expectation(
                "column_values_to_be_in_set",
                "warning",
                column=column.name,
                value_set=sorted(column.values),
                mostly=0.95,
            )


# -- for people -----------------------------------------------------------------------------------------------


def show(answer: InitAnswer, console: Console) -> None:
    data = [file for file in answer.files if file.startswith("data/")]
    for file in answer.files:
        if file not in data:
            console.print(file)
    if data:
        console.print(f"{data[0].rsplit('/', 1)[0]}/ ({len(data)} files)")
    console.print(f"next: penstock check {answer.pipeline}, then penstock run {answer.pipeline}")

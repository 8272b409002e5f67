"""The job contract: read a request, do each item once, commit it, answer with an outcome.

`python -m jobs.<stage> --request FILE --outcome FILE`. An item whose key has a result is not done again. An
attempt writes below its own folder and is committed last, so a job that dies leaves nothing that anyone reads.
"""

from __future__ import annotations

import argparse
import errno
import os
import shutil
import sys
import tempfile
import time
import traceback
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Literal

import fsspec

from penstock import durable, keys, settings, steps
from penstock.errors import KeyMismatch, PenstockError, StoreError
from penstock.results import GateResult, StageResult
from penstock.settings import Settings
from penstock.stages import code_digest, folder_digest
from penstock.store import Store
from penstock.work import Item, Outcome, Request


@dataclass(frozen=True)
class Work:
    """One item, and where its output goes: `folder` is the attempt's path relative to the store."""

    request: Request
    item: Item
    store: Store
    settings: Settings
    folder: str
    scratch: Path

    @property
    def spec(self) -> dict[str, Any]:
        """The part of the spec that the stage reads."""
        return self.item.spec

    def writing(self, name: str) -> AbstractContextManager[Path]:
        """A local path to write an output to; when the block ends it is in the attempt's folder."""
        return self.store.writing(f"{self.folder}/{name}", self.scratch)

    def put(self, local: Path, name: str) -> None:
        """Copy a local file or folder into the attempt's folder."""
        self.store.put(local, f"{self.folder}/{name}")

    def open(self, name: str, part: str) -> AbstractContextManager[IO[bytes]]:
        """A file of the input called `name`, to read some of it where it lies."""
        return self.store.open(f"{self.item.inputs[name].path}/{part}")

    def fetch(self, name: str, part: str) -> Path:
        """A local path with a part (file or folder) of the input called `name`."""
        return self.store.fetch(f"{self.item.inputs[name].path}/{part}", self.scratch)


@dataclass(frozen=True)
class Done:
    """What a stage's function returns: the content digest of its output and what to say of it."""

    digest: str
    outputs: list[str]
    summary: dict[str, Any] = field(default_factory=dict)
    gates: list[GateResult] = field(default_factory=list)
    state: Literal["ran", "refused", "skipped"] = "ran"


def main(stage: str, run: Callable[[Work], Done]) -> None:
    """Run a stage's process and exit with its status; `run` does one item."""
    serve(stage, lambda request: _do(stage, request, run))


def serve(name: str, do: Callable[[Request], None]) -> None:
    """Run the process of job `name`: `do` a request, and write how it ended."""
    parser = argparse.ArgumentParser(prog=f"python -m jobs.{name}")
    parser.add_argument(
        "--request", required=True, help="the request, a JSON file (penstock.work): a path or URI"
    )
    parser.add_argument("--outcome", required=True, help="where the outcome is written: a path or URI")
    arguments = parser.parse_args()
    try:
        with fsspec.open(arguments.request, "rb") as file:
            request = Request.model_validate_json(file.read())
        do(request)
        _answer(arguments.outcome, Outcome(state="done"))
    except PenstockError as error:
        _fail(arguments.outcome, error)
    except OSError as error:
        if not durable.no_room(error) and error.errno != errno.EROFS:
            raise
        _fail(arguments.outcome, durable.not_written(error))


def _do(stage: str, request: Request, run: Callable[[Work], Done]) -> None:
    here = settings.load()
    store = Store(here.store)
    store.open_format()
    code = code_digest(here.root, stage)
    environment = keys.environment_digest(here.root)
    assert request.stage == stage, f"a request for {request.stage} was given to jobs.{stage}"
    for item in request.items:
        _check_key(stage, item, code, environment)
        _check_files(request, item, here)
        if store.result(request.pipeline, stage, item.key) is not None:
            print(f"{stage} {item.subject or request.pipeline}: {item.key[:12]} is there already", flush=True)
            continue
        _attempt(stage, request, item, store, here, run, {"code": code, "environment": environment})


def _attempt(
    stage: str,
    request: Request,
    item: Item,
    store: Store,
    here: Settings,
    run: Callable[[Work], Done],
    digests: dict[str, str],
) -> None:
    attempt = uuid.uuid4().hex[:12]
    folder = f"{request.pipeline}/{stage}/{item.key}/{attempt}"
    temporary = here.var / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f"{stage}-", dir=temporary))
    started, clock = datetime.now(UTC), time.monotonic()
    print(f"{stage} {item.subject or request.pipeline}: key {item.key[:12]}, attempt {attempt}", flush=True)
    try:
        done = run(Work(request, item, store, here, folder, scratch))
        store.commit(
            StageResult(
                pipeline=request.pipeline,
                stage=stage,
                subject=item.subject,
                key=item.key,
                attempt=attempt,
                digest=done.digest,
                state=done.state,
                outputs=done.outputs,
                spec=item.spec,
                summary=done.summary,
                gates=done.gates,
                inputs=item.inputs,
                salt=item.salt,
                started=started.isoformat(),
                seconds=round(time.monotonic() - clock, 3),
                made_by={**digests, "run": request.run},
            )
        )
    except BaseException as error:
        full = not durable.has_room(scratch)
        # A failed attempt is garbage; a killed one is removed by `penstock gc`.
        store.remove(folder)
        if full and isinstance(error, Exception) and not isinstance(error, StoreError | OSError):
            # A library that could not unpack itself says what it then lacked, and not why.
            raise durable.full(str(error)) from error
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _check_key(stage: str, item: Item, code: str, environment: str) -> None:
    own = Item.make(
        stage,
        subject=item.subject,
        spec=item.spec,
        inputs=item.inputs,
        salt=item.salt,
        code=code,
        environment=environment,
    )
    if own.key != item.key:
        raise KeyMismatch(
            f"{stage} was asked for key {item.key[:12]}, but the code and environment here give {own.key[:12]}",
            next_step="the code changed after the run was planned: start the run again",
        )


def _check_files(request: Request, item: Item, here: Settings) -> None:
    """The files that an item names by digest must be those here: an image may be another than the plan knew."""
    found = {
        "folder": lambda given: folder_digest(here.dags, request.pipeline),
        "suite": lambda given: keys.digest_bytes((here.root / given.path).read_bytes()),
    }
    for name, given in item.inputs.items():
        if step := steps.named(name):
            own = steps.digest(here.steps, step)
        elif name in found:
            own = found[name](given)
        else:
            continue
        if own != given.digest:
            raise KeyMismatch(
                f"{request.stage} was planned for another {given.path or f'dags/{request.pipeline}'} than is here",
                next_step="the files changed after the run was planned: start the run again",
            )


def _fail(outcome: str, error: PenstockError) -> None:
    if os.environ.get("PENSTOCK_DEBUG"):
        traceback.print_exc()
    print(f"error: {error}", file=sys.stderr, flush=True)
    answer = Outcome(
        state="failed",
        kind=error.kind,
        message=error.message,
        next_step=error.next_step,
        exit_code=error.exit_code,
    )
    with suppress(OSError):  # on a full disk the log and the exit status say it alone
        _answer(outcome, answer)
    sys.exit(error.exit_code)


def _answer(outcome: str, answer: Outcome) -> None:
    data = answer.model_dump_json().encode()
    if "://" not in outcome:
        durable.write_atomic(Path(outcome), data)
        return
    with fsspec.open(outcome, "wb") as file:  # object storage shows a file whole or not at all
        file.write(data)

"""What every protocol shares: the model that answers (or why none does yet), and a body turned into an answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import orjson

from penstock_function.batching import Batches
from penstock_function.explanation import Explainer, hindrance
from penstock_function.metrics import Metrics
from penstock_function.package import Package, PackageError
from penstock_function.prediction_log import PredictionLog
from penstock_function.prediction_log import Row as LoggedRow
from penstock_function.records import Fault, InputError, Row, describe
from penstock_function.scorer import Scorer
from penstock_function.steps import Records, Steps

if TYPE_CHECKING:
    from nacl.signing import VerifyKey

T = TypeVar("T")
Body = bytes | bytearray
#: As Steps.around is called.
Around = Callable[[Records, Callable[[Records], list[dict[str, Any]]]], tuple[Records, list[dict[str, Any]]]]

# A body of 64 KiB (some 250 records) is parsed, scored and written in under a millisecond, and a hop to a
# thread costs a tenth of that and a place in its queue: such bodies are scored where they arrive. Larger
# ones would hold up every other request, so they go to a thread; the scoring itself releases the GIL.
INLINE_BODY = 64 * 2**10

# In a request: short ones, with their answers, take far more memory as Python's objects than as JSON.
MAX_RECORDS = 100_000

# How many of those may be in work or wait for it: as parsed JSON they take up to 200 MB each, and the last of them
# waits some seconds.
MAX_LARGE = 4

# A user's steps may take long, or wait: they never hold up the event loop. So many small requests may be at them.
MAX_STEPPED = 64

# Until one of all those is answered, its wait for its turn included.
ANSWER_SECONDS = 60.0

# Nobody can end a thread: one that is at a request for so long will hardly come back, and those that waited behind it have been
# told so.
STUCK_SECONDS = 90.0

VERSION_HEADER = b"x-penstock-version"
_EXPECTED = 'one record (a JSON object), an array of records, or {"records": [...]}'


class Refusal(Exception):
    """A request that gets no answer: the HTTP status, a kind for the metrics, a sentence, the faults.

    `retry_after` is in seconds, where trying again then may help.
    """

    def __init__(
        self, status: int, kind: str, error: str, faults: Sequence[Fault] = (), retry_after: int | None = None
    ) -> None:
        super().__init__(error)
        self.status = status
        self.kind = kind
        self.faults = list(faults)
        self.retry_after = retry_after

    def body(self) -> dict[str, Any]:
        """The JSON that the client gets; `faults` only where there are some."""
        return {"error": str(self), "faults": self.faults} if self.faults else {"error": str(self)}


class Lane:
    """A thread that takes one request after another."""

    def __init__(self) -> None:
        # One thread: scoring two bodies at once would only make both late.
        self.thread = ThreadPoolExecutor(1, "score")
        self.in_work = 0
        self._began: float | None = None

    @property
    def lasts(self) -> float:
        """For how many seconds it has been at the request that it is at."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    async def run(self, function: Callable[[Body], T], body: Body, limit: int) -> T:
        """`function(body)` in its turn.

        Raises:
            Refusal: 503 where `limit` requests are in work or wait for it, 504 where it is not done after ANSWER_SECONDS.
        """
        if self.in_work >= limit:
            sentence = f"{limit} such requests are in work already: try again"
            raise Refusal(503, "busy", sentence, retry_after=1)
        self.in_work += 1
        working = asyncio.get_running_loop().run_in_executor(self.thread, self._work, function, body)
        # A caller that gives up leaves its body in the thread's queue: its place is free once the thread has had it.
        working.add_done_callback(self._worked)
        done, _ = await asyncio.wait({working}, timeout=ANSWER_SECONDS)
        if not done:
            raise Refusal(504, "slow", f"there was no answer within {ANSWER_SECONDS:g} s")
        return working.result()

    def _work(self, function: Callable[[Body], T], body: Body) -> T:
        self._began = time.monotonic()
        try:
            return function(body)
        finally:
            self._began = None

    def _worked(self, working: asyncio.Future[Any]) -> None:
        self.in_work -= 1
        if not working.cancelled():
            working.exception()  # told to whoever still waits, else to nobody


class Scored(NamedTuple):
    """The answers to the records of a request, and the rows that are logged of them once it is answered."""

    answers: list[dict[str, Any]]
    rows: list[LoggedRow]


class Service:
    """One function: at first without a model, then serving one proven package for the rest of its life.

    `keys`: those one of which must have signed what it is given to load; none where anything may be loaded.
    Where a package asks for a prediction log, it is written into the folder `spool`, if there is one; with `log_key`
    sensitive columns are hashed, and left out otherwise.
    """

    def __init__(
        self, keys: Sequence[VerifyKey] = (), spool: Path | None = None, log_key: str | None = None
    ) -> None:
        self.keys = keys
        self._spool = spool
        self._log_key = log_key
        self._log: PredictionLog | None = None
        self._large, self._stepped = Lane(), Lane()
        self.metrics = Metrics(lambda: self._large.in_work)
        self.reason = "no package yet: waiting for POST /init"
        self._scorer: Scorer | None = None
        # The same where no step stands around the model: the usual request then has a shorter way.
        self._plain: Scorer | None = None
        self._steps: Steps | None = None
        self._explainer: Explainer | None = None
        self._names: dict[str, Any] = {}
        self._wraps = True
        self.headers: list[tuple[bytes, bytes]] = []
        #: Rows of requests that need no more than the model; what an answer is made of, `told` says.
        self.batches: Batches[Row, dict[str, Any] | None] = Batches(self._score_batch)

    @property
    def package(self) -> Package | None:
        """The package that answers, None until one has proved itself."""
        return None if self._scorer is None else self._scorer.package

    @property
    def stuck(self) -> bool:
        """Whether requests are worked on no more, as one has been for more than STUCK_SECONDS."""
        return max(self._large.lasts, self._stepped.lasts) > STUCK_SECONDS

    def served(self) -> Package:
        """The package that answers.

        Raises:
            Refusal: 503 while there is none.
        """
        if self._scorer is None:
            raise Refusal(503, "not_ready", f"the function is not ready: {self.reason}")
        return self._scorer.package

    @property
    def steps(self) -> Steps:
        """What stands around the model of the package that answers: it says what the function takes and gives.

        Raises:
            Refusal: 503 while there is none.
        """
        self.served()
        assert self._steps is not None
        return self._steps

    def serve(self, package: Package) -> None:
        """Prove `package`, then answer with it.

        Raises:
            PackageError: it cannot be loaded or does not give its samples' answers; `reason` says it too.
        """
        try:
            scorer = Scorer(package)
            scorer.prove()
            steps = Steps(package)
            explainer = Explainer(scorer) if hindrance(package) is None else None
        except PackageError as error:
            self.reason = str(error)
            raise
        self._names = {"name": package.name, "version": package.version}
        # A function may take a column of that name; then an object is always one record.
        self._wraps = all(field.name != "records" for field in steps.inputs)
        self.headers = [(VERSION_HEADER, package.version.encode("ascii"))]
        self.metrics.serves(package)
        if package.log is not None and self._spool is not None:
            self._log = PredictionLog(package, self._spool, self._log_key, self.metrics)
        self._steps, self._explainer = steps, explainer
        self._plain = scorer if steps.alone else None
        self._scorer = scorer

    def log(self, rows: Sequence[LoggedRow], request: str | None, seconds: float) -> None:
        """Log rows of a request that has been answered (PredictionLog.write)."""
        assert self._log is not None
        self._log.write(rows, request, seconds)

    def close(self) -> None:
        """Write out what is logged: nothing more is answered."""
        if self._log is not None:
            self._log.close()

    def predict(self, value: Any, around: Around | None = None) -> tuple[dict[str, Any], list[LoggedRow]]:
        """The answer to a parsed body, one record or many, and what is logged of it.

        `around` stands in the place of Steps.around, for a model whose steps run elsewhere.

        Raises:
            Refusal: 422 when the records do not fit the model, 503 when there is no model yet.
        """
        self.served()
        if self._is_record(value):
            answers, rows = self.score([value], around)
            return self._one(answers), rows
        answers, rows = self.score(records_of(value), around)
        return self._many(answers), rows

    def explain(self, value: Any, around: Around | None = None) -> tuple[dict[str, Any], list[LoggedRow]]:
        """As `predict`, of one record alone, and under `explanation` what moved it (Explainer.explain).

        Raises:
            Refusal: 422 for anything but one record that fits the model, or where the model is not one to be explained;
                503 when there is no model yet.
        """
        package = self.served()
        if self._explainer is None:
            raise Refusal(422, "input", f"answers of {package.name} are not explained: {hindrance(package)}")
        if not self._is_record(value):
            raise _misshapen(
                describe(value), "one record (a JSON object), as answers are explained one by one"
            )
        records, answers = self._answered([value], around)
        explanation = self._explainer.explain(records[0])
        answers, rows = self._scored(records, answers)
        return {**self._one(answers), "explanation": explanation}, rows

    async def work(self, function: Callable[[Body], T], body: Body, times: int = 1) -> T:
        """`function(body)`, on a thread if it would hold up the event loop: if the body is large, or is scored many `times`, or
        goes through steps.

        Raises:
            Refusal: 503 while too many of those are in work or wait, 504 where it takes too long; and what `function` raises.
        """
        if len(body) * times > INLINE_BODY:
            return await self._large.run(function, body, MAX_LARGE)
        if self._plain is None:
            return await self._stepped.run(function, body, MAX_STEPPED)
        return function(body)

    async def answer(self, body: Body) -> tuple[bytes, list[LoggedRow]]:
        """As `predict`, from JSON to JSON: one small record in a batch with those that others sent, a large body on a thread.

        Raises:
            Refusal: also 400 when the body is not JSON.
        """
        if (row := self.row_in(body)) is None:
            return await self.work(self.predict_json, body)
        return self.told(body, await self.batches.answer(row))

    def row_in(self, body: Body) -> Row | None:
        """The row of a small body, for `batches`; None where it is no usual record, or needs more than the model."""
        return None if self._plain is None or len(body) > INLINE_BODY else self._plain.read(body)

    def told(self, body: Body, answer: dict[str, Any] | None) -> tuple[bytes, list[LoggedRow]]:
        """As `predict_json`, once the body's row was scored in a batch.

        Raises:
            Refusal: as `predict_json` does, for a row that has no answer.
        """
        return self.predict_json(body) if answer is None else self._to_json(body, [answer])

    def _score_batch(self, rows: Sequence[Row]) -> list[dict[str, Any] | None]:
        self.metrics.batched(len(rows))
        assert self._plain is not None
        try:
            return self._plain.score_rows(rows)
        except Exception:  # whose row it was comes out where each is scored alone
            return [None] * len(rows)

    def predict_json(self, body: Body) -> tuple[bytes, list[LoggedRow]]:
        """As `predict`, from JSON to JSON.

        Raises:
            Refusal: also 400 when the body is not JSON.
        """
        # Each record has a brace: where there are too many of them, the records are parsed and counted.
        few = len(body) <= MAX_RECORDS or body.count(b"{") <= MAX_RECORDS
        answers = self._plain.score_json(body) if few and self._plain is not None else None
        if answers is None:
            answer, rows = self.predict(parse(body))
            return orjson.dumps(answer), rows
        return self._to_json(body, answers)

    def _to_json(self, body: Body, answers: list[dict[str, Any]]) -> tuple[bytes, list[LoggedRow]]:
        self.metrics.scored(answers)
        many = body[:1] == b"["
        # Of such a body the records are only looked at where some of them are logged.
        rows = [] if self._log is None else self._log.sample(lambda: _records(body, many), answers)
        return orjson.dumps(self._many(answers) if many else self._one(answers)), rows

    def explain_json(self, body: Body) -> tuple[bytes, list[LoggedRow]]:
        """As `explain`, from JSON to JSON.

        Raises:
            Refusal: also 400 when the body is not JSON.
        """
        answer, rows = self.explain(parse(body))
        return orjson.dumps(answer), rows

    def _is_record(self, value: Any) -> bool:
        return isinstance(value, dict) and not (self._wraps and "records" in value)

    def _one(self, answers: list[dict[str, Any]]) -> dict[str, Any]:
        return {**self._names, **answers[0]}

    def _many(self, answers: list[dict[str, Any]]) -> dict[str, Any]:
        return {**self._names, "predictions": answers}

    def score(self, records: Sequence[Mapping[str, Any]], around: Around | None = None) -> Scored:
        """The answer to each of one or more records (Steps.around), once there is a model; and what is logged of them.

        Raises:
            Refusal: 422 when the records do not fit the function, 413 when they are more than MAX_RECORDS.
            StepError: a step failed.
        """
        return self._scored(*self._answered(records, around))

    async def score_together(self, records: Sequence[Mapping[str, Any]]) -> Scored:
        """As `score`, where no step stands around the model: one record alone in a batch with those that others sent.

        Raises:
            Refusal: as `score` does.
        """
        assert self._plain is not None
        if len(records) == 1 and (row := self._plain.row(records[0])) is not None:
            answer = await self.batches.answer(row)
            if answer is not None:
                return self._scored(records, [answer])
        return self.score(records)

    def _answered(
        self, records: Sequence[Mapping[str, Any]], around: Around | None
    ) -> tuple[Records, list[dict[str, Any]]]:
        """The model's records of a request's, and the answers."""
        assert self._scorer is not None
        assert self._steps is not None
        check_count(len(records))
        try:
            return (around or self._steps.around)(records, self._scorer.score)
        except InputError as error:
            raise unfit(error) from error

    def _scored(self, records: Sequence[Mapping[str, Any]], answers: list[dict[str, Any]]) -> Scored:
        self.metrics.scored(answers)
        return Scored(answers, [] if self._log is None else self._log.sample(lambda: records, answers))


def records_of(value: Any) -> list[Any]:
    """The records of a body with many of them, an array or an object that holds it. Raises Refusal (422)."""
    if isinstance(value, dict):
        others = [name for name in value if name != "records"]
        if others:
            raise _misshapen(f"the field {others[0]!r:.60} beside `records`", "`records` alone")
        value = value["records"]
    if not isinstance(value, list):
        raise _misshapen(describe(value), _EXPECTED)
    if not value:
        raise _misshapen("an empty array", "at least one record")
    return value


def unfit(error: InputError) -> Refusal:
    """What a caller is told of records that do not fit."""
    return Refusal(422, "input", str(error), error.faults)


def parse(body: Body) -> Any:
    """The JSON value of a body.

    Raises:
        Refusal: 400 with the place of the first thing that is not JSON.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if not body:
            raise Refusal(400, "json", f"the body is empty, expected {_EXPECTED}") from error
        hint = "; NaN and Infinity are not JSON, send null" if b"NaN" in body or b"Infinity" in body else ""
        raise Refusal(400, "json", f"the body is not JSON: {error}{hint}") from error


def check_count(records: int) -> None:
    """Refuse more than MAX_RECORDS. Raises Refusal (413)."""
    if records > MAX_RECORDS:
        raise Refusal(
            413, "size", f"there are {records} records, at most {MAX_RECORDS} are scored in one request"
        )


def _records(body: Body, many: bool) -> list[Any]:
    value = parse(body)
    return list(value) if many else [value]


def _misshapen(found: str, expected: str) -> Refusal:
    fault: Fault = {"row": 0, "field": "", "found": found, "expected": expected}
    return Refusal(
        422, "input", f"the body is not what the model reads: found {found}, expected {expected}", [fault]
    )

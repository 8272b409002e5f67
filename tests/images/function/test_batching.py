"""Requests at once: scored together, answered each for itself, whatever else came with them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock_function.app import build
from penstock_function.batching import MAX_BATCH, Batches
from tests.images.function.conftest import CARRIERS, Client
from tests.images.function.test_open_inference import INFER, tensors

#: What makes a record one that must be looked at alone, with the status that it then gets.
ODD = [
    ({"carrier": "nobody"}, 422),
    ({"distance": "far"}, 422),
    ({"month": 2**31}, 422),
    ({"seats": 2.0}, 200),
    ({"distance": None}, 200),
]


def at_once(client: Client, bodies: Sequence[Any], path: str = "/predict") -> list[httpx.Response]:
    """The answers to requests that arrive together."""

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(build(client.service))
        async with httpx.AsyncClient(transport=transport, base_url="http://function", timeout=60) as caller:
            return list(await asyncio.gather(*(caller.post(path, json=body) for body in bodies)))

    return asyncio.run(ask())


def batches(client: Client) -> tuple[int, int]:
    """How many there were, and of how many requests in all."""
    text = client.get("/metrics").text
    count, total = (re.search(rf"penstock_batch_requests_{name} (\d+)", text) for name in ("count", "sum"))
    assert count is not None
    assert total is not None
    return int(count[1]), int(total[1])


def test_requests_at_once_share_a_batch(client: Any, right: dict[str, Any]) -> None:
    """Two hundred requests take far fewer batches, and each gets the answer that it gets alone."""
    records = [
        {**right, "distance": float(number), "carrier": list(CARRIERS)[number % 3]} for number in range(200)
    ]
    together = at_once(client, records)
    count, total = batches(client)
    assert total == 200
    assert count < 100
    assert [each.json() for each in together] == [
        client.post("/predict", json=record).json() for record in records
    ]
    assert "penstock_rows_count 400.0" in client.get("/metrics").text


def test_tensors_of_one_row_share_a_batch(client: Any, right: dict[str, Any]) -> None:
    """By the Open Inference Protocol too; what the model refuses among them harms no other."""
    records = [
        {**right, "carrier": [*CARRIERS, "nobody"][number % 4], "distance": number / 7}
        for number in range(100)
    ]
    requests = [{"id": str(number), "inputs": tensors([record])} for number, record in enumerate(records)]
    together = at_once(client, requests, INFER)
    count, total = batches(client)
    assert total == 100
    assert count < 50
    assert [each.status_code for each in together] == [200, 200, 200, 400] * 25
    assert [each.json() for each in together] == [client.post(INFER, json=each).json() for each in requests]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.sampled_from([({}, 200), *ODD]), min_size=2, max_size=20))
def test_an_odd_record_harms_no_other(
    client: Any, right: dict[str, Any], changes: list[tuple[dict[str, Any], int]]
) -> None:
    """Whichever of them cannot be answered, or only by a closer look: each ends as it does alone."""
    records = [{**right, **change} for change, _ in changes]
    together = at_once(client, records)
    assert [each.status_code for each in together] == [status for _, status in changes]
    assert [each.json() for each in together] == [
        client.post("/predict", json=record).json() for record in records
    ]


def test_a_batch_that_fails_is_scored_one_by_one(
    client: Any, right: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One row that the model cannot take costs the others time and nothing else."""
    scorer = client.service._scorer
    answer_of = scorer.answer

    def fails_on(columns: Any) -> Any:
        if 13.0 in columns["distance"]:
            raise RuntimeError("the graph broke")
        return answer_of(columns)

    monkeypatch.setattr(scorer, "answer", fails_on)
    together = at_once(client, [{**right, "distance": float(number)} for number in range(10, 20)])
    assert [each.status_code for each in together] == [
        500 if number == 13 else 200 for number in range(10, 20)
    ]


def test_a_batch_is_bounded() -> None:
    """More than MAX_BATCH that wait are scored in turns, in the order in which they came."""
    seen: list[list[int]] = []

    def score(rows: Sequence[int]) -> list[int]:
        seen.append(list(rows))
        return [row * row for row in rows]

    async def ask() -> list[int]:
        made = Batches(score)
        return await asyncio.gather(*(made.answer(number) for number in range(2 * MAX_BATCH + 1)))

    assert asyncio.run(ask()) == [number * number for number in range(2 * MAX_BATCH + 1)]
    assert [len(batch) for batch in seen] == [MAX_BATCH, MAX_BATCH, 1]
    assert [row for batch in seen for row in batch] == list(range(2 * MAX_BATCH + 1))


def test_an_answer_that_cannot_be_given_harms_no_other() -> None:
    """The rest of its batch has theirs, and it is told."""

    async def ask() -> tuple[int, list[dict[str, Any]]]:
        told: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: told.append(what))
        made = Batches(lambda rows: [row + 1 for row in rows])
        made.add(0, lambda answer: [][answer])
        return await made.answer(1), told

    answer, (told,) = asyncio.run(ask())
    assert answer == 2
    assert isinstance(told["exception"], IndexError)


def test_a_request_that_is_given_up_harms_no_other() -> None:
    """Its row is scored with the rest, and its answer dropped."""

    async def ask() -> list[int]:
        made = Batches(lambda rows: [row + 1 for row in rows])
        tasks = [asyncio.ensure_future(made.answer(number)) for number in range(3)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        with suppress(asyncio.CancelledError):
            await tasks[1]
        return [await tasks[0], await tasks[2]]

    assert asyncio.run(ask()) == [1, 3]

"""Activations: of an action, or of a sequence one component after another; and their records."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from penstock.host.openwhisk.actions import (
    APPLICATION_ERROR,
    DEVELOPER_ERROR,
    INTERNAL_ERROR,
    SUCCESS,
    Actions,
    Outcome,
    key_of,
)
from penstock.host.openwhisk.activations import Activations
from penstock.host.openwhisk.entities import KIND, Action, Entity, inner_path, merged
from penstock.host.openwhisk.namespaces import Namespace

#: Activations of components in one of a sequence.
MAX_COMPONENTS: Final = 50
CODES: Final = {SUCCESS: 0, APPLICATION_ERROR: 1, DEVELOPER_ERROR: 2, INTERNAL_ERROR: 3}
_log = logging.getLogger("penstock.host")

Record = dict[str, Any]


@dataclass(frozen=True)
class Within:
    """The activation of a sequence that others belong to, and how many more of them there may be."""

    number: str
    left: Iterator[int]


class Invoker:
    """Activates actions; `namespace` gives one as it is now."""

    def __init__(
        self, actions: Actions, activations: Activations, namespace: Callable[[str], Namespace]
    ) -> None:
        self._actions = actions
        self._activations = activations
        self._namespace = namespace

    async def activate(
        self,
        name: str,
        action: Action,
        value: Mapping[str, Any],
        number: str,
        within: Within | None = None,
    ) -> Record:
        """Ask an action of the namespace `name`; the record of how that ended, which is kept."""
        start = now()
        package = self._namespace(name).packages.get(action.package or "")
        given = {**merged(package.parameters if package else (), action.parameters), **value}
        if action.components is None:
            outcome = await self._actions.run(key_of(name, action.path), number, given, action.limits)
        else:
            left = within.left if within else iter(range(MAX_COMPONENTS))
            outcome = await self._follow(name, action.components, given, Within(number, left))
        record = _record(name, action, number, start, outcome, within)
        await self.keep(name, action.path, record)
        return record

    async def keep(self, name: str, path: str, record: Record) -> None:
        """Keep the record of an activation of what has that path in the namespace `name`."""
        try:
            await asyncio.to_thread(self._activations.keep, name, path, record)
        except sqlite3.Error as error:  # a full disk: who waits for the result gets it all the same
            _log.warning("the record of activation %s was not kept: %s", record["activationId"], error)

    async def _follow(
        self, name: str, components: list[str], value: Mapping[str, Any], within: Within
    ) -> Outcome:
        """Ask each component with what the one before it gave; the first that fails is the last."""
        status, numbers = SUCCESS, list[str]()
        result: Any = {**value, "_actions": components} if "_actions" in value else value
        for component in components:
            action = self._namespace(name).actions.get(inner_path(component))
            if action is None:
                return Outcome.error(APPLICATION_ERROR, "Sequence component does not exist.", numbers)
            if next(within.left, None) is None:  # components have become sequences since
                return Outcome.error(APPLICATION_ERROR, "Too many actions in the sequence.", numbers)
            given = result if isinstance(result, Mapping) else {"value": result}
            record = await self.activate(name, action, given, uuid.uuid4().hex, within)
            numbers.append(record["activationId"])
            status, result = record["response"]["status"], record["response"]["result"]
            if status != SUCCESS:
                break
        return Outcome(status, result, numbers)


def record_of(name: str, entity: Entity, number: str, start: int, outcome: Outcome) -> Record:
    """What the record of any activation has, of an action or a trigger in the namespace `name`."""
    return {
        "activationId": number,
        "namespace": name,
        "name": entity.name,
        "version": entity.version,
        "publish": False,
        "subject": name,
        "start": start,
        "annotations": [],
        "logs": outcome.logs,
        "response": {
            "status": outcome.status,
            "statusCode": CODES[outcome.status],
            "success": outcome.status == SUCCESS,
            "result": outcome.result,
        },
    }


def _record(
    name: str, action: Action, number: str, start: int, outcome: Outcome, within: Within | None
) -> Record:
    end = now()
    annotations = [
        {"key": "path", "value": f"{name}/{action.path}"},
        {"key": "kind", "value": KIND if action.components is None else "sequence"},
        {"key": "limits", "value": action.limits.model_dump()},
    ]
    return {
        **record_of(name, action, number, start, outcome),
        "end": end,
        "duration": end - start,
        "annotations": annotations,
        **({} if within is None else {"cause": within.number}),
    }


def now() -> int:
    """In ms since the epoch."""
    return round(time.time() * 1000)

"""What starts a function on events: OpenWhisk's triggers, brought to what the spec declares.

Each has a rule that asks the live name, and may have a feed, whose action is told to fire it and to leave off:
https://github.com/apache/openwhisk/blob/master/docs/feeds.md
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from penstock.spec import schedule
from penstock.spec.function import Trigger
from penstock.targets import TargetError, TriggerStatus
from penstock.targets.openwhisk.actions import ABOUT, about, annotation
from penstock.targets.openwhisk.client import Activation, OpenWhisk

#: The feed of the time: https://github.com/apache/openwhisk-package-alarms
_ALARM: Final = "/whisk.system/alarms/alarm"
_FEED: Final = "feed"


class Triggers:
    """The triggers of one package's functions: `PACKAGE.FUNCTION.NAME`, as triggers lie in no package."""

    def __init__(self, server: OpenWhisk, package: str) -> None:
        self._server = server
        self._package = package

    def attach(self, function: str, action: str, declared: Mapping[str, Trigger]) -> None:
        """Have the declared triggers start the action (`package/name`), and no others of the function.

        Raises TargetError, also where a feed refuses one; what was done stays, and again is harmless.
        """
        parameters = {name: _parameters(name, trigger) for name, trigger in declared.items()}
        for name in self._there(function):
            if name not in declared:
                self._remove(self._full(function, name))
        for name, trigger in declared.items():
            full = self._full(function, name)
            found = self._server.get("triggers", full)
            if found is None or about(found).get("declared") != _digest(trigger):
                self._remove(full)
                self._make(full, trigger, parameters[name])
            rule = _rule(full)
            self._server.put("rules", rule, {"trigger": f"/_/{full}", "action": f"/_/{action}"})
            # A new rule is on, and one that is written again stays as it was.
            self._server.activate(rule)

    def differ(self, function: str, action: str, declared: Mapping[str, Trigger]) -> Iterator[str]:
        """What of them is otherwise than declared, in words."""
        for name in self._there(function):
            if name not in declared:
                yield f"the trigger {name} is there, and function.triggers has none of that name"
        for name, trigger in declared.items():
            full = self._full(function, name)
            found, rule = self._server.get("triggers", full), self._server.get("rules", _rule(full))
            if found is None or about(found).get("declared") != _digest(trigger):
                yield f"the trigger {name} is not as function.triggers says"
            elif rule is None or not _active(rule) or not _asked(rule).endswith(f"/{action}"):
                yield f"the trigger {name} does not start it"

    def status(self, function: str) -> Iterator[TriggerStatus]:
        """Those that are there."""
        for name in self._there(function):
            full = self._full(function, name)
            if (found := self._server.get("triggers", full)) is not None:
                rule = self._server.get("rules", _rule(full))
                yield TriggerStatus(
                    name=full,
                    feed=annotation(found, _FEED),
                    active=rule is not None and _active(rule),
                    fault=self._fault(full),
                )

    def _fault(self, full: str) -> str | None:
        """Why the last event of a trigger did not come to the function: the server says so in the record of the event alone."""
        last = self._server.activations(full, 1)
        for line in last[0].logs if last else ():
            with suppress(ValueError):
                said = json.loads(line)
                if isinstance(said, dict) and said.get("success") is False:
                    return str(said.get("error", "it was not started"))[:500]
        return None

    def _full(self, function: str, name: str) -> str:
        return f"{self._package}.{function}.{name}"

    def _there(self, function: str) -> list[str]:
        """The names of those of a function; neither it nor they have a dot."""
        prefix = self._full(function, "")
        names = [name.removeprefix(prefix) for name in self._server.triggers() if name.startswith(prefix)]
        return [name for name in names if "." not in name]

    def _make(self, full: str, trigger: Trigger, parameters: Mapping[str, Any]) -> None:
        feed = _ALARM if trigger.cron is not None else trigger.feed
        made = self._server.put("triggers", full, _content(feed, payload=trigger.payload))
        if feed is not None:
            asked = self._tell(made, feed, "CREATE", parameters)
            if not asked.succeeded:
                raise TargetError(
                    f"the feed {feed} would not fire the trigger {full}: {self._said(asked)}",
                    next_step="correct function.triggers in the spec, then run again, or `penstock reconcile`",
                )
        # Last: where it says as what it was declared, all before it was done.
        self._server.put("triggers", full, _content(feed, declared=_digest(trigger)))

    def _remove(self, full: str) -> None:
        """Take a trigger away where there is one, its rule first, by which it starts something."""
        self._server.delete("rules", _rule(full))
        found = self._server.get("triggers", full)
        if found is None:
            return
        if feed := annotation(found, _FEED):
            self._server.put("triggers", full, _content(feed))
            self._leave_off(found, feed)
        self._server.delete("triggers", full)

    def _leave_off(self, trigger: Mapping[str, Any], feed: str) -> None:
        """Have a feed fire a trigger no more; it may be that it does not, or that there is no such feed any longer."""
        try:
            asked = self._tell(trigger, feed, "DELETE", {})
        except TargetError as error:
            if error.status != 404:
                raise
            return
        if not asked.answered:
            raise TargetError(
                f"the feed {feed} did not leave off firing the trigger {trigger['name']}: {self._said(asked)}",
                next_step="run again when the feed's provider answers",
            )

    def _tell(
        self, trigger: Mapping[str, Any], feed: str, event: str, parameters: Mapping[str, Any]
    ) -> Activation:
        namespace, _, path = feed.removeprefix("/").partition("/")
        value = {
            **parameters,
            "lifecycleEvent": event,
            "triggerName": f"/{trigger['namespace']}/{trigger['name']}",
            "authKey": self._server.key,
        }
        return self._server.invoke(path, value, namespace)

    def _said(self, asked: Activation) -> str:
        """What a feed said, which may be what it was told."""
        return asked.error.replace(self._server.key, "(the key)")


def _rule(trigger: str) -> str:
    """The name of a trigger's rule: one name is that of one entity, of whatever kind."""
    return f"{trigger}.rule"


def _parameters(name: str, trigger: Trigger) -> dict[str, Any]:
    """What a trigger's feed is told. Raises TargetError where a secret is not set."""
    if trigger.cron is not None:
        return {"cron": schedule.expression(trigger.cron)}
    if unset := sorted(variable for variable in trigger.secrets.values() if not os.environ.get(variable)):
        raise TargetError(
            f"the trigger {name} takes secrets from {', '.join(unset)}, which is not set",
            next_step="set it where stages run and where `penstock` does: docs/targets.md",
        )
    secrets = {parameter: os.environ[variable] for parameter, variable in trigger.secrets.items()}
    return {**trigger.parameters, **secrets}


def _content(
    feed: str | None, *, payload: Mapping[str, Any] | None = None, declared: str | None = None
) -> dict[str, Any]:
    """A trigger, or where there is no `payload` its annotations."""
    annotations: list[dict[str, Any]] = [{"key": ABOUT, "value": {"declared": declared}}]
    if feed is not None:
        annotations.append({"key": _FEED, "value": feed})
    if payload is None:
        return {"annotations": annotations}
    return {
        "annotations": annotations,
        "parameters": [{"key": name, "value": value} for name, value in payload.items()],
    }


def _digest(trigger: Trigger) -> str:
    return hashlib.sha256(trigger.model_dump_json().encode()).hexdigest()


def _active(rule: Mapping[str, Any]) -> bool:
    return rule.get("status") == "active"


def _asked(rule: Mapping[str, Any]) -> str:
    return f"{rule['action']['path']}/{rule['action']['name']}"

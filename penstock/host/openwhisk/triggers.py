"""Triggers and the rules that have actions asked when they are fired.

How a server does it: https://github.com/apache/openwhisk/blob/master/docs/triggers_rules.md
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal

from penstock.host.errors import HostError
from penstock.host.openwhisk.actions import APPLICATION_ERROR, SUCCESS, Outcome
from penstock.host.openwhisk.entities import (
    Action,
    Content,
    Rule,
    RuleContent,
    Trigger,
    located,
    merged,
    resolved,
    updated,
    whole,
)
from penstock.host.openwhisk.invoking import CODES, Invoker, Record, now, record_of
from penstock.host.openwhisk.namespaces import MISSING, Namespace, Namespaces, without

#: What a trigger says of the feed that fires it: https://github.com/apache/openwhisk/blob/master/docs/feeds.md
_FEED: Final = "feed"

#: `penstock.host.openwhisk.service.OpenWhisk.invoke`
Invoke = Callable[[str, Action, Mapping[str, Any], float], Awaitable[tuple[str, Record | None]]]


class Triggers:
    """The triggers and rules of all namespaces. Its methods belong to the host's event loop; changes raise OSError."""

    def __init__(self, namespaces: Namespaces, invoker: Invoker, invoke: Invoke) -> None:
        self._namespaces = namespaces
        self._invoker = invoker
        self._invoke = invoke

    async def put_trigger(self, namespace: str, name: str, content: Content, *, overwrite: bool) -> Trigger:
        """Make a trigger, or change what is given of one. Raises HostError (400, 409, 413)."""
        if any(each.key == _FEED for each in content.annotations or ()):
            raise HostError(
                400,
                "This host has no feeds.",
                next_step="make the trigger without one, and fire it by a POST",
            )
        async with self._namespaces.changing(namespace) as held:
            held.may_put("triggers", name, overwrite=overwrite)
            before = held.triggers.get(name, Trigger(name=name))
            put = before.model_copy(update=updated(before, content))
            await self._namespaces.change(held, triggers={**held.triggers, name: put})
            return put

    async def remove_trigger(self, namespace: str, name: str) -> Trigger:
        """Take a trigger away; rules of it stay, and are off. Raises HostError (404)."""
        async with self._namespaces.changing(namespace) as held:
            removed, triggers = without(held.triggers, name)
            off = {
                rule.name: rule.model_copy(update={"status": "inactive"}) for rule in rules_of(held, removed)
            }
            await self._namespaces.change(held, triggers=triggers, rules={**held.rules, **off})
            return removed

    async def put_rule(self, namespace: str, name: str, content: RuleContent, *, overwrite: bool) -> Rule:
        """Make a rule, which is on, or change what is given of one, which stays as it is. Raises HostError (400, 403, 409)."""
        async with self._namespaces.changing(namespace) as held:
            held.may_put("rules", name, overwrite=overwrite)
            before = held.rules.get(name)
            if before is None:
                if content.trigger is None or content.action is None:
                    raise HostError(400, "rule requires a valid trigger and a valid action")
                before = Rule(name=name, trigger="", action="")
            changes = updated(before, content)
            for part in ("trigger", "action"):
                if given := getattr(content, part):
                    changes[part] = resolved(namespace, given)
            put = before.model_copy(update=changes)
            if put.trigger not in held.triggers:
                raise HostError(400, f"trigger /{namespace}/{put.trigger} does not exist")
            if put.action not in held.actions:
                raise HostError(400, f"action /{namespace}/{put.action} does not exist")
            await self._namespaces.change(held, rules={**held.rules, name: put})
            return put

    async def switch(self, namespace: str, name: str, status: Literal["active", "inactive"]) -> None:
        """Switch a rule on or off. Raises HostError (404)."""
        async with self._namespaces.changing(namespace) as held:
            rule = held.rules.get(name)
            if rule is None:
                raise HostError(404, MISSING)
            if status == "active" and rule.trigger not in held.triggers:
                raise HostError(404, "Only rules with existing triggers can be activated")
            switched = rule.model_copy(update={"status": status})
            await self._namespaces.change(held, rules={**held.rules, name: switched})

    async def remove_rule(self, namespace: str, name: str) -> Rule:
        """Take a rule away. Raises HostError (404)."""
        async with self._namespaces.changing(namespace) as held:
            removed, rules = without(held.rules, name)
            await self._namespaces.change(held, rules=rules)
            return removed.model_copy(update={"status": "inactive"})

    async def fire(self, namespace: Namespace, trigger: Trigger, payload: Mapping[str, Any]) -> str | None:
        """Have the actions of a trigger's rules asked; the number of its own activation, None where no rule is on.

        What became of each rule is in that activation's logs: the action's activation, or why there is none.
        """
        rules = rules_of(namespace, trigger)
        if not any(rule.status == "active" for rule in rules):
            return None
        number, start = uuid.uuid4().hex, now()
        value = {**merged(trigger.parameters), **payload}
        logs = [json.dumps(await self._ask(namespace, rule, value)) for rule in rules]
        record = record_of(namespace.name, trigger, number, start, Outcome(SUCCESS, dict(payload), logs))
        await self._invoker.keep(namespace.name, trigger.name, record)
        return number

    async def _ask(self, namespace: Namespace, rule: Rule, value: Mapping[str, Any]) -> dict[str, Any]:
        status = APPLICATION_ERROR
        action = namespace.actions.get(rule.action)
        full_rule, full_action = f"{namespace.name}/{rule.name}", f"{namespace.name}/{rule.action}"
        if rule.status != "active":
            said = {"error": f"Rule '{full_rule}' is inactive, action '{full_action}' was not activated."}
        elif action is None:
            said = {"error": MISSING}
        else:
            try:
                number, _ = await self._invoke(namespace.name, action, value, 0)
                status, said = SUCCESS, {"activationId": number}
            except HostError as error:
                said = {"error": error.message}
        return {
            "rule": full_rule,
            "action": full_action,
            "statusCode": CODES[status],
            "success": status == SUCCESS,
            **said,
        }


def rules_of(namespace: Namespace, trigger: Trigger) -> list[Rule]:
    """The rules of a trigger, on or off."""
    return [rule for rule in namespace.rules.values() if rule.trigger == trigger.name]


def shown(namespace: Namespace, trigger: Trigger) -> dict[str, Any]:
    """A trigger as a GET of it answers, with its rules."""
    rules = {
        f"{namespace.name}/{rule.name}": {
            "action": located(namespace.name, rule.action),
            "status": rule.status,
        }
        for rule in rules_of(namespace, trigger)
    }
    return whole(namespace.name, trigger) | {"rules": rules}

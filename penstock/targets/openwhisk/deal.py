"""The conductor of a rollout: an action that deals each request to one of two versions. The server gets this file's text.

What a conductor says and is told: https://github.com/apache/openwhisk/blob/master/docs/conductors.md
"""

from __future__ import annotations

import json
import random
from typing import Any

#: Filled in at the end of the text (`penstock.targets.openwhisk.rolling`), as parameters of an action could be any caller's:
#: `share` of the candidate in percent; the full names of `champion`, `candidate`, and `instead`, which is the champion for requests
#: that the candidate failed; `key`, a name that no caller knows, for what is kept between its turns.
PLAN: dict[str, Any] = {}
#: A request of so many characters is kept for the champion; with a larger one the answer might be more than an action may say.
KEPT = 400_000


def is_refusal(error: Any) -> bool:
    """Whether this `error` names what is wrong with a record, in the runtime's words. Any other one is a failure."""
    return isinstance(error, dict) and bool(error.get("faults"))


def main(args: dict[str, Any]) -> dict[str, Any]:
    """The first turn deals the request, the next one has its answer, or asks the champion where the candidate failed."""
    state = args.pop(PLAN["key"], None)
    if state is None:
        if random.random() * 100 >= PLAN["share"]:  # noqa: S311 (deals requests, guards nothing)
            return _ask("champion", args, {})
        kept = {"args": args} if len(json.dumps(args)) <= KEPT else {}
        return _ask("candidate", args, kept)
    if "error" not in args:
        return {"params": args}
    if "args" in state and not is_refusal(args["error"]):
        return _ask("instead", state["args"], {})
    return {"error": args["error"]}


def _ask(whom: str, args: dict[str, Any], kept: dict[str, Any]) -> dict[str, Any]:
    return {"action": PLAN[whom], "params": args, "state": {PLAN["key"]: kept}}

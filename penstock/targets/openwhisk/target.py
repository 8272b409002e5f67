"""Functions as OpenWhisk's actions.

A revision is an action that never changes, and so is each step of a function; the live name is a sequence of them,
`PACKAGE/NAME`. OpenWhisk invokes no older version of an action, and a new one of a sequence starts no container anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from penstock.host.manifest import REVISION, Manifest
from penstock.numbers import whole
from penstock.rollout.record import Action, Record
from penstock.spec.function import SCORE, Function
from penstock.spec.rollout import Rollout
from penstock.targets import Activity, RevisionStatus, Status, TargetError
from penstock.targets.openwhisk import actions, proof, rolling, web
from penstock.targets.openwhisk.actions import ABOUT, MODEL, STEP, USUAL, WHOLE, Bounds
from penstock.targets.openwhisk.client import Activation, OpenWhisk
from penstock.targets.openwhisk.rolling import Kept, Rolling
from penstock.targets.openwhisk.triggers import Triggers
from penstock.targets.sending import as_json

#: Where the server is, the key `name:password` of a namespace, and the image of the runtime, which the server can pull.
URL: Final = "PENSTOCK_OPENWHISK_URL"
AUTH: Final = "PENSTOCK_OPENWHISK_AUTH"
IMAGE: Final = "PENSTOCK_OPENWHISK_IMAGE"
PACKAGE: Final = "PENSTOCK_OPENWHISK_PACKAGE"
#: What an action of a function may have, in MB and in seconds.
MEMORY: Final = "PENSTOCK_OPENWHISK_MEMORY"
SECONDS: Final = "PENSTOCK_OPENWHISK_SECONDS"
#: Whose logs are read for the last lines of a function; their results come with them.
_ACTIVATIONS: Final = 50
#: Of an activation: in the logs of one that had others asked are theirs.
_NUMBER: Final = re.compile(r"[0-9a-f]{32}")

#: Revisions of a function that stay beside the one that is put, and what serves.
_KEPT: Final = 4
Actions = Mapping[str, Mapping[str, Any]]


class OpenWhiskTarget:
    """The functions of one package in one namespace, as `function` declares them."""

    def __init__(
        self, server: OpenWhisk, image: str, package: str, function: Function, bounds: Bounds = USUAL
    ) -> None:
        self._server = server
        self._image = image
        self._package = package
        self._declared = function
        self._bounds = bounds
        self._triggers = Triggers(server, package)
        self._rolling = Rolling(server, package, bounds.seconds)

    def prepare(self) -> None:
        """See that the server answers this key, and that the package is there."""
        self._server.limits()
        self._server.make_package(self._package)

    def put(self, package: Path) -> str:
        """Make the actions of the package in folder `package`; its revision, once it has proved itself. See `Target`."""
        actions.check(self._server.limits(), self._bounds, triggers=bool(self._declared.triggers))
        manifest, revision, code = actions.packed(package)
        actions.check_columns(package)
        order = manifest.steps or [SCORE]
        own = [step for step in order if step != SCORE]
        steps = {
            step: actions.step_name(self._image, self._bounds, manifest, step)
            for step in own
            if self._chained
        }
        name = self._wanted(manifest.name, revision, own)
        chain = [steps.get(each, name) for each in order] if steps else [name]
        said = {
            "function": manifest.name, "version": manifest.version, "revision": revision, "steps": own, "chain": chain,
        }  # fmt: skip
        made = actions.action(self._bounds, self._image, code, MODEL if steps else WHOLE, said)
        there = self._actions()
        # The revision comes first: while it says which steps it uses, nobody takes them away as unused.
        if name not in there:
            self._server.put("actions", self._path(name), made)
        for step, each in steps.items():
            if each not in there:
                _, _, source = actions.packed(package, {f"{STEP}{step}/step.py"})
                content = actions.action(self._bounds, self._image, source, STEP + step, {"step": step})
                self._server.put("actions", self._path(each), content)
        if fault := self._fault(manifest, revision, chain, name):
            self._forget(manifest.name, [name])
            raise TargetError(
                f"{revision} of {manifest.name} did not prove itself on OpenWhisk: {fault}",
                next_step=f"see that {IMAGE} names the function image of this release, and the function's log",
            )
        # Of another image, or of steps that ran otherwise: what serves until the live name moves stays until then.
        same = [each for each in there if each != name and _revision(manifest.name, each) == revision]
        others = {each: about for each, about in there.items() if about.get("revision") != revision}
        self._forget(manifest.name, [*same, *_old(manifest.name, others)])
        self._rolling.sweep(manifest.name, there)
        return revision

    def route(self, name: str, revision: str) -> None:
        """Make the actions of `revision` the components of the live name, which ends a rollout. See `Target`."""
        chain = self._chain(name, revision)
        live = self._live(name)
        # In one request with the components: it is never open without its secret.
        shown = web.opened(live) if self._declared.web else web.CLOSED
        content = {**self._rolling.sequence(chain), **shown}
        if kept := Kept.of(live):
            said = kept.routed(revision, datetime.now(UTC)).annotation()
            content["annotations"] = [*content["annotations"], said]
        self._server.put("actions", self._path(name), content)

    def roll_out(self, name: str, revision: str, plan: Rollout, run: str) -> None:
        """Begin a rollout. See `Target`."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        record = Record(revision=revision, run=run, plan=plan, began=now, since=now)
        chain, live = self._chain(name, revision), self._live(name)
        self._rolling.begin(name, live, _serving(name, live), chain, record)

    def take_step(self, name: str) -> Status:
        """Judge the rollout in course by the records of activations, and do what follows. See `Target`."""
        self._rolling.take_step(name)
        return self.status(name)

    def steer(self, name: str, action: Action) -> Status:
        """Pause, resume, promote or abort the rollout. See `Target`."""
        self._rolling.steer(name, action)
        return self.status(name)

    def attach(self, name: str) -> None:
        """Have the declared triggers start the live name, and no others. See `Target`."""
        self._triggers.attach(name, self._path(name), self._declared.triggers)

    def invoke(self, name: str, payload: Any) -> Any:
        """The live revision's answer to `payload`. See `Target`."""
        value = payload if isinstance(payload, dict) else {"records": payload}
        size = len(as_json(name, value))
        if size >= (most := self._server.limits().parameter_bytes):
            raise TargetError(
                f"the payload for {name} has {size} bytes, and OpenWhisk takes less than {most}",
                next_step="send fewer records at once",
                status=413,
            )
        asked = self._server.invoke(self._path(name), value)
        if not asked.succeeded:
            raise _failed(name, asked)
        return asked.result

    def serving(self, name: str) -> str:
        """The revision that answers behind the live name: among the components that an activation of it had."""
        asked = self._server.invoke(self._path(name), proof.NOTHING)
        if not asked.answered:
            raise _failed(name, asked)
        if revision := self._answering(name, asked.id):
            return revision
        raise TargetError(f"{name} is no sequence with a revision on OpenWhisk", next_step="deploy it again")

    def _answering(self, name: str, number: str) -> str | None:
        """The revision of the function that took part in an activation; None where none did."""
        asked = self._server.activation(number)
        own = _revision(name, asked.action)
        inner = (each for each in asked.logs if _NUMBER.fullmatch(each))
        return own or next(filter(None, (self._answering(name, each) for each in inner)), None)

    def status(self, name: str) -> Status:
        """What OpenWhisk holds of the function. See `Target`."""
        there = self._actions()
        # One of whose actions somebody took away answers nothing.
        revisions = {
            about["revision"]: about
            for action, about in _of_revisions(name, there).items()
            if there.keys() >= set(about.get("chain", [action]))
        }
        live = self._live(name)
        kept = Kept.of(live)
        if not revisions and live is None:
            raise TargetError(f"no function {name} on OpenWhisk", next_step="deploy it first", status=404)
        serving = _serving(name, live)
        since = None if live is None else kept.since if kept else rolling.since(live)
        return Status(
            name=name,
            url=f"{self._server.url}/actions/{self._path(name)}",
            live=serving,
            since=since,
            revisions=tuple(
                RevisionStatus(revision=revision, version=about["version"], state="ready")
                for revision, about in revisions.items()
            ),
            web=self._server.web_url(live["namespace"].partition("/")[0], self._path(name))
            if live is not None and web.exported(live)
            else None,
            triggers=tuple(self._triggers.status(name)),
            differs=()
            if live is None or serving not in revisions
            else self._differs(name, revisions[serving], live),
            rollout=kept.status() if kept else None,
        )

    def curl(self, url: str) -> str:
        """A blocking activation, with the key that is in the environment. See `Target`."""
        return f"""curl -s -u "${AUTH}" '{url}?blocking=true&result=true'"""

    def logs(self, name: str, lines: int = 100) -> list[str]:
        """The last `lines` lines that the live revision printed, and its steps for it, of the last activations. See `Target`."""
        live = self._live(name)
        components, kept = _in_use(live), Kept.of(live)
        if not components:
            raise TargetError(
                f"no function {name} is live on OpenWhisk", next_step="deploy it first", status=404
            )
        asked = self._rolling.sides(name, kept) if kept and not kept.record.over else (name,)
        ours = {
            component
            for sequence in asked
            for record in self._server.activations(self._path(sequence), _ACTIVATIONS)
            for component in record.logs
        }
        # A step is asked by other functions, too.
        printed = [
            (record.start, record.logs)
            for each in components
            for record in self._server.activations(self._path(each), _ACTIVATIONS)
            if record.id in ours or _revision(name, each)
        ]
        return [line for _, logs in sorted(printed) for line in logs][-lines:]

    def activity(self, name: str) -> Activity | None:
        """What the live name was asked last, by the records of its activations. See `Recording`."""
        records = self._server.activations(self._path(name), rolling.READ)
        if not records:
            return None
        seen = [rolling.seen(each) for each in records]
        took = sorted(each.duration for each in records)
        return Activity(
            requests=len(records),
            since=rolling.iso(min(each.start for each in records)),
            failed=sum(each.failed for each in seen),
            refused=sum(each.refused for each in seen),
            p50_ms=took[(len(took) - 1) // 2],
            p99_ms=took[-(-99 * len(took) // 100) - 1],
        )

    def remove(self, name: str) -> None:
        """Take the function away, its live name first, and the steps that no other function has. See `Target`."""
        self._server.delete("actions", self._path(name))
        self._triggers.attach(name, self._path(name), {})
        for action, about in self._actions().items():
            if about.get("function") == name:
                self._server.delete("actions", self._path(action))
        self._sweep()

    @property
    def _chained(self) -> bool:
        return self._declared.chain == "sequence"

    def _path(self, action: str) -> str:
        return f"{self._package}/{action}"

    def _live(self, name: str) -> Mapping[str, Any] | None:
        return self._server.get("actions", self._path(name))

    def _chain(self, name: str, revision: str) -> list[str]:
        """The actions of a revision, all of which are there. Raises TargetError."""
        there = self._actions()
        chains = {
            action: about.get("chain", [action])
            for action, about in there.items()
            if (about.get("function"), about.get("revision")) == (name, revision)
        }
        wanted = {self._wanted(name, revision, there[action].get("steps", ())) for action in chains}
        chain = next((chains[action] for action in sorted(chains, key=lambda a: a not in wanted)), None)
        if chain is None or not there.keys() >= set(chain):
            raise TargetError(
                f"{name} has no revision {revision} on OpenWhisk"
                if chain is None
                else f"{revision} of {name} lacks {', '.join(sorted(set(chain) - there.keys()))} on OpenWhisk",
                next_step="deploy it first",
                status=404,
            )
        return list(chain)

    def _actions(self) -> Actions:
        """What our actions in the package say of themselves, by their names."""
        found = {action["name"]: actions.about(action) for action in self._server.actions(self._package)}
        return {name: about for name, about in found.items() if about}

    def _wanted(self, name: str, revision: str, steps: Sequence[str]) -> str:
        """The name of a revision's own action, as it is declared that it runs."""
        main = MODEL if steps and self._chained else WHOLE
        return actions.named(
            f"{name}-{revision}", self._image, self._bounds.memory, self._bounds.seconds, main
        )

    def _differs(self, name: str, about: Mapping[str, Any], live: Mapping[str, Any]) -> tuple[str, ...]:
        """What of the live revision, which says that `about` itself, is otherwise than it is declared."""
        found, components = [], _in_use(live)
        if self._wanted(name, about["revision"], about.get("steps", ())) not in components:
            asked = f"function.chain, {IMAGE}, {MEMORY} and {SECONDS}"
            found.append(f"it runs otherwise than {asked} say: as {', '.join(components)}")
        if self._declared.web and not web.secured(live):
            found.append("it is no web action with a secret, and function.web says that it is one")
        if not self._declared.web and web.exported(live):
            found.append("it is a web action, and function.web does not say so")
        return (*found, *self._triggers.differ(name, self._path(name), self._declared.triggers))

    def _forget(self, name: str, revisions: Sequence[str]) -> None:
        """Take away actions of a function's revisions that do not serve, and what of steps is then unused."""
        live = _in_use(self._live(name)) if revisions else ()
        gone = [action for action in revisions if action not in live]
        for action in gone:
            self._server.delete("actions", self._path(action))
        if gone:
            self._sweep()

    def _sweep(self) -> None:
        """Take away the steps that no revision uses any more."""
        there = self._actions()
        used = {action for about in there.values() for action in about.get("chain", ())}
        for action, about in there.items():
            if "step" in about and action not in used:
                self._server.delete("actions", self._path(action))

    def _fault(self, manifest: Manifest, revision: str, chain: Sequence[str], name: str) -> str | None:
        """Why a revision is none that answers; None where it has proved itself, with its steps where those are actions."""
        if len(chain) == 1:
            return proof.fault_alone(self._server, self._path(name))
        said = [{"key": ABOUT, "value": {"function": manifest.name, "proof": revision}}]
        return proof.fault_in_sequence(
            self._server,
            self._path(name),
            self._path(f"{manifest.name}-{revision}.proof"),
            {**self._rolling.sequence(chain), "annotations": said},
            manifest.tolerance,
        )


def open_openwhisk(function: Function, _: Path) -> OpenWhiskTarget:
    """The package PENSTOCK_OPENWHISK_PACKAGE of the namespace whose key is given. Raises TargetError."""
    missing = [name for name in (URL, AUTH, IMAGE) if not os.environ.get(name)]
    if missing:
        raise TargetError(
            f"OpenWhisk is the target, and {', '.join(missing)} is not set",
            next_step="set it where stages run and where `penstock` does: docs/targets.md",
        )
    image = os.environ[IMAGE]
    if ":" not in image.rpartition("/")[2] or image.endswith(":latest"):
        raise TargetError(
            f"{IMAGE} is {image}: expected an image with a tag that is not `latest`, which is pulled for every container",
            next_step="tag the function image with its release",
        )
    server = OpenWhisk(os.environ[URL], os.environ[AUTH])
    bounds = Bounds(memory=_number(MEMORY, USUAL.memory), seconds=_number(SECONDS, USUAL.seconds, most=60))
    return OpenWhiskTarget(server, image, os.environ.get(PACKAGE, "penstock"), function, bounds)


def _number(variable: str, default: int, most: int = 10**6) -> int:
    said = os.environ.get(variable) or str(default)
    number = whole(said)
    if number is None or not 1 <= number <= most:
        raise TargetError(
            f"{variable} is {said!r}: expected a whole number from 1 to {most}",
            next_step=f"set it, to {default} say",
        )
    return number


def _in_use(live: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The actions that a live name asks, in a rollout those of the version that serves, then the new one's; none where nothing is live."""
    kept = Kept.of(live)
    if kept is None or kept.record.over:
        return rolling.components(live)
    return tuple(dict.fromkeys((*kept.champion, *kept.candidate)))


def _serving(name: str, live: Mapping[str, Any] | None) -> str | None:
    """The revision behind a live name; None where there is none."""
    return next(filter(None, (_revision(name, each) for each in _in_use(live))), None)


def _revision(name: str, action: str) -> str | None:
    """The revision of a function that an action is; None where it is none of it."""
    found = re.fullmatch(rf"{re.escape(name)}-({REVISION.pattern})(\.[0-9a-f]{{12}})?", action)
    return found and found[1]


def _of_revisions(name: str, there: Actions) -> Actions:
    """Those of `there` that are a revision of a function, or the model of one."""
    return {
        action: about
        for action, about in there.items()
        if about.get("function") == name and "revision" in about
    }


def _old(name: str, there: Actions) -> list[str]:
    """Actions of a function's revisions but the newest of them; a version that is gone is put again when it is gone back to."""
    own = _of_revisions(name, there)
    # The registry counts versions; others are of a package that somebody else made.
    numbers = {about["revision"]: whole(str(about["version"])) or 0 for about in own.values()}
    kept = sorted(numbers, key=lambda revision: numbers[revision])[-_KEPT:]
    return [action for action, about in own.items() if about["revision"] not in kept]


def _failed(name: str, ended: Activation) -> TargetError:
    return TargetError(f"{name} on OpenWhisk: {ended.error}", status=502)

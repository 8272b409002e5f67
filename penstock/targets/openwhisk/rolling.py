"""Rollouts on OpenWhisk: the live name is a sequence of a conductor that deals requests, and whoever looks next takes the next step.

The server keeps a record of each activation; these are read, a bounded number at a look. All that is known of a rollout lies with the
live name's action, in an annotation, so that it moves in one request with what the live name asks.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from penstock.rollout.course import Measured
from penstock.rollout.dealt import DealtCourse, Seen, answer_in
from penstock.rollout.record import AFTER, Action, Record, RolloutStatus, State
from penstock.spec.rollout import Rollout
from penstock.targets import TargetError
from penstock.targets.asking import crowded, tries
from penstock.targets.openwhisk import actions, deal, proof
from penstock.targets.openwhisk.client import Activation, Limits, OpenWhisk
from penstock.targets.rolling import check_plan, is_begun, not_in_course

#: Seconds between two looks at what was answered, whoever takes them.
LOOK: Final = 5.0
#: Activations of a side that are read at a look: the latest, where there were more.
READ: Final = 200
#: An activation is on record once it has ended: at the latest so many seconds after its time limit. A time-out is told some 11 s
#: late, the container may have to be started, and its image to be pulled.
LATE: Final = 30
#: Actions of a rollout stay for so many seconds after its end, for requests that are on their way.
_ON_THE_WAY: Final = 600
_ANNOTATION: Final = "penstock-rollout"
#: The server's own choice among its Pythons, of which servers have different ones.
_FAMILY: Final = "python:"
_KIND: Final = f"{_FAMILY}default"
_PATIENCE: Final = 60.0


class Kept(BaseModel):
    """A rollout as it is kept: its record, what was measured in it, and by which actions it goes.

    `revision` serves beside it `since` (ISO 8601, UTC), by the actions `champion`; the new version is `candidate`. Answers that began
    up to `upto` (ms since the epoch; None: up to the stage's beginning) are counted. `looked` is when that was; `scores` are those by
    which bins are not known yet.
    """

    model_config = ConfigDict(frozen=True)

    record: Record
    revision: str
    since: str
    champion: tuple[str, ...]
    candidate: tuple[str, ...]
    looked: str
    upto: int | None = None
    measured: tuple[Measured, Measured] | None = None
    scores: tuple[float, ...] = ()

    @classmethod
    def of(cls, live: Mapping[str, Any] | None) -> Kept | None:
        """What a live name says of its rollout in course, or its last one; None before the first."""
        said = None if live is None else actions.annotation(live, _ANNOTATION)
        return None if said is None else cls.model_validate_json(said)

    def annotation(self) -> dict[str, Any]:
        """By which the live name says it."""
        return {"key": _ANNOTATION, "value": self.model_dump_json()}

    def status(self) -> RolloutStatus:
        """What is told of it."""
        return _Course(self).status()

    def ended(self, state: State, reason: str, now: datetime) -> Kept:
        """At its end; a version that was promoted serves from now on."""
        record = _Course(self).ended(state, reason)
        update: dict[str, Any] = {"record": record, "looked": now.isoformat(), "measured": None, "scores": ()}
        if state == "promoted":
            update |= {"revision": record.revision, "since": now.isoformat(timespec="seconds")}
        return self.model_copy(update=update)

    def routed(self, revision: str, now: datetime) -> Kept:
        """With another revision made live, which ends what is in course."""
        if self.record.over:
            kept = self
        elif revision == self.record.revision:
            kept = self.ended("promoted", "the live name was moved to it", now)
        else:
            kept = self.ended("aborted", f"the live name was moved to {revision}", now)
        if revision == kept.revision:
            return kept
        return kept.model_copy(update={"revision": revision, "since": now.isoformat(timespec="seconds")})


class _Course(DealtCourse):
    """One rollout, of which the answers are read that are on record; it goes on from what is kept."""

    def __init__(self, kept: Kept) -> None:
        super().__init__(kept.record)
        if kept.measured is not None:
            self.champion, self.candidate = (side.model_copy(deep=True) for side in kept.measured)
        self._learned = list(kept.scores)

    def kept(self, before: Kept, **update: Any) -> Kept:
        """The same to be kept."""
        learned = () if self.record.edges else tuple(self._learned)
        measured = (self.champion, self.candidate)
        return before.model_copy(
            update={"record": self.record, "measured": measured, "scores": learned, **update}
        )


class Rolling:
    """Rollouts of the functions of one package."""

    def __init__(self, server: OpenWhisk, package: str, seconds: int) -> None:
        """An action may take so many `seconds`."""
        self._server = server
        self._package = package
        self._seconds = seconds

    def begin(
        self,
        name: str,
        live: Mapping[str, Any] | None,
        serving: str | None,
        candidate: Sequence[str],
        record: Record,
    ) -> None:
        """Begin the rollout `record` of a version by its actions `candidate`, beside what is `live`: the revision `serving`.

        See `Target`.
        """
        last = Kept.of(live)
        if is_begun(
            name, serving if live else None, last.record if last else None, record.revision, record.run
        ):
            return
        assert live is not None
        assert serving is not None
        self._check(record.plan)
        kept = Kept(
            record=record,
            revision=serving,
            since=last.since if last else since(live),
            champion=components(live),
            candidate=tuple(candidate),
            looked=record.began,
        )
        if not self._write(name, live, kept):
            raise TargetError(f"{name} was changed meanwhile", next_step="run again", status=409)

    def take_step(self, name: str) -> None:
        """Look at what was answered, and do what follows; nothing where somebody has just looked, or there is no rollout."""
        for _ in tries(_PATIENCE, 0.2):
            live = self._live(name)
            kept = Kept.of(live)
            now = datetime.now(UTC)
            if live is None or kept is None or kept.record.over or _seconds(kept.looked, now) < LOOK:
                return
            if self._write(name, live, self._further(name, live, kept, now)):
                return

    def steer(self, name: str, action: Action) -> None:
        """Do that to the rollout in course. See `Target`."""
        for _ in tries(_PATIENCE, 0.2):
            live = self._live(name)
            kept = Kept.of(live)
            if live is None or kept is None or kept.record.over:
                raise not_in_course(name)
            if action in ("promote", "abort"):
                further = kept.ended(AFTER[action], "by a person", datetime.now(UTC))
            else:
                record = kept.record.model_copy(update={"state": AFTER[action]})
                further = kept.model_copy(update={"record": record})
            if self._write(name, live, further):
                return
        raise crowded(name)

    def sides(self, name: str, kept: Kept) -> tuple[str, str, str]:
        """The sequences that the conductor asks: the champion's, the candidate's, and the champion's for what that failed."""
        champion, candidate = f"{name}-{kept.revision}", f"{name}-{kept.record.revision}"
        return f"{champion}.dealt", f"{candidate}.dealt", f"{champion}.instead"

    def sweep(self, name: str, there: Mapping[str, Mapping[str, Any]]) -> None:
        """Take away, of our actions `there`, those of the function's rollouts that nothing goes by any more."""
        kept = Kept.of(self._live(name))
        if kept and (not kept.record.over or _seconds(kept.looked, datetime.now(UTC)) < _ON_THE_WAY):
            return
        for action, about in there.items():
            if about.get("function") == name and "rollout" in about:
                self._server.delete("actions", self._path(action))

    # -- how ------------------------------------------------------------------------------------------------

    def _check(self, plan: Rollout) -> None:
        """Raises TargetError where the server cannot have such a rollout."""
        faults = []
        if plan.shadow:
            faults.append("a conductor has its caller wait for the shadow, too: take shadow out")
        if plan.sticky:
            faults.append("an action is not told its caller's headers: take sticky out")
        limits = self._server.limits()
        if _python(limits) is None:
            allowed = ", ".join(limits.allowedKinds or ())
            faults.append(f"it takes an action in Python, and the server allows {allowed}")
        if not limits.storeActivations:
            faults.append("the server keeps no records of activations, which are what is counted")
        check_plan("OpenWhisk", plan, faults)

    def _further(self, name: str, live: Mapping[str, Any], kept: Kept, now: datetime) -> Kept:
        """The rollout after a look."""
        course = _Course(kept)
        begin = int(live["updated"]) if kept.upto is None else kept.upto
        recorded = self._server.now() - timedelta(seconds=recorded_after(kept, self._seconds))
        end = max(begin, round(recorded.timestamp() * 1000))
        for mine, answer in self._answers(name, kept, begin, end):
            (course.note_candidate if mine else course.note_champion)(answer)
        verdict = course.verdict(now)
        found = course.kept(kept, upto=end, looked=now.isoformat())
        if verdict.word == "worse":
            return found.ended("worse", verdict.reason, now)
        if verdict.word == "go on":
            return found
        further = course.advanced(now)
        if further is None:
            return found.ended("promoted", "it was no worse than tolerated at any step", now)
        course.become(further)
        # What is under way by the share before is not counted.
        return course.kept(found, upto=None)

    def _answers(self, name: str, kept: Kept, begin: int, end: int) -> Iterator[tuple[bool, Seen]]:
        """What both sides answered to requests that began after `begin`, up to `end`, in their order; whether the candidate did.

        Where there were too many to read them all, the latest, of both sides in the same time: requests are dealt at random at each
        moment, so that these are to be compared, too.
        """
        if begin >= end:
            return
        pages = [
            self._server.activations(self._path(side), READ, begin + 1, end)
            for side in self.sides(name, kept)[:2]
        ]
        full = [page for page in pages if len(page) == READ]
        first = max((min(each.start for each in page) for page in full), default=begin)
        read = [(each.start, mine, each) for mine, page in enumerate(pages) for each in page]
        for start, mine, each in sorted(read, key=lambda one: one[0]):
            if start >= first:
                yield bool(mine), seen(each)

    def _write(self, name: str, live: Mapping[str, Any], kept: Kept) -> bool:
        """Have the live name as that rollout has it; False where somebody else has written since it was read as `live`.

        The server knows no write on a condition, so of two in the same moment the last one holds: both have read the same answers.
        """
        if kept.record.over:
            chain = kept.candidate if kept.record.state == "promoted" else kept.champion
        else:
            chain = (self._conductor(name, live, kept),)
        now = self._live(name)
        if now is None or now["version"] != live["version"]:
            return False
        content = {**self.sequence(chain), "annotations": [kept.annotation()]}
        try:
            self._server.put("actions", self._path(name), content, again=False)
        except TargetError as error:
            if error.status == 409:
                return False
            raise
        return True

    def _conductor(self, name: str, live: Mapping[str, Any], kept: Kept) -> str:
        """The name of the action that deals by the stage's share; it is there then, with what it asks, and has dealt a request."""
        said = {"function": name, "rollout": kept.record.revision}
        annotations = [{"key": actions.ABOUT, "value": said}, {"key": "provide-api-key", "value": False}]
        share = kept.record.share
        conductor = actions.named(f"{name}-rollout", kept.record.revision, kept.record.began, share)
        sides = self.sides(name, kept)
        if conductor in components(live):
            there = {each["name"] for each in self._server.actions(self._package)}
            if there >= {conductor, *sides}:
                return conductor
        for side, chain in zip(sides, (kept.champion, kept.candidate, kept.champion), strict=True):
            self._server.put(
                "actions", self._path(side), {**self.sequence(chain), "annotations": annotations}
            )
        champion, candidate, instead = (f"/_/{self._path(side)}" for side in sides)
        plan = {
            "share": share, "champion": champion, "candidate": candidate, "instead": instead,
            "key": f"__penstock_{secrets.token_hex(8)}",
        }  # fmt: skip
        source = Path(deal.__file__).read_text()
        code = f"{source}\n\nPLAN.update(json.loads({json.dumps(json.dumps(plan))}))\n"
        made = {
            "exec": {"kind": _python(self._server.limits()), "code": code, "binary": False},
            "annotations": [*annotations, {"key": "conductor", "value": True}],
        }
        self._server.put("actions", self._path(conductor), made)
        asked = self._server.invoke(self._path(conductor), proof.NOTHING)
        if not asked.answered:
            raise TargetError(
                f"requests to {name} cannot be dealt on this server: {conductor}: {asked.error}",
                next_step="see that its default kind of Python is 3.7 or newer",
                status=502,
            )
        return conductor

    def sequence(self, chain: Sequence[str]) -> dict[str, Any]:
        """What makes an action the sequence of these actions of the package."""
        return {"exec": {"kind": "sequence", "components": [f"/_/{self._path(each)}" for each in chain]}}

    def _live(self, name: str) -> Mapping[str, Any] | None:
        return self._server.get("actions", self._path(name))

    def _path(self, action: str) -> str:
        return f"{self._package}/{action}"


def _python(limits: Limits) -> str | None:
    """The kind of an action in Python: the server's own choice, or where it allows some kinds the newest of them; None where none is."""
    if not limits.allowedKinds:
        return _KIND
    allowed = [kind for kind in limits.allowedKinds if kind.startswith(_FAMILY)]
    return max(allowed, key=lambda kind: [int(part) for part in re.findall(r"\d+", kind)], default=None)


def components(live: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The names of a sequence's actions, without their package."""
    found = () if live is None else live["exec"].get("components") or ()  # an action with code has none
    return tuple(str(component).rpartition("/")[2] for component in found)


def since(live: Mapping[str, Any]) -> str:
    """When an action was written last (ISO 8601, UTC)."""
    return iso(live["updated"])


def iso(milliseconds: int) -> str:
    """A time of the server's, which are since the epoch, in ISO 8601 (UTC)."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()


def seen(answer: Activation) -> Seen:
    """What is to be known of an activation of one side."""
    if answer.succeeded:
        score, _ = answer_in(json.dumps(answer.result).encode())
        return Seen(False, answer.duration / 1000, score=score)
    error = answer.result.get("error") if isinstance(answer.result, dict) else None
    if answer.answered and deal.is_refusal(error):
        return Seen(False, answer.duration / 1000, refused=True)
    return Seen(True)


def recorded_after(kept: Kept, seconds: int) -> int:
    """After how many seconds an answer of either side is on record, whatever became of it, where each action may take so many."""
    return max(len(kept.champion), len(kept.candidate)) * seconds + LATE


def _seconds(then: str, now: datetime) -> float:
    return (now - datetime.fromisoformat(then)).total_seconds()

"""Functions on Knative, and on KServe where that stands on Knative.

A revision is a Revision of Knative, of an image with the package, by digest. It has no share of the live name's traffic until
it has been asked by itself; moving the traffic is one write, and so is a step of a rollout. How many pods there are is Knative's,
down to none.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from penstock.spec.function import Function
from penstock.targets import Status, TargetError
from penstock.targets.asking import polls
from penstock.targets.kubernetes import access, manifests, owned, settings
from penstock.targets.kubernetes.answers import revision_in, told
from penstock.targets.kubernetes.api import Api, Object, is_unknown
from penstock.targets.kubernetes.live import answering, moved, serving, watch_of
from penstock.targets.kubernetes.manifests import Live, Revision
from penstock.targets.kubernetes.owned import annotation
from penstock.targets.kubernetes.rollouts import RolledOut, Rollouts
from penstock.targets.kubernetes.settings import Settings
from penstock.targets.package_image import append
from penstock.targets.sending import as_json, contents
from penstock.targets.serverless import revisions
from penstock.targets.serverless.gateway import SECONDS, Gateway
from penstock.targets.serverless.knative import Knative
from penstock.targets.serverless.kserve import KServe
from penstock.targets.serverless.live import Annotated
from penstock.targets.serverless.manifests import check
from penstock.targets.serverless.platform import Platform, absent, all_to
from penstock.targets.serverless.revisions import Revisions
from penstock.targets.serverless.rolling import Revised

#: For a revision to answer: a node may have to come first, and the image to it.
_READY_SECONDS: Final = 300.0
#: For one of the questions meanwhile: where nobody leads to it yet, an answer may never come.
_LOOK_SECONDS: Final = 10.0
#: For the controllers to have seen that a revision is wanted no more, or to have taken all of a function away.
_SETTLED_SECONDS: Final = 60.0


class ServerlessTarget(RolledOut):
    """The functions of one namespace on one platform."""

    def __init__(self, api: Api, given: Settings, platform: Platform) -> None:
        self._api = api
        self._given = given
        self._platform = platform
        self._gateway = Gateway(given.gateway)
        self._revisions = Revisions(api, platform.container)
        self._live = Annotated(api, platform, self._revisions, given.shape)
        self._rollouts = Rollouts(api, self._live, Revised(api, platform, self._revisions, self._live))

    def prepare(self) -> None:
        """See that the platform is there, and that its API lets us see what is there. See `Target`."""
        for kind, resource in (
            (self._platform.kind, self._platform.resource),
            (revisions.KIND, revisions.RESOURCE),
        ):
            try:
                self._api.find(kind, manifests.of_function("none"))
            except TargetError as error:
                if not is_unknown(error):
                    raise
                raise TargetError(
                    f"{self._platform.title} is not in this cluster, or not whole: it knows no {resource}",
                    next_step="install it, KServe with Knative, or take function={'target': 'kubernetes'}",
                    status=404,
                ) from error

    def put(self, package: Path) -> str:
        """Have the revision of the package in folder `package` answer by itself; what fails is taken away. See `Target`."""
        found = contents(package)
        name, revision = found.manifest.name, found.revision
        check(found.manifest)
        owned.ours(self._api, "NetworkPolicy", manifests.object_name(name), name)
        before = self._find(name)
        live = self._live.find(name)
        if live and len(serving(live)) > 1:
            if revision in serving(live) and self._revisions.find(manifests.of_revision(name, revision)):
                return revision  # it has proved itself, and its share is the rollout's
            if self._platform.one_beside:
                raise TargetError(
                    f"{name} on {self._platform.title} has no room beside the rollout that is under way",
                    next_step="wait for its end, or end it: penstock rollout PIPELINE abort, or promote where what serves is gone",
                    status=409,
                )
        image = append(found, self._given.image(found.manifest.runtime), self._given.repository(name))
        made = Revision(name, found.manifest.version, revision, image)
        there = self._names(made)
        try:
            self._api.apply(manifests.calls_nobody(name))
            self._change(name, lambda now: self._platform.put(now, made, self._given.shape))
            self._await(name, revision, lambda now: self._platform.proof(now, made, self._given.shape))
        except TargetError:
            with suppress(TargetError):  # why it failed is what must be told
                self._undo(made, before, there)
            raise
        return revision

    def route(self, name: str, revision: str) -> None:
        """Have all traffic go to `revision`, and wait until it is what answers.

        A rollout ends with that, unless it is beside that very revision. See `Target`.
        """
        self._revisions.known(name, revision)
        live = self._live.find(name)
        if live and live.revision == revision and len(serving(live)) > 1:
            return
        self._live.change(name, lambda now: moved(now, revision))
        self._live.lead(name)
        self._await(name, revision, lambda now: self._url_of(now) if self._leads_to(now, revision) else None)

    def attach(self, name: str) -> None:
        """Events are not declared here. See `Target`."""

    def invoke(self, name: str, payload: Any) -> Any:
        """The live revision's answer to `payload`, as a caller gets it; in a rollout it may be the new one's. See `Target`."""
        _, url = self._asked(name)
        answer = self._gateway.ask(url, "predict", as_json(name, payload))
        return told(self._platform.title, name, answer)

    def serving(self, name: str) -> str:
        """The revision that answers callers, as it says itself; in a rollout the live one answers in turn. See `Target`."""
        live, url = self._asked(name)
        return answering(live, lambda: self._answering(name, url, SECONDS))

    def status(self, name: str) -> Status:
        """What the platform holds of the function. See `Target`."""
        found = self._there(name)
        live = self._live.find(name)
        watch, answers = watch_of(live), serving(live) if live else set()
        asked = {each.get("revisionName") for each in self._platform.traffic(found) if each.get("percent")}
        known = self._revisions.find(manifests.of_function(name))
        # Of one package there is one for each image and shape: the one that is asked counts, else the newest.
        known.sort(key=lambda each: each["metadata"]["name"] in asked)
        counted = {annotation(each, manifests.REVISION): each for each in known}
        return Status(
            name=name,
            url=str(found.get("status", {}).get("url") or ""),
            live=live.revision if live else None,
            since=live.since if live else None,
            revisions=tuple(
                self._revisions.state(each, live=revision in answers) for revision, each in counted.items()
            ),
            lost=tuple(self._live.lost(name, found, live)) if live and len(answers) == 1 else (),
            rollout=watch.status() if watch else None,
        )

    def curl(self, url: str) -> str:
        """A request of /predict. See `Target`."""
        return self._gateway.curl(url)

    def logs(self, name: str, lines: int = 100) -> list[str]:
        """The last `lines` lines that the live revision's pods printed, while there are any, each with its time. See `Target`."""
        live, _ = self._asked(name)
        pods = self._api.find("Pod", manifests.of_revision(name, live.revision))
        return self._api.last_printed(pods, self._platform.container, lines)

    def remove(self, name: str) -> None:
        """Take the function away, and wait until its Revisions have gone. Its images stay in the registry. See `Target`."""
        if self._find(name) is not None:
            self._api.delete(self._platform.kind, manifests.object_name(name))
        # One of the same name as was there could not be made meanwhile.
        for _ in polls(_SETTLED_SECONDS):
            if not self._revisions.find(manifests.of_function(name)):
                break
        else:
            raise TargetError(
                f"Revisions of {name} are still there {_SETTLED_SECONDS:g} s after it was taken away",
                next_step="see that the cluster's garbage collector runs, then run again",
            )
        if owned.ours(self._api, "NetworkPolicy", manifests.object_name(name), name) is not None:
            self._api.delete("NetworkPolicy", manifests.object_name(name))

    # -- how ------------------------------------------------------------------------------------------------

    def _undo(self, made: Revision, before: Object | None, there: set[str]) -> None:
        """Have all as it was before a revision was put."""
        if before is None:
            if self._live.find(made.function) is None:  # else somebody has made it live meanwhile
                self.remove(made.function)
            return

        def undone(now: Object | None) -> Object:
            if now is None:
                raise absent(self._platform, made.function)
            return self._platform.undo(now, before, made, self._given.shape)

        self._change(made.function, undone)
        failed = self._names(made) - there
        # What is still wanted would be made again.
        for _ in polls(_SETTLED_SECONDS):
            if self._platform.newest(self._there(made.function)) not in failed:
                break
        self._revisions.delete(failed)

    def _await(self, name: str, revision: str, url: Callable[[Object], str | None]) -> None:
        """Wait until a revision answers at the `url` that is found in the function's object. Raises TargetError with why not."""
        found, last = None, None
        for _ in polls(_READY_SECONDS):
            now = self._there(name)
            try:
                if (where := url(now)) is not None and self._answering(
                    name, where, _LOOK_SECONDS
                ) == revision:
                    return
            except TargetError as error:  # the ingress has not followed yet
                last = error
            newest = self._revisions.find(manifests.of_revision(name, revision))[-1:]
            found = next((self._revisions.trouble(each) for each in newest), None)
            if found is not None and found.lasting:
                break
        why = found.reason if found else last.message if last else "it does not say why"
        raise TargetError(
            f"{revision} of {name} did not become ready on {self._platform.title}: {why}",
            next_step=found.next_step if found else last.next_step if last else self._look(name),
        )

    def _look(self, name: str) -> str:
        return f"see what its controller says of it: kubectl -n {self._api.namespace} describe {self._platform.resource} {manifests.object_name(name)}"

    def _leads_to(self, found: Object, revision: str) -> bool:
        """Whether the function's object says so, which a rollout goes by, and what Knative keeps of it."""
        function = manifests.function_of(found) or ""
        known = {
            each["metadata"]["name"]
            for each in self._revisions.find(manifests.of_revision(function, revision))
        }
        return {all_to(self._platform.traffic(found)), self._live.leads_all_to(function)} <= known

    def _answering(self, name: str, url: str, seconds: float) -> str:
        return revision_in(self._platform.title, name, self._gateway.ask(url, "health", seconds=seconds))

    def _names(self, made: Revision) -> set[str]:
        """The Knative Revisions of one of ours."""
        found = self._revisions.find(manifests.of_revision(made.function, made.revision))
        return {each["metadata"]["name"] for each in found}

    def _change(self, name: str, edit: Callable[[Object | None], Object]) -> None:
        """Write the function's object."""

        def of_ours(now: Object | None) -> Object:
            if now is not None:
                owned.check(self._api, self._platform.kind, now, name)
            return edit(now)

        self._api.change(self._platform.kind, manifests.object_name(name), of_ours)

    def _find(self, name: str) -> Object | None:
        return owned.ours(self._api, self._platform.kind, manifests.object_name(name), name)

    def _there(self, name: str) -> Object:
        found = self._find(name)
        if found is None:
            raise absent(self._platform, name)
        return found

    def _asked(self, name: str) -> tuple[Live, str]:
        """What is live, and where callers find it."""
        found, live = self._there(name), self._live.find(name)
        if live is None:
            raise TargetError(
                f"no function {name} is live on {self._platform.title}",
                next_step="deploy it first",
                status=404,
            )
        return live, self._url_of(found)

    def _url_of(self, found: Object) -> str:
        """Where callers find the function. Raises TargetError while the platform has not said so."""
        url = found.get("status", {}).get("url")
        if not url:
            raise TargetError(
                f"{self._platform.title} has given {found['metadata']['name']} no URL yet",
                next_step=self._look(found["metadata"]["name"]),
            )
        return str(url)


def open_knative(_: Function, __: Path) -> ServerlessTarget:
    """The namespace PENSTOCK_KUBERNETES_NAMESPACE of the cluster that this is a pod of, or a kubeconfig names. Raises TargetError."""
    return _open(Knative())


def open_kserve(_: Function, __: Path) -> ServerlessTarget:
    """The same for KServe. Raises TargetError."""
    return _open(KServe())


def _open(platform: Platform) -> ServerlessTarget:
    given = settings.read(serverless=True)
    return ServerlessTarget(Api(access.find(), given.namespace), given, platform)

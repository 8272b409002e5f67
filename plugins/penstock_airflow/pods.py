"""A stage as a pod: the step of the chain around `KubernetesPodOperator`, deferred while the pod runs for long.

The request and the outcome are files of the store, as the artifacts are: no sidecar waits to hand over a result
(apache/airflow#38115, #39184), and who comes back to a pod that is gone reads how its job ended.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import urllib3
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk import conf
from airflow.sdk.exceptions import AirflowException
from kubernetes import watch
from kubernetes.client import ApiException

from penstock import code, settings
from penstock.chain import Chain
from penstock.record import jobs_of
from penstock.spec.pipeline import Pipeline, Resources
from penstock.work import Outcome, Request
from penstock_airflow import deaths, executors, shape
from penstock_airflow.links import buttons
from penstock_airflow.steps import take

if TYPE_CHECKING:
    from airflow.sdk import Context
    from kubernetes.client import models as k8s

_ENDED = ("Succeeded", "Failed")


class PodStageOperator(KubernetesPodOperator):
    """Takes one step of the chain: reuses what is there, else starts the stage's job as a pod and waits for it.

    The decision to reuse is made before a pod exists. A job of seconds is waited for in the worker, as the way over the
    triggerer and into another worker takes seconds; a longer one deferred, without a worker. Airflow's section
    `[penstock]` says where pods run.
    """

    ui_color = "#dcfce7"
    template_fields = ("interval",)

    def __init__(self, *, pipeline: Pipeline, interval: str | None = None, **kwargs: Any) -> None:
        given = pipeline.resources.get(kwargs["task_id"], Resources())
        driver = given.executors is not None
        super().__init__(
            random_name_suffix=False,  # it is in the name that each pod gets: its request and outcome bear it
            namespace=shape.namespace(),
            config_file=conf.get("penstock", "kube_config", fallback=None),
            service_account_name=given.service_account or shape.account(driver),
            # Only a driver speaks to the cluster.
            automount_service_account_token=driver,
            env_vars=shape.own_address() if driver else [],
            env_from=shape.secrets(),
            cmds=["python3"],
            container_resources=shape.resources(given),
            security_context=shape.POD_SECURITY,
            container_security_context=shape.CONTAINER_SECURITY,
            volumes=[shape.scratch()],
            volume_mounts=shape.mounts(),
            **shape.placement(given),
            deferrable=True,
            poll_interval=conf.getfloat("penstock", "poll_interval", fallback=1.0),
            logging_interval=5,
            # A pod that cannot be pulled or scheduled by then fails, with the cluster's own reason.
            startup_timeout_seconds=conf.getint("penstock", "startup_timeout", fallback=300),
            schedule_timeout_seconds=conf.getint("penstock", "schedule_timeout", fallback=300),
            startup_check_interval_seconds=1,
            do_xcom_push=False,
            on_finish_action="delete_pod",
            **kwargs,
        )
        self.pipeline = pipeline
        self.interval = interval
        self.given = given
        self.hold = conf.getint("penstock", "hold", fallback=10)
        self.operator_extra_links = buttons(pipeline, self.task_id)
        self.links: Mapping[str, str] = {}
        # Whether this very try begins a pod, and once that has ended its name and how it died, where it did.
        self._begins = False
        self._ended: tuple[str, Outcome | None] | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """The entry's state, why and keys; defers while a pod runs."""
        try:
            return self._step(context, lambda chain, request: self._begin(chain, context, request))
        finally:
            if not self._begins and context["ti"].try_number > 1:
                self._remove_left(context)

    def trigger_reentry(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Comes back when the pod has ended, or was seen no more; also at once, where it had before the task deferred."""
        death = self._death(event)
        # It writes the log's rest and removes the pod, or defers again; what became of the job the outcome says.
        with suppress(AirflowException):
            super().trigger_reentry(context, event)
        if self._begins:  # the step is in hand, and goes on
            self._ended = event["name"], death
            return {}
        return self._step(
            context, lambda chain, request: self._outcome(chain, context, event["name"], request, death)
        )

    def get_or_create_pod(self, pod_request_obj: k8s.V1Pod, context: Context) -> k8s.V1Pod:
        """The pod as it is after `hold` seconds, or once it has ended: then the provider does not defer."""
        # At once: a task that is cancelled removes its own pod.
        self.pod = super().get_or_create_pod(pod_request_obj, context)
        if not self.hold:
            return self.pod
        seen = watch.Watch().stream(
            self.client.list_namespaced_pod,
            self.pod.metadata.namespace,
            field_selector=f"metadata.name={self.pod.metadata.name}",
            timeout_seconds=self.hold,
        )
        # A cluster that does not answer is the triggerer's to wait for.
        with suppress(ApiException, urllib3.exceptions.HTTPError), closing(seen):
            for event in seen:
                self.pod = event["object"]
                if self.pod.status.phase in _ENDED:
                    break
        return self.pod

    def _remove_left(self, context: Context) -> None:
        """Remove the pod of an earlier try whose worker died when the job had ended: its work is in the store."""
        pod = self.find_pod(self.namespace, context=context, exclude_checked=False)
        if pod is not None:
            self.pod_manager.delete_pod(pod)

    def _step(self, context: Context, start: Callable[[Chain, Request], Outcome]) -> dict[str, Any]:
        chain = Chain(settings.load(), self.pipeline, code.of_image)
        return take(self, chain, context, lambda request: start(chain, request))

    def _begin(self, chain: Chain, context: Context, request: Request) -> Outcome:
        """Make the stage's pod, or take the one of this task that an earlier try left running."""
        self._begins = True
        record = code.of_image(chain.settings, self.pipeline)
        self.image = record.image
        readable = f"{self.pipeline.name}-{request.stage}"[:50].rstrip("_").replace("_", "-")
        self.name = f"{readable}-{uuid.uuid4().hex[:8]}"
        self.labels = {
            "penstock/pipeline": request.pipeline,
            "penstock/stage": request.stage,
            "penstock/key": request.items[0].key,
        }
        self.annotations = {"penstock/run": request.run, "penstock/owner": self.pipeline.owner}
        if self.given.executors is not None:
            spread = executors.pods(self.given, request, record.image, self.labels, self.annotations)
            request = request.model_copy(update={"executors": spread})
        place = self._place(context, self.name)
        chain.store.write_json(f"{place}/request.json", request.model_dump(mode="json"))
        self.arguments = [
            "-m", f"jobs.{request.stage}",
            "--request", chain.store.uri_of(f"{place}/request.json"),
            "--outcome", chain.store.uri_of(f"{place}/outcome.json"),
        ]  # fmt: skip
        try:
            super().execute(context)
        except ApiException as error:
            return deaths.refused(request.stage, error)
        # Not deferred: the pod had ended.
        assert self._ended is not None
        pod, death = self._ended
        return self._outcome(chain, context, pod, request, death)

    def _outcome(
        self, chain: Chain, context: Context, pod: str, request: Request, death: Outcome | None
    ) -> Outcome:
        """How the job in a pod ended, by its own word; else by how the pod did."""
        place = self._place(context, pod)
        asked = chain.store.read_json(f"{place}/request.json")
        if asked is not None and Request.model_validate(asked).items == request.items:
            ended = chain.store.read_json(f"{place}/outcome.json")
            if ended is not None:
                return Outcome.model_validate(ended)
        return death or deaths.without_a_word(request.stage)

    def _place(self, context: Context, pod: str) -> str:
        return f"{jobs_of(self.pipeline.name, context['ti'].run_id)}/{pod}"

    def _death(self, event: Mapping[str, Any]) -> Outcome | None:
        try:
            pod = self.hook.get_pod(event["name"], event["namespace"])
        except ApiException as error:
            if error.status != 404:
                raise
            return deaths.gone(self.task_id)
        return deaths.of(self.task_id, pod, event)

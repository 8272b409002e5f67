"""A stage as a pod: the step of the chain around `KubernetesPodOperator`, deferred while the pod runs.

The request and the outcome are files of the store, as the artifacts are: no sidecar waits to hand over a result
(apache/airflow#38115, #39184), and who comes back to a pod that is gone reads how its job ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk import conf
from airflow.sdk.exceptions import AirflowException
from kubernetes.client import ApiException
from kubernetes.client import models as k8s

from penstock import code, settings
from penstock.chain import Chain
from penstock.spec.pipeline import Pipeline
from penstock.work import Outcome, Request
from penstock_airflow import deaths
from penstock_airflow.links import buttons
from penstock_airflow.steps import take

if TYPE_CHECKING:
    from airflow.sdk import Context

_USER = 10001  # images/Dockerfile
_SCRATCH = "/scratch"


class PodStageOperator(KubernetesPodOperator):
    """Takes one step of the chain: reuses what is there, else starts the stage's job as a pod and waits deferred.

    The decision to reuse is made before a pod exists. Airflow's section `[penstock]` says where pods run.
    """

    ui_color = "#dcfce7"
    template_fields = ("interval",)

    def __init__(self, *, pipeline: Pipeline, interval: str | None = None, **kwargs: Any) -> None:
        given = pipeline.resources.get(kwargs["task_id"])
        super().__init__(
            name=f"{pipeline.name}-{kwargs['task_id']}"[:50],
            namespace=conf.get("penstock", "namespace", fallback="penstock"),
            config_file=conf.get("penstock", "kube_config", fallback=None),
            service_account_name=conf.get("penstock", "service_account", fallback="penstock-job"),
            automount_service_account_token=False,
            # Where the store and MLflow are, and the keys to them: by reference, never in the pod's own text.
            env_from=[
                k8s.V1EnvFromSource(
                    secret_ref=k8s.V1SecretEnvSource(
                        name=conf.get("penstock", "secret", fallback="penstock-job")
                    )
                )
            ],
            cmds=["python3"],
            container_resources=_resources(given),
            security_context=k8s.V1PodSecurityContext(
                run_as_non_root=True,
                run_as_user=_USER,
                fs_group=_USER,
                seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault"),
            ),
            container_security_context=k8s.V1SecurityContext(
                allow_privilege_escalation=False,
                read_only_root_filesystem=True,
                capabilities=k8s.V1Capabilities(drop=["ALL"]),
            ),
            volumes=[
                k8s.V1Volume(
                    name="scratch",
                    empty_dir=k8s.V1EmptyDirVolumeSource(
                        size_limit=conf.get("penstock", "scratch", fallback="20Gi")
                    ),
                )
            ],
            volume_mounts=[
                k8s.V1VolumeMount(name="scratch", mount_path=_SCRATCH, sub_path="scratch"),
                k8s.V1VolumeMount(name="scratch", mount_path="/tmp", sub_path="tmp"),  # noqa: S108 - in the pod
            ],
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
        self.operator_extra_links = buttons(pipeline, self.task_id)
        self.links: Mapping[str, str] = {}

    def execute(self, context: Context) -> dict[str, Any]:
        """The entry's state, why and keys; defers while a pod runs."""
        return self._step(context, None)

    def trigger_reentry(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Comes back when the pod has ended, or was seen no more."""
        death = self._death(event)
        # It writes the log's rest and removes the pod, or defers again; what became of the job the outcome says.
        with suppress(AirflowException):
            super().trigger_reentry(context, event)
        return self._step(context, death)

    def _step(self, context: Context, death: Outcome | None) -> dict[str, Any]:
        here = settings.load()
        chain = Chain(here, self.pipeline, code.of_image)

        def start(request: Request) -> Outcome:
            ended = self._outcome(chain, context, request)
            if ended is not None:
                return ended
            if death is not None:
                return death
            self._begin(chain, context, request)
            # A pod that had ended before it was waited for.
            return self._outcome(chain, context, request) or deaths.without_a_word(request.stage)

        return take(self, chain, context, start)

    def _begin(self, chain: Chain, context: Context, request: Request) -> None:
        place = self._place(context)
        chain.store.remove(f"{place}/outcome.json")
        chain.store.write_json(f"{place}/request.json", request.model_dump(mode="json"))
        self.image = code.of_image(chain.settings, self.pipeline).image
        self.labels = {
            "penstock/pipeline": request.pipeline,
            "penstock/stage": request.stage,
            "penstock/key": request.items[0].key,
        }
        self.annotations = {"penstock/run": request.run, "penstock/owner": self.pipeline.owner}
        self.arguments = [
            "-m", f"jobs.{request.stage}",
            "--request", chain.store.uri_of(f"{place}/request.json"),
            "--outcome", chain.store.uri_of(f"{place}/outcome.json"),
        ]  # fmt: skip
        super().execute(context)

    def _outcome(self, chain: Chain, context: Context, request: Request) -> Outcome | None:
        """How the job of that very request ended in this try; None where it did not, or was never begun."""
        place = self._place(context)
        asked = chain.store.read_json(f"{place}/request.json")
        if asked is None or Request.model_validate(asked).items != request.items:
            return None
        ended = chain.store.read_json(f"{place}/outcome.json")
        return None if ended is None else Outcome.model_validate(ended)

    def _place(self, context: Context) -> str:
        ti = context["ti"]
        return f"{self.pipeline.name}/_runs/{ti.run_id}/jobs/{self.task_id}.{ti.map_index}.{ti.try_number}"

    def _death(self, event: Mapping[str, Any]) -> Outcome | None:
        try:
            pod = self.hook.get_pod(event["name"], event["namespace"])
        except ApiException as error:
            if error.status != 404:
                raise
            return deaths.gone(self.task_id)
        return deaths.of(self.task_id, pod, event)


def _resources(given: Any) -> k8s.V1ResourceRequirements | None:
    if given is None:
        return None
    limits = {
        name: value
        for name, value in {"memory": given.memory, "nvidia.com/gpu": given.gpu or None}.items()
        if value
    }
    requests = {**limits, **({"cpu": given.cpu} if given.cpu else {})}
    return k8s.V1ResourceRequirements(
        requests={name: str(value) for name, value in requests.items()},
        limits={name: str(value) for name, value in limits.items()},
    )

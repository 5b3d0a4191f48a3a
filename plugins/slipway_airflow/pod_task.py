"""``PodTask``: one pod manifest, run where the connection says, and successful only by its verified result file."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk.bases.xcom import BaseXCom

from slipway.connections import ComputeConnection
from slipway.errors import SlipwayError
from slipway.pipeline.load import find_pipeline
from slipway.pods.docker import DockerPod, container_name, engine
from slipway.pods.kubernetes import ended_badly, not_run
from slipway.pods.manifest import PodManifest, load_manifest
from slipway.pods.process import ProcessPod
from slipway.pods.result import RESULT, PodResult
from slipway.settings import settings
from slipway.stages import intended
from slipway.stages.pod_work import conclude_work, reuse_work
from slipway.stages.train import TrainingPlan, require_planned_code
from slipway_airflow import connections
from slipway_airflow.failures import fail_fast
from slipway_airflow.provenance import run_of
from slipway_airflow.reuse_link import HitOrMissLink
from slipway_airflow.reuse_note import forced, note

if TYPE_CHECKING:
    from airflow.sdk import Context

# How long a pod may wait on a cluster before it runs, in seconds. Airflow's own 120 fit neither a node pool that
# grows on demand nor the first pull of an image with CUDA in it.
SCHEDULE_SECONDS = 3600
STARTUP_SECONDS = 1200


class PodTask(KubernetesPodOperator):  # type: ignore[misc]  # Airflow's providers carry no types
    """Run a manifest of ``include/pods/`` on a cluster, a Docker engine, or as a process of this machine.

    ``plan`` is a ``slipway.stages.train.TrainingPlan`` in its plain form; ``work`` names the part of it this pod does:
    its arguments, and the prefix in the lake where a result file with the work's fingerprint must lie when the pod
    has ended. No pod is started when the ledger knows that fingerprint and its outputs are there, or when an earlier
    try of this run left its result. Nor is one started when the code changed since the plan: the plan's fingerprint
    would vouch for other code.

    ``command`` replaces the manifest's container command, for a second entry point of the same image.
    """

    template_fields = (*KubernetesPodOperator.template_fields, "plan")
    operator_extra_links = (HitOrMissLink(),)
    labels: dict[str, str]

    def __init__(
        self,
        *,
        manifest: str,
        plan: Any,
        work: str,
        command: list[str] | None = None,
        compute_conn_id: str = "slipway_compute",
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("schedule_timeout_seconds", SCHEDULE_SECONDS)
        kwargs.setdefault("startup_timeout_seconds", STARTUP_SECONDS)
        super().__init__(
            pod_template_file=str(settings().manifests / f"{manifest}.yaml"),
            base_container_name="base",
            cmds=command,
            # To KubernetesPodOperator this flag means a sidecar container; `execute` pushes its own value.
            do_xcom_push=False,
            # A deferred pod would come back past `execute`, and with it past the result file.
            deferrable=False,
            on_finish_action="delete_pod",
            # Where a container leaves no message of its own, the end of its log stands in the pod's status.
            termination_message_policy="FallbackToLogsOnError",
            log_events_on_failure=True,
            log_pod_spec_on_failure=False,
            **kwargs,
        )
        self.plan = plan
        self.work = work
        self.compute_conn_id = compute_conn_id
        self._running: ProcessPod | DockerPod | None = None

    @fail_fast
    def execute(self, context: Context) -> dict[str, Any]:
        """Run the pod unless its result is there; returns the result's status and output digests."""
        plan, run, started = TrainingPlan.of(self.plan), run_of(context), dt.datetime.now(dt.UTC)
        pipeline = find_pipeline(settings().pipelines, plan.pipeline)
        reuse = reuse_work(
            connections.lake(),
            connections.ledger(),
            plan,
            self.work,
            run_id=run.run_id,
            force=forced(context),
            recheck=pipeline.recheck,
        )
        note(context, reuse.brief())
        if not reuse.hit:
            require_planned_code(plan, self.work, pipeline, settings().root)
            with connections.intents().intended(intended.pod(plan.output(self.work), RESULT)):
                self._run(plan, connections.compute(self.compute_conn_id), context)
        result = conclude_work(
            connections.lake(), connections.ledger(), plan, self.work, run, root=settings().root, started=started
        )
        summary = _summary(result)
        context["ti"].xcom_push(key=BaseXCom.XCOM_RETURN_KEY, value=summary)
        return summary

    def on_kill(self) -> None:
        """Stop the pod wherever it runs."""
        if self._running is not None:
            self._running.kill()
        else:
            super().on_kill()

    def cleanup(self, pod: Any, remote_pod: Any, xcom_result: Any = None, context: Context | None = None) -> None:
        """Look at the pod once more before it is deleted: what was read when it started does not say how it ended."""
        if remote_pod is not None and not self._killed:
            with suppress(Exception):
                self.remote_pod = remote_pod = self.pod_manager.read_pod(remote_pod)
        super().cleanup(pod, remote_pod, xcom_result, context)

    def _run(self, plan: TrainingPlan, compute: ComputeConnection, context: Context) -> None:
        manifest = load_manifest(settings().manifests / self._manifest_name).with_command(self.cmds)
        # Joined by `=`, as a run's id may begin with a dash.
        arguments = [*plan.works[self.work].arguments, f"--run={run_of(context).run_id}"]
        if compute.runtime == "kubernetes":
            self.arguments = [*manifest.container.args, *arguments]
            self.labels = {**self.labels, "slipway/fingerprint": plan.works[self.work].fingerprint[:40]}
            self._run_on_cluster(compute, context)
        else:
            self._running = self._local(compute, manifest, plan.works[self.work].output, arguments)
            self._running.run(self.log.info)

    def _local(
        self, compute: ComputeConnection, manifest: PodManifest, output: str, arguments: list[str]
    ) -> ProcessPod | DockerPod:
        secrets = connections.pod_secrets()
        if compute.runtime == "docker":
            lake = secrets["slipway-lakefs"]
            name = container_name(output, owner=f"{lake['endpoint']} {lake['access-key']}")
            return DockerPod(engine(), manifest, arguments, secrets, name)
        return ProcessPod(manifest, arguments, secrets, settings().root)

    def _run_on_cluster(self, compute: ComputeConnection, context: Context) -> None:
        self.kubernetes_conn_id = compute.kubernetes_conn_id
        self.namespace = compute.namespace
        try:
            super().execute(context)
        except Exception as error:
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> SlipwayError:
        return ended_badly(getattr(self.remote_pod, "status", None), self._manifest_name) or not_run(error)

    @property
    def _manifest_name(self) -> str:
        return str(self.pod_template_file).rsplit("/", 1)[-1]


def _summary(result: PodResult) -> dict[str, Any]:
    return {
        "status": result.status,
        "reason": result.reason,
        "outputs": {name: output.sha256 for name, output in result.outputs.items()},
    }

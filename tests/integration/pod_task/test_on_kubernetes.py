"""``PodTask`` on a cluster: Airflow's task runner, its pod operator and the Kubernetes client, over HTTP."""

import json

import httpx
import pytest

from slipway.pods.result import RESULT
from tests.integration.pod_task.running import RUN_ID, SupervisorSimulator, run_task
from tests.integration.pod_task.training_pod import ARGUMENTS, FINGERPRINT, OUTPUT, SECRETS, finish, pod_task
from tests.simulators.kubernetes import Ending, running_cluster


def test_a_pod_with_a_verified_result_succeeds_and_leaves_digests_alone_in_xcom(on_cluster):
    outcome, _ = on_cluster()
    assert outcome.state == "success", outcome.error
    assert outcome.returned["status"] == "built"
    assert len(outcome.returned["outputs"]["model.safetensors"]) == 64
    assert set(outcome.returned) == {"status", "reason", "outputs"}


def test_the_pod_posted_to_the_cluster_is_the_manifest_with_this_tasks_arguments(on_cluster):
    _, cluster = on_cluster()
    (pod,) = cluster.created
    container = pod["spec"]["containers"][0]
    assert container["image"] == "slipway/trainer:0.1.0"
    assert container["command"] == ["python", "-m", "slipway.training"]
    assert container["args"] == [*ARGUMENTS, f"--run={RUN_ID}"]
    assert container["resources"]["limits"] == {"cpu": "4", "memory": "8Gi", "nvidia.com/gpu": "1"}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["spec"]["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert pod["spec"]["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["spec"]["activeDeadlineSeconds"] == 3600
    assert pod["spec"]["restartPolicy"] == "Never"
    assert pod["metadata"]["namespace"] == "ml"
    labels = pod["metadata"]["labels"]
    assert labels["app.kubernetes.io/component"] == "train"
    assert labels["slipway/fingerprint"] == FINGERPRINT[:40]
    assert (labels["dag_id"], labels["task_id"], labels["try_number"]) == ("digits.train", "train", "1")


def test_the_pod_names_its_secrets_and_carries_none(on_cluster):
    _, cluster = on_cluster()
    (pod,) = cluster.created
    variables = {each["name"]: each for each in pod["spec"]["containers"][0]["env"]}
    assert variables["LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY"]["valueFrom"]["secretKeyRef"] == {
        "name": "slipway-lakefs",
        "key": "secret-key",
    }
    assert variables["MLFLOW_TRACKING_URI"]["valueFrom"]["secretKeyRef"]["name"] == "slipway-mlflow"
    assert not [value for value in SECRETS.values() if value in json.dumps(pod)]


def test_the_pod_is_deleted_when_it_has_ended(on_cluster):
    _, cluster = on_cluster()
    assert cluster.deleted == [cluster.created[0]["metadata"]["name"]]
    assert cluster.names() == []


def test_a_failed_container_is_told_with_its_exit_code_and_last_words_and_tried_again(on_cluster):
    outcome, cluster = on_cluster(Ending(exit_code=1, log=("loading", "CUDA out of memory")))
    assert outcome.state == "up_for_retry"
    assert outcome.error.startswith("PodFailedError: the pod ended with exit code 1")
    assert "CUDA out of memory" in outcome.error
    assert cluster.names() == []


def test_a_container_that_says_its_input_is_wrong_is_not_tried_again(on_cluster):
    outcome, _ = on_cluster(Ending(exit_code=65, log=("DataError: no rows",)))
    assert outcome.state == "failed"
    assert "exit code 65" in outcome.error and "no rows" in outcome.error


@pytest.mark.parametrize("starts", [True, False], ids=["while running", "before it started"])
def test_a_pod_past_its_deadline_is_not_tried_again_and_the_deadline_is_named(on_cluster, starts):
    outcome, cluster = on_cluster(Ending(exit_code=137, reason="DeadlineExceeded", starts=starts))
    assert outcome.state == "failed"
    assert outcome.error.startswith("AirflowFailException: PodDeadlineError")
    assert "activeDeadlineSeconds" in outcome.error and "train.yaml" in outcome.error
    assert cluster.names() == []


def test_an_evicted_pod_is_tried_again_whatever_its_exit_code(on_cluster):
    outcome, _ = on_cluster(Ending(exit_code=65, reason="Evicted"))
    assert outcome.state == "up_for_retry"
    assert "Evicted" in outcome.error


def test_an_image_that_cannot_be_pulled_is_named(on_cluster):
    outcome, cluster = on_cluster(Ending(image_error="slipway/trainer:0.1.0: not found"))
    assert outcome.state == "up_for_retry"
    assert "slipway/trainer:0.1.0: not found" in outcome.error
    assert cluster.names() == []


def test_a_pod_that_succeeds_without_a_result_file_fails_the_task_for_good(on_cluster):
    outcome, _ = on_cluster(Ending())
    assert outcome.state == "failed"
    assert "PodResultError" in outcome.error and RESULT in outcome.error and "there is none" in outcome.error
    assert outcome.returned is None


def test_a_result_of_other_work_fails_the_task_for_good(on_cluster, lake):
    outcome, _ = on_cluster(Ending(work=lambda pod: finish(lake, fingerprint="cd" * 32)))
    assert outcome.state == "failed"
    assert "it is the report of other work" in outcome.error


def test_no_pod_is_started_when_its_result_is_there_and_verifies(on_cluster, lake):
    finish(lake)
    outcome, cluster = on_cluster()
    assert outcome.state == "success"
    assert outcome.returned["status"] == "built"
    assert cluster.created == []


def test_a_forced_run_starts_a_pod_beside_an_earlier_runs_result_and_its_retry_none(on_cluster, lake):
    assert on_cluster()[0].state == "success"
    forced = {"force": True}
    outcome, cluster = on_cluster(Ending(work=lambda pod: finish(lake, run="r2")), run_id="r2", params=forced)
    assert outcome.state == "success", outcome.error
    assert (len(cluster.created), outcome.xcoms["hit_or_miss"]["outcome"]) == (1, "force")
    outcome, cluster = on_cluster(run_id="r2", try_number=2, params=forced)
    assert (outcome.state, cluster.created) == ("success", [])


def test_a_forced_run_that_gives_other_outputs_fails_for_good(on_cluster, lake):
    assert on_cluster()[0].state == "success"
    other = Ending(work=lambda pod: finish(lake, run="r2", weights=b"other"))
    outcome, _ = on_cluster(other, run_id="r2", params={"force": True})
    assert outcome.state == "failed"
    assert "DisputedError" in outcome.error


def test_an_image_of_other_code_than_the_plans_fails_for_good(on_cluster, lake):
    outcome, _ = on_cluster(Ending(work=lambda pod: finish(lake, code="0" * 64)))
    assert outcome.state == "failed"
    assert "rebuild the pod's image" in outcome.error


def test_a_cluster_that_does_not_answer_is_named_and_tried_again(connect, lake):
    with running_cluster() as cluster:
        gone = cluster.kube_config()
    connect("slipway_compute", extra={"runtime": "kubernetes"})
    connect("kubernetes_default", conn_type="kubernetes", extra={"kube_config": gone})
    outcome = run_task(pod_task())
    assert outcome.state == "up_for_retry"
    assert outcome.error.startswith("UnavailableError: the Kubernetes API did not answer")
    assert gone["clusters"][0]["cluster"]["server"].rsplit(":", 1)[1] in outcome.error


@pytest.mark.parametrize(
    ("code", "message", "state"),
    [
        (403, "pods is forbidden: violates PodSecurity", "failed"),
        (422, "Pod is invalid: spec.containers[0].image: Required value", "failed"),
        (403, "pods is forbidden: exceeded quota: gpus", "up_for_retry"),
        (500, "etcdserver: leader changed", "up_for_retry"),
    ],
)
def test_a_pod_the_cluster_refuses_is_tried_again_only_where_time_can_help(on_cluster, code, message, state):
    outcome, cluster = on_cluster(before=lambda cluster: cluster.refuse(code, message))
    assert outcome.state == state
    assert message in outcome.error and str(code) in outcome.error
    assert cluster.names() == []


def test_a_kubeconfig_without_a_cluster_is_not_tried_again(connect, lake):
    connect("slipway_compute", extra={"runtime": "kubernetes"})
    connect("kubernetes_default", conn_type="kubernetes", extra={"kube_config": {"apiVersion": "v1", "kind": "Config"}})
    outcome = run_task(pod_task())
    assert outcome.state == "failed"
    assert "kubeconfig" in outcome.error


@pytest.mark.parametrize("remembered", [True, False], ids=["by its stored name", "by its labels"])
def test_a_pod_left_running_by_a_killed_worker_is_followed_and_not_started_twice(on_cluster, lake, ledger, remembered):
    supervisor = SupervisorSimulator()
    _, earlier = on_cluster(supervisor=supervisor)
    lake.delete(OUTPUT / RESULT)
    ledger("of a killed worker, who recorded nothing")

    def left_running(cluster):
        pods = cluster.kube_config()["clusters"][0]["cluster"]["server"] + "/api/v1/namespaces/ml/pods"
        assert httpx.post(pods, json=earlier.created[0]).status_code == 200

    retry = {"supervisor": supervisor if remembered else SupervisorSimulator(), "try_number": 2}
    outcome, cluster = on_cluster(before=left_running, **retry)
    assert outcome.state == "success", outcome.error
    assert cluster.created == [earlier.created[0]]
    assert cluster.names() == []


def test_a_deployment_that_defers_by_default_does_not_get_past_the_result_file(on_cluster):
    outcome, _ = on_cluster(Ending(), default_args={"deferrable": True})
    assert outcome.state == "failed"
    assert "PodResultError" in outcome.error


def test_a_lake_that_does_not_answer_starts_no_pod_and_is_tried_again(on_cluster, lake):
    lake.reachable = False
    outcome, cluster = on_cluster()
    assert outcome.state == "up_for_retry"
    assert cluster.created == []


def test_what_another_run_made_of_the_same_is_brought_here_and_no_pod_is_started(on_cluster, lake):
    first, _ = on_cluster()
    assert first.state == "success", first.error
    lake.delete_branch(OUTPUT.repository, OUTPUT.ref)
    lake.create_branch(OUTPUT.repository, OUTPUT.ref, "main")
    outcome, cluster = on_cluster()
    assert outcome.state == "success", outcome.error
    assert cluster.created == []
    assert lake.get(OUTPUT / "model.safetensors") == b"weights"
    assert (first.xcoms["hit_or_miss"]["outcome"], outcome.xcoms["hit_or_miss"]["outcome"]) == ("miss", "hit")

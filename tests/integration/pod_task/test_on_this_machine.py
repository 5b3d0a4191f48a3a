"""``PodTask`` as a process of this machine, and on a Docker engine."""

import docker
from slipway.lake.client import Lake
from tests.contract.lake.server import running_server
from tests.integration.pod_task.running import RUN_ID, run_task
from tests.integration.pod_task.training_pod import ARGUMENTS, OUTPUT, SECRETS, finish, pod_task
from tests.simulators.docker import EngineSimulator

# What a pod does when all is well: an output, then the result file.
SCRIPT = """
import sys
from slipway.lake.client import Lake
from slipway.lake.uri import LakeUri
from slipway.pipeline.load import find_pipeline
from slipway.pods.entries import own_code
from slipway.pods.result import PodResult, upload, write_result
from slipway.settings import settings
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
lake, output = Lake.from_environment(), LakeUri.parse(arguments["--output"])
outputs = upload(lake, output, {"model.safetensors": b"weights"})
known = {"stage": "train", "fingerprint": arguments["--fingerprint"], "status": "built", "hardware": "cpu"}
run, pipeline = sys.argv[-1].removeprefix("--run="), find_pipeline(settings().pipelines, arguments["--pipeline"])
write_result(lake, output, PodResult(outputs=outputs, run=run, code=own_code(pipeline, "train"), **known))
print("uploaded to", output)
"""


def test_a_process_pod_reads_its_credentials_writes_to_a_lake_server_and_is_verified(
    connect, ledger, manifest, monkeypatch, tmp_path
):
    with running_server(tmp_path) as server:
        lake = Lake(server)
        lake.ensure_repository(OUTPUT.repository)
        lake.create_branch(OUTPUT.repository, OUTPUT.ref, "main")
        monkeypatch.setattr("slipway_airflow.connections.lake", lambda: lake)
        connect("lakefs_default", host=server.endpoint, login=server.access_key, password=server.secret_key)
        connect("slipway_compute", extra={"runtime": "process"})
        outcome = run_task(pod_task(manifest(SCRIPT)))
        assert outcome.state == "success", outcome.error
        assert lake.get(OUTPUT / "model.safetensors") == b"weights"
        assert outcome.returned["status"] == "built"


def test_a_process_pod_that_fails_is_tried_again_unless_its_input_is_wrong(connect, lake, manifest):
    connect("slipway_compute", extra={"runtime": "process"})
    name = manifest("import os, sys; print('bad', flush=True); sys.exit(int(os.environ['PYTHONHASHSEED']) or 75)")
    outcome = run_task(pod_task(name))
    assert outcome.state == "up_for_retry"
    assert "exit code 75" in outcome.error and "bad" in outcome.error
    outcome = run_task(pod_task(name, command=["python", "-c", "import sys; sys.exit(65)"]))
    assert outcome.state == "failed"
    assert "exit code 65" in outcome.error


def test_a_pod_is_not_started_when_the_code_changed_since_the_plan_but_its_result_is_still_taken(
    connect, lake, manifest, tmp_path
):
    connect("slipway_compute", extra={"runtime": "process"})
    task = pod_task(manifest("import sys; sys.exit('started')"))
    model = tmp_path / "include" / "models" / "digit_reader.py"
    model.write_text(model.read_text() + "\n# edited\n")
    outcome = run_task(task)
    assert outcome.state == "failed"
    assert "digit_reader.py" in outcome.error and "clear the run from `plan`" in outcome.error
    finish(lake)
    assert run_task(task).state == "success"


def test_a_process_pod_past_its_deadline_is_not_tried_again(connect, lake, manifest):
    connect("slipway_compute", extra={"runtime": "process"})
    outcome = run_task(pod_task(manifest("import time; time.sleep(60)", deadline=1)))
    assert outcome.state == "failed"
    assert "activeDeadlineSeconds=1" in outcome.error


def test_stopping_the_task_stops_its_process_pod(connect, lake, manifest):
    connect("slipway_compute", extra={"runtime": "process"})
    # The worker is told to end, as its supervisor would, once the pod is there.
    script = "import os, signal, time; os.kill(os.getppid(), signal.SIGTERM); time.sleep(60)"
    outcome = run_task(pod_task(manifest(script)))
    assert "killed by signal 9" in outcome.error


def test_the_same_task_runs_on_a_docker_engine(connect, lake, monkeypatch):
    engine = EngineSimulator(work=lambda options: finish(lake), log=[b"epoch 1\n"])
    monkeypatch.setattr(docker, "from_env", lambda **_: engine)
    connect("slipway_compute", extra={"runtime": "docker"})
    outcome = run_task(pod_task())
    assert outcome.state == "success", outcome.error
    (options,) = engine.created
    assert options["entrypoint"] == ["python", "-m", "slipway.training"]
    assert options["command"] == [*ARGUMENTS, f"--run={RUN_ID}"]
    assert options["environment"]["LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY"] == SECRETS["lakefs_default"]
    assert engine.containers.remaining == []


def test_a_docker_engine_that_is_not_there_is_named_and_tried_again(connect, lake, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    connect("slipway_compute", extra={"runtime": "docker"})
    outcome = run_task(pod_task())
    assert outcome.state == "up_for_retry"
    assert "the Docker engine did not answer" in outcome.error


def test_an_unknown_runtime_is_not_tried_again_and_the_known_ones_are_named(connect, lake):
    connect("slipway_compute", extra={"runtime": "nomad"})
    outcome = run_task(pod_task())
    assert outcome.state == "failed"
    assert "kubernetes" in outcome.error and "nomad" in outcome.error

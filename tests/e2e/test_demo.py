"""What `make demo` promises, on a stack of its own."""

import contextlib
import re
import stat

import httpx
import psutil

from slipway.embedded.stack import Stack
from slipway.embedded.supervision import Supervisor


def test_fourteen_days_are_published_and_pinned(demo):
    assert demo["partitions"] == 14
    assert re.fullmatch("[0-9a-f]{64}", demo["features_commit"])


def test_the_model_beats_the_plain_baseline(demo):
    model = demo["model"]
    assert model["metrics"]["auc"] > model["baseline"]["auc"] + 0.1


def test_cpu_targets_are_built_and_checked_and_tensorrt_is_skipped_with_its_reason(demo):
    targets = {target["name"]: target for target in demo["targets"]}
    for name in ("x86-cpu", "x86-cpu-int8"):
        assert targets[name]["status"] == "built"
        assert re.fullmatch("[0-9a-f]{64}", targets[name]["sha256"])
        assert targets[name]["agreement"] >= 0.97 and targets[name]["p50_ms"] > 0
    orin = targets["jetson-orin"]
    assert orin["status"] == "skipped" and "tensorrt" in orin["reason"].lower() and orin["sha256"] is None


def test_all_phases_passed_and_all_devices_run_the_new_version(demo):
    release = demo["release"]
    assert release["phases"] == [{"percent": percent, "verdict": "pass"} for percent in (5, 25, 100)]
    assert release["devices_on_new_version"] == release["devices"] == 20


def test_every_stage_says_how_long_it_took(demo):
    seconds = demo["seconds"]
    assert all(seconds[stage] > 0 for stage in ("ingest", "train", "export", "compile", "register", "release", "total"))


def test_running_it_again_finds_everything_done(demo, project):
    project.slipway("demo", timeout=120)
    again = project.report()
    assert again["model"]["version"] == demo["model"]["version"]
    assert again["features_commit"] == demo["features_commit"]


def test_the_registered_version_carries_its_provenance(demo, project):
    from slipway.registry import mlflow_registry

    tags = mlflow_registry.version_tags(project.local().mlflow, "flight_delay", demo["model"]["version"])
    assert tags["slipway.data_commit"] == demo["features_commit"]
    assert tags["slipway.fingerprint"] == demo["model"]["fingerprint"]
    assert tags["slipway.hardware"] and tags["slipway.code"]


def test_commits_on_main_name_the_run_that_made_them(demo, project):
    from slipway.lake.client import Lake

    info = Lake(project.local().lake).commit_info("flight-delay", demo["features_commit"])
    assert info.metadata["::lakefs::Airflow::dag_id"] == "flight_delay.ingest"
    assert info.metadata["::lakefs::Airflow::url[url:ui]"].startswith("http://127.0.0.1")
    assert info.metadata["slipway.code"]


def test_secrets_are_private_and_in_no_log(demo, project):
    file = project.root / "var/secrets.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    secrets = re.findall(r'"([^"\s]{16,})"', file.read_text())
    folders = [project.root / "var/log", project.root / "var/airflow/logs"]
    files = [path for folder in folders for path in folder.rglob("*.log")]
    assert any("task_id=train" in str(path) for path in files)
    logs = "".join(path.read_text(errors="replace") for path in files)
    assert secrets and not [name for name in secrets if name in logs]


def test_everything_the_stack_runs_listens_on_loopback_only(demo, project):
    ports = {
        int(port) for port in re.findall(r"conn_port: (\d+)", (project.root / "airflow_settings.yaml").read_text())
    }
    supervisor = psutil.Process(Supervisor(Stack(project.place()).layout).pid())
    listening = set()
    for process in (supervisor, *supervisor.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            sockets = process.net_connections(kind="tcp")
            listening |= {socket.laddr for socket in sockets if socket.status == psutil.CONN_LISTEN}
    assert ports <= {address.port for address in listening}
    loopback = ("127.0.0.1", "::1", "::ffff:127.0.0.1")
    assert not [address for address in listening if address.ip not in loopback]


def test_the_gateway_serves_signed_metadata(demo, project):
    answer = httpx.get(f"{project.local().channel.gateway}/tuf/metadata/timestamp.json", trust_env=False)
    assert answer.status_code == 200 and answer.json()["signatures"]

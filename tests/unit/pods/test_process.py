import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slipway.errors import ConfigurationError, PodDeadlineError, PodFailedError
from slipway.pods.manifest import PodManifest
from slipway.pods.process import ProcessPod
from slipway.settings import settings


def pod(tmp_path, script: str, deadline: int = 30, command=("python", "-c")) -> ProcessPod:
    manifest = PodManifest.model_validate(
        {
            "kind": "Pod",
            "spec": {
                "activeDeadlineSeconds": deadline,
                "containers": [
                    {
                        "name": "base",
                        "image": "none",
                        "command": list(command),
                        "env": [
                            {"name": "PLAIN", "value": "1"},
                            {"name": "HIDDEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                        ],
                    }
                ],
            },
        }
    )
    return ProcessPod(manifest, [script], {"s": {"k": "from-secret"}}, tmp_path)


def test_output_is_passed_on_line_by_line(tmp_path):
    lines: list[str] = []
    pod(tmp_path, "import sys; print('a'); print('b', file=sys.stderr)").run(lines.append)
    assert sorted(lines) == ["a", "b"]


def test_the_pod_sees_its_own_environment_and_not_the_workers(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "secret of the worker")
    lines: list[str] = []
    pod(
        tmp_path,
        "import os; print(os.environ['PLAIN'], os.environ['HIDDEN'], 'AIRFLOW__CORE__FERNET_KEY' in os.environ)",
    ).run(lines.append)
    assert lines == ["1 from-secret False"]


@pytest.mark.parametrize(("code", "retryable"), [(1, True), (2, False), (65, False), (75, True)])
def test_the_exit_code_says_whether_a_retry_can_help(tmp_path, code, retryable):
    with pytest.raises(PodFailedError, match=f"exit code {code}[\\s\\S]*bad news") as caught:
        pod(tmp_path, f"import sys; print('bad news', flush=True); sys.exit({code})").run(lambda _: None)
    assert caught.value.retryable is retryable


def test_a_killed_pod_may_be_tried_again(tmp_path):
    with pytest.raises(PodFailedError, match="killed by signal 9") as caught:
        pod(tmp_path, "import os; os.kill(os.getpid(), 9)").run(lambda _: None)
    assert caught.value.retryable


def test_a_pod_past_its_deadline_is_killed_with_all_its_children(tmp_path):
    script = "import subprocess, sys; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); p.wait()"
    lines: list[str] = []
    started = time.monotonic()
    with pytest.raises(PodDeadlineError, match="activeDeadlineSeconds=1"):
        pod(tmp_path, script, deadline=1).run(lines.append)
    assert time.monotonic() - started < 30
    assert ended(int(lines[0])), "the pod's child outlived the deadline"


def ended(process: int) -> bool:
    """Whether it ends within a few seconds; killed if it does not."""
    for _ in range(100):
        try:
            if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    os.kill(process, signal.SIGKILL)
    return False


WORKER = """
import sys
from slipway.pods.manifest import PodManifest
from slipway.pods.process import ProcessPod
container = {"name": "base", "image": "none", "command": ["python", "-S", "-c"]}
manifest = PodManifest.model_validate({"kind": "Pod", "spec": {"activeDeadlineSeconds": 60, "containers": [container]}})
script = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
from pathlib import Path
ProcessPod(manifest, [script], {}, Path(sys.argv[1])).run(lambda line: print(line, flush=True))
"""


def python(script: str, *arguments: str) -> subprocess.Popen[str]:
    environment = {"PATH": os.defpath, "PYTHONPATH": str(settings().root / "include")}
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_a_worker_that_is_killed_takes_its_pod_with_it(tmp_path):
    with python(WORKER, str(tmp_path)) as worker:
        assert worker.stdout is not None
        command = int(worker.stdout.readline())
        worker.kill()
    assert ended(command), "the pod's command outlived its worker"


def test_a_pod_whose_worker_died_before_the_kernel_knew_does_not_start():
    # The parent it is told is not the one it has, as after the worker's death.
    script = "import os; from slipway.pods.process import _die_with; _die_with(os.getpid()); print('started')"
    with python(script) as orphan:
        output, _ = orphan.communicate(timeout=30)
    assert (orphan.returncode, output) == (1, "")


def test_a_command_that_does_not_exist_is_a_configuration_error(tmp_path):
    with pytest.raises(ConfigurationError, match="no-such-program"):
        pod(tmp_path, "", command=("/no-such-program",)).run(lambda _: None)

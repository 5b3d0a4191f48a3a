"""The last of the end-to-end tests, by name: what `make demo EXIT=1` leaves behind."""

import subprocess
import sys

import psutil


def test_a_demo_that_is_to_stop_finds_everything_done_and_leaves_no_process(demo, project):
    project.slipway("demo", "--exit", timeout=240)
    command = [sys.executable, "-m", "slipway.embedded", "status"]
    status = subprocess.run(command, cwd=project.root, env=project.environment, capture_output=True, check=False)
    assert status.returncode == 3  # it does not run
    ours = str(project.root)
    left = [
        process.info for process in psutil.process_iter(["cmdline"]) if ours in " ".join(process.info["cmdline"] or ())
    ]
    assert left == []

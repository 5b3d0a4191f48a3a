"""``launch.py`` took itself for an orphan when the leader of its process group was gone, and killed itself."""

import json
import subprocess
import sys
import time

from slipway.embedded import launch

# The shell leads the group, starts the launcher through a process that stays its parent, and goes.
PARENT = "import subprocess, sys, time; time.sleep(0.3); subprocess.run(sys.argv[2:], stdout=open(sys.argv[1], 'w'))"


def test_a_launcher_in_a_group_without_leader_starts_its_service(tmp_path):
    specification, answer = tmp_path / "service.json", tmp_path / "answer"
    command = [sys.executable, "-S", "-c", "print('started')"]
    service = {"command": command, "environment": {}, "directory": str(tmp_path), "user": None}
    specification.write_text(json.dumps(service))
    launcher = [sys.executable, "-S", launch.__file__, str(specification)]
    shell = ["sh", "-c", '"$@" & exit 0', "sh", sys.executable, "-c", PARENT, str(answer), *launcher]
    subprocess.run(shell, start_new_session=True, check=True)
    end = time.monotonic() + 20
    while time.monotonic() < end and not (answer.exists() and answer.read_text()):
        time.sleep(0.05)
    assert answer.read_text() == "started\n"

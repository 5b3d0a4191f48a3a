from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from slipway.device.installation import Fetch, Installation
from slipway.errors import DeviceError, SelfTestError, UntrustedError
from tests.simulators.tiny_versions import TinyVersion, tiny_version


def fetches(made: TinyVersion) -> Fetch:
    def fetch(folder: Path) -> None:
        (folder / "manifest.json").write_text(json.dumps(made.manifest))
        (folder / "model.onnx").write_bytes(made.model)
        (folder / "golden.npz").write_bytes(made.golden)

    return fetch


def passes(_folder: Path) -> None:
    return None


def refuses(_folder: Path) -> None:
    raise SelfTestError("the golden batch disagrees")


def install(installation: Installation, version: str) -> None:
    installation.install(version, fetches(tiny_version(int(version))), passes)


def versions(installation: Installation) -> tuple[str | None, str | None]:
    current, previous = installation.current(), installation.previous()
    return current.version if current else None, previous.version if previous else None


def on_disk(state: Path) -> list[str]:
    return sorted(folder.name for folder in (state / "versions").iterdir())


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Writes beyond ``size`` bytes of a file fail, as they do on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_new_device_runs_nothing(tmp_path: Path) -> None:
    assert versions(Installation(tmp_path)) == (None, None)


def test_the_version_before_is_kept_and_older_ones_are_removed(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    for version in ("1", "2", "3"):
        install(installation, version)
    assert versions(installation) == ("3", "2")
    assert on_disk(tmp_path) == ["2", "3"]
    assert versions(Installation(tmp_path)) == ("3", "2")


def test_a_rollback_switches_to_the_kept_version_without_fetching(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    install(installation, "1")
    install(installation, "2")
    installation.rollback("1", passes)
    assert versions(installation) == ("1", "2")


def test_a_rollback_to_a_version_not_on_disk_changes_nothing(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    install(installation, "2")
    with pytest.raises(DeviceError, match="version 1"):
        installation.rollback("1", passes)
    assert versions(installation) == ("2", None)


def test_a_failed_check_leaves_the_version_in_use_and_the_one_before(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    install(installation, "1")
    install(installation, "2")
    with pytest.raises(SelfTestError):
        installation.install("3", fetches(tiny_version(3)), refuses)
    with pytest.raises(SelfTestError):
        installation.rollback("1", refuses)
    assert versions(installation) == ("2", "1")
    assert on_disk(tmp_path) == ["1", "2"]


def test_after_clearing_nothing_runs_and_the_version_can_come_back(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    install(installation, "1")
    installation.clear()
    assert versions(installation) == (None, "1")
    installation.rollback("1", passes)
    assert versions(installation) == ("1", None)


def test_an_artifact_that_is_not_the_one_of_its_manifest_is_refused(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    install(installation, "1")
    other = tiny_version(2, sha256="0" * 64)
    with pytest.raises(UntrustedError, match="manifest"):
        installation.install("2", fetches(other), passes)
    assert versions(installation) == ("1", None)


@pytest.mark.parametrize("file", ["model.onnx", "manifest.json", "golden.npz"])
def test_a_damaged_version_on_disk_does_not_count_as_installed(tmp_path: Path, file: str) -> None:
    install(Installation(tmp_path), "1")
    damaged = tmp_path / "versions" / "1" / file
    if file == "golden.npz":
        damaged.unlink()
    else:
        damaged.write_bytes(b"\x00" + damaged.read_bytes()[1:])
    assert versions(Installation(tmp_path)) == (None, None)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"current": "../../etc", "previous": 3}', b"\xff"])
def test_a_damaged_pointer_is_like_a_new_device(tmp_path: Path, content: bytes) -> None:
    install(Installation(tmp_path), "1")
    (tmp_path / "installed.json").write_bytes(content)
    assert versions(Installation(tmp_path)) == (None, None)


def test_a_full_disk_leaves_the_version_in_use(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    install(installation, "1")
    made = tiny_version(2)
    with largest_file(len(made.model) // 2), pytest.raises(DeviceError, match="free the disk"):
        installation.install("2", fetches(made), passes)
    assert versions(installation) == ("1", None)
    assert on_disk(tmp_path) == ["1"]


def test_an_unusable_state_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "versions").write_text("in the way")
    with pytest.raises(DeviceError, match="versions"):
        Installation(tmp_path)


# Runs an update again and again, killed with SIGKILL at one more step each time: an audit hook sees every file opened
# for writing, renamed, made or removed. After each kill the device must run one whole version.
KILL_EVERYWHERE = """
import json, os, pathlib, shutil, signal, sys
from slipway.device.installation import Installation
state, versions, work = map(pathlib.Path, sys.argv[1:])
STEPS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"}
def fetch(folder):
    for file in sorted((versions / "2").iterdir()):
        data = file.read_bytes()
        with open(folder / file.name, "wb") as out:
            out.write(data[: len(data) // 2])
            out.flush()
            sys.audit("half.written")
            out.write(data[len(data) // 2 :])
def child(at):
    seen = 0
    def hook(event, arguments):
        nonlocal seen
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in STEPS or writes or event == "half.written":
            seen += 1
            if seen == at:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    Installation(work).install("2", fetch, lambda folder: None)
    os._exit(0)
at, outcomes = 0, []
while True:
    at += 1
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(state, work)
    pid = os.fork()
    if pid == 0:
        child(at)
    status = os.waitpid(pid, 0)[1]
    after = Installation(work)
    left = sorted(path.name for path in (work / "versions").iterdir())
    current, previous = after.current(), after.previous()
    outcomes.append([current and current.version, previous and previous.version, left])
    after.install("2", fetch, lambda folder: None)
    healed = after.current()
    assert healed is not None and healed.version == "2", (at, healed)
    if os.WIFEXITED(status):
        break
print(json.dumps({"status": os.WEXITSTATUS(status), "outcomes": outcomes}))
"""


def test_killed_at_any_step_of_an_update_the_device_runs_one_whole_version(tmp_path: Path) -> None:
    state, fetched = tmp_path / "state", tmp_path / "fetched"
    installation = Installation(state)
    install(installation, "0")
    install(installation, "1")
    (fetched / "2").mkdir(parents=True)
    fetches(tiny_version(2))(fetched / "2")
    command = [sys.executable, "-c", KILL_EVERYWHERE, str(state), str(fetched), str(tmp_path / "work")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": "include"})
    result = json.loads(done.stdout)
    outcomes = [tuple(outcome[:2]) for outcome in result["outcomes"]]
    assert result["status"] == 0
    assert len(outcomes) > 10
    assert outcomes[0] == ("1", "0")
    assert outcomes[-1] == ("2", "1")
    assert set(outcomes) == {("1", "0"), ("2", "1")}
    switched = outcomes.index(("2", "1"))
    assert set(outcomes[switched:]) == {("2", "1")}, "a kill after the switch must not undo it"
    assert all(len(outcome[2]) == 2 for outcome in result["outcomes"]), "a start removes what a kill left"

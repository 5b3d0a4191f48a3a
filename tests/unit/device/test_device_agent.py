from __future__ import annotations

import hashlib
import platform
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slipway.device.agent import DeviceAgent
from slipway.device.onnx_runtime import OnnxRuntime, OnnxSession
from slipway.errors import UnavailableError
from tests.simulators.gateway import GatewaySimulator
from tests.simulators.tiny_versions import signed_paths, tiny_version
from tests.unit.device.world import World, order


class AgedRuntime(OnnxRuntime):
    """The same runtime, telling an older version; counts what it is asked to load."""

    def __init__(self, version: str = "1.20.0") -> None:
        self.loaded = 0
        self._version = version

    @property
    def version(self) -> str:
        return self._version

    def load(self, artifact: Path) -> OnnxSession:
        self.loaded += 1
        return super().load(artifact)


def settled(world: World) -> DeviceAgent:
    """A device that runs version 1 and has said so."""
    world.add("1")
    agent = world.device()
    assert agent.step().outcome == "installed"
    return agent


def folder_of(world: World, *parts: str) -> Path:
    return world.folder.joinpath("device", *parts)


def on_disk(world: World) -> list[str]:
    return sorted(folder.name for folder in folder_of(world, "versions").iterdir())


def test_a_device_installs_runs_and_reports(world: World) -> None:
    world.add("1")
    report = world.device().step()
    assert (report.version, report.outcome, report.inferences, report.trouble) == ("1", "installed", 5, None)
    (update,) = world.updates()
    assert update["version"] == "1"
    assert update["from"] is None
    assert update["golden_agreement"] == 1.0
    assert update["release"] == "flight_delay-v1"
    (inference,) = world.gateway.events("inference")
    assert (inference["count"], inference["errors"]) == (5, 0)
    assert sum(inference["predictions"].values()) == 5
    assert set(inference["predictions"]) <= {"on_time", "late"}
    assert world.gateway.events("status")[-1] == {"kind": "status", "version": "1", "target": "x86-cpu"}
    assert world.gateway.enrolled["device"].architecture == platform.machine()


def test_an_update_is_one_event_however_often_the_device_polls(world: World) -> None:
    agent = settled(world)
    for _ in range(3):
        assert agent.step().outcome is None
    assert len(world.updates()) == 1


def test_a_restarted_device_goes_on_with_its_version_while_the_gateway_is_away(world: World) -> None:
    settled(world)
    world.repository.timestamp.unlink()
    world.gateway.reachable = False
    report = world.device().step()
    assert (report.version, report.inferences) == ("1", 5)
    assert report.trouble is not None
    assert "UnavailableError" in report.trouble


def test_what_happened_while_the_gateway_was_away_is_reported_when_it_is_back(world: World) -> None:
    world.gateway.reachable = False
    agent = settled(world)
    assert world.gateway.events() == []
    world.gateway.reachable = True
    agent.step()
    assert [event["outcome"] for event in world.updates()] == ["installed"]
    assert sum(event["count"] for event in world.gateway.events("inference")) == 10


def test_when_the_channel_goes_back_the_device_does_without_a_download(world: World) -> None:
    agent = settled(world)
    world.release("1", "2", 100, ("2", tiny_version(2)))
    assert agent.step().version == "2"
    world.server.requests.clear()
    world.release("1", None)
    report = agent.step()
    assert (report.version, report.outcome) == ("1", "rolled_back")
    assert not [path for path in world.server.requests if "model.onnx" in path]
    update = world.updates()[-1]
    assert (update["version"], update["from"], update["outcome"]) == ("1", "2", "rolled_back")


def test_a_rollback_to_a_version_no_longer_kept_downloads_it_again(world: World) -> None:
    world.add("1")
    world.add("2")
    agent = world.device()
    assert agent.step().version == "2"
    world.release("1")
    report = agent.step()
    assert (report.version, report.outcome) == ("1", "rolled_back")


def test_a_kept_version_runs_even_if_the_channel_has_forgotten_its_files(world: World) -> None:
    agent = settled(world)
    world.add("2")
    agent.step()
    world.repository.forget("flight_delay/1/")
    world.release("1")
    assert agent.step().version == "1"


def test_a_kept_version_whose_signed_artifact_is_another_now_is_downloaded(world: World) -> None:
    agent = settled(world)
    world.add("2")
    agent.step()
    other = tiny_version(11)
    world.release("1", None, 100, ("1", other))
    assert agent.step().version == "1"
    installed = folder_of(world, "versions", "1", "model.onnx").read_bytes()
    assert hashlib.sha256(installed).hexdigest() == other.manifest["sha256"]


def test_told_to_run_nothing_the_device_stops(world: World) -> None:
    agent = settled(world)
    world.release(None)
    report = agent.step()
    assert (report.version, report.outcome, report.inferences) == (None, "rolled_back", 0)
    assert world.updates()[-1]["from"] == "1"
    assert world.device().step().version is None


def test_a_device_outside_the_cohort_keeps_the_current_version(world: World) -> None:
    agent = settled(world)
    world.release("1", "2", 0, ("2", tiny_version(2)))
    assert agent.step().version == "1"


Tamper = Callable[[World], object]


def flip(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])


def tampered_artifact(world: World) -> None:
    world.add("2")
    flip(world.repository.stored("flight_delay/2/x86-cpu/model.onnx"))


def tampered_manifest(world: World) -> None:
    world.add("2")
    flip(world.repository.stored("flight_delay/2/x86-cpu/manifest.json"))


def tampered_metadata(world: World) -> None:
    world.add("2")
    flip(world.repository.targets)


def expired_timestamp(world: World) -> None:
    world.repository.publish(order(9, "2"), signed_paths("2", tiny_version(2)), timestamp_days=-0.01)


def garbage_order(world: World) -> None:
    world.repository.publish(b"\x00 not an order", {})


def unpublished_target(world: World) -> None:
    world.add("2", target="jetson-orin")


def other_model_than_manifest(world: World) -> None:
    world.add("2", sha256="0" * 64)


def unreadable_golden(world: World) -> None:
    made = tiny_version(2)
    files = signed_paths("2", made)
    files["flight_delay/2/golden.npz"] = (b"PK not a zip", {})
    world.repository.publish(order(9, "2"), files)


@pytest.mark.parametrize(
    ("attack", "version", "reason"),
    [
        (tampered_artifact, "2", "UntrustedError: flight_delay/2/x86-cpu/model.onnx does not verify"),
        (tampered_manifest, "2", "UntrustedError: flight_delay/2/x86-cpu/manifest.json does not verify"),
        (tampered_metadata, "none", "UntrustedError"),
        (expired_timestamp, "none", "stale"),
        (garbage_order, "none", "ChannelError"),
        (unpublished_target, "2", "IncompatibleError: version 2 has no artifact for target 'x86-cpu'"),
        (other_model_than_manifest, "2", "UntrustedError: the channel signs another model.onnx"),
        (lambda world: world.add("2", architecture="riscv64"), "2", "IncompatibleError: the artifact is for arch"),
        (lambda world: world.add("2", runtime="tensorrt"), "2", "IncompatibleError: the artifact is for runtime"),
        (lambda world: world.add("2", runtime_version=">=9"), "2", "IncompatibleError: the artifact needs"),
        (lambda world: world.add("2", inputs={"y": {"dtype": "float32"}}), "2", "IncompatibleError: expected inputs"),
        (lambda world: world.add("2", classes=[]), "2", "IncompatibleError"),
        (lambda world: world.add("2", wrong_golden=True), "2", "SelfTestError: expected agreement"),
        (unreadable_golden, "2", "SelfTestError: expected a golden batch"),
    ],
)
def test_whatever_is_wrong_the_device_keeps_its_version_and_reports_once(
    world: World, attack: Tamper, version: str, reason: str
) -> None:
    agent = settled(world)
    attack(world)
    report = agent.step()
    assert (report.version, report.outcome, report.inferences) == ("1", "refused", 5)
    for _ in range(3):
        world.clock.now += 120  # type: ignore[attr-defined]
        agent.step()
    update = world.updates()[-1]
    assert (update["version"], update["from"], update["outcome"]) == (version, "1", "refused")
    assert update["reason"].startswith(reason) or reason in update["reason"]
    assert len(world.updates()) == 2, "one event for version 1, one for the refusal"
    assert on_disk(world) == ["1"]
    restarted = world.device()
    assert restarted.step().version == "1"
    assert len(world.updates()) == 2, "a restart does not report it again"


def test_an_artifact_for_another_runtime_version_is_refused_before_it_is_downloaded_or_loaded(world: World) -> None:
    runtime = AgedRuntime()
    world.add("1")
    agent = world.device(runtime=runtime)
    world.server.requests.clear()
    report = agent.step()
    assert report.outcome == "refused"
    assert "needs onnxruntime >=1.22" in world.updates()[0]["reason"]
    assert runtime.loaded == 0
    assert not [path for path in world.server.requests if "model.onnx" in path]


def test_what_can_never_work_is_tried_once_per_order_and_what_may_heal_is_tried_again(world: World) -> None:
    runtime = AgedRuntime("1.32.0")
    world.add("1", wrong_golden=True)
    agent = world.device(runtime=runtime)
    for _ in range(5):
        world.clock.now += 600  # type: ignore[attr-defined]
        agent.step()
    assert runtime.loaded == 1
    mended = tiny_version(3)
    world.add("3", mended)
    path = "flight_delay/3/x86-cpu/model.onnx"
    flip(world.repository.stored(path))
    assert agent.step().outcome == "refused"
    world.repository.stored(path).write_bytes(mended.model)
    assert agent.step().outcome is None, "it waits before it tries again"
    world.clock.now += 6  # type: ignore[attr-defined]
    assert agent.step().outcome == "installed"


def test_a_full_disk_is_reported_as_a_failure_and_heals(world: World) -> None:
    agent = settled(world)
    made = tiny_version(2)
    # The golden batch is the largest file of a version; the metadata is smaller.
    big = signed_paths("2", made)
    big["flight_delay/2/golden.npz"] = (made.golden + bytes(40_000), {})
    world.repository.publish(order(9, "2"), big)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        report = agent.step()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (report.version, report.outcome, report.inferences) == ("1", "failed", 5)
    assert "free its disk" in world.updates()[-1]["reason"]
    assert on_disk(world) == ["1"]
    world.clock.now += 6  # type: ignore[attr-defined]
    assert agent.step().version == "2"


def test_a_versions_folder_that_cannot_be_written_keeps_the_version_in_use(world: World) -> None:
    agent = settled(world)
    world.add("2")
    # Root may write anywhere; a file where the folder of the incoming version must be is refused to everyone.
    folder_of(world, "versions", ".incoming-2").symlink_to("/proc/nothing")
    report = agent.step()
    assert (report.version, report.outcome, report.inferences) == ("1", "failed", 5)


def test_a_version_damaged_on_disk_is_installed_anew(world: World) -> None:
    settled(world)
    flip(folder_of(world, "versions", "1", "model.onnx"))
    report = world.device().step()
    assert (report.version, report.outcome) == ("1", "installed")


def test_a_device_may_follow_before_it_is_enrolled_and_reports_once_it_is(world: World) -> None:
    world.gateway.reachable = False
    agent = settled(world)
    world.gateway.reachable = True
    agent.step()
    assert "device" in world.gateway.enrolled
    assert len(world.updates()) == 1


def test_a_device_the_gateway_forgot_enrols_again_and_loses_nothing(world: World) -> None:
    agent = settled(world)
    world.gateway = forgetful = GatewaySimulator()
    agent = world.device()
    forgetful.enrolled.clear()
    agent.step()
    forgetful.enrolled.clear()
    agent.step()
    world.clock.now += 31  # type: ignore[attr-defined]
    agent.step()
    assert "device" in forgetful.enrolled
    assert sum(event["count"] for event in forgetful.events("inference")) == 15


def test_a_sensor_without_rows_is_no_error_of_the_model(world: World) -> None:
    agent = settled(world)
    world.sensor.fault = UnavailableError("the sensor warms up")
    report = agent.step()
    assert (report.inferences, report.trouble) == (0, "UnavailableError: the sensor warms up")
    world.sensor.fault = None
    assert agent.step().inferences == 5
    assert sum(event["errors"] for event in world.gateway.events("inference")) == 0


def test_rows_the_model_cannot_take_count_as_errors(world: World) -> None:
    agent = settled(world)
    world.sensor.width = 3
    agent.step()
    inference: dict[str, Any] = world.gateway.events("inference")[-1]
    assert (inference["count"], inference["errors"], inference["predictions"]) == (5, 5, {})


def test_a_stale_channel_is_reported_again_if_it_was_well_in_between(world: World) -> None:
    agent = settled(world)
    for serial in (7, 9):
        world.repository.publish(order(serial, "1"), {}, timestamp_days=-0.01)
        agent.step()
        agent.step()
        world.repository.publish(order(serial + 1, "1"), {})
        agent.step()
    refused = [event for event in world.updates() if event["outcome"] == "refused"]
    assert [event["release"] for event in refused] == [None, None]


def test_a_switch_whose_report_was_lost_to_a_kill_is_reported_at_the_next_start(world: World) -> None:
    settled(world)
    world.release("1", "2", 100, ("2", tiny_version(2)))
    announced = folder_of(world, "announced.json").read_bytes()
    world.gateway.reachable = False
    world.device().step()
    # As a kill right after the switch leaves it: version 2 is in use, and no report of it is in the spool.
    folder_of(world, "announced.json").write_bytes(announced)
    for batch in folder_of(world, "spool").glob("*.json"):
        batch.unlink()
    world.gateway.reachable = True
    restarted = world.device()
    assert restarted.step().outcome == "installed"
    assert restarted.step().outcome is None
    update = world.updates()[-1]
    assert (update["version"], update["from"], update["golden_agreement"]) == ("2", "1", 1.0)
    assert update["release"] == "flight_delay-v2"


def test_a_new_release_of_the_version_in_use_is_answered_once(world: World) -> None:
    agent = settled(world)
    again = {**order(50, None, "1"), "release": "flight_delay-v1-again"}
    world.repository.publish(again, {})
    assert [agent.step().outcome for _ in range(3)] == ["installed", None, None]
    assert world.updates()[-1]["release"] == "flight_delay-v1-again"
    assert not [event for event in world.updates() if event["outcome"] == "rolled_back"]

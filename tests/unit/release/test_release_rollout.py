"""A whole release against a simulated fleet, on the signed channel and on its simulator."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from slipway.connections import ChannelConnection
from slipway.errors import ReleaseError
from slipway.pipeline.load import load_pipeline
from slipway.release.channel import Channel
from slipway.release.rollout import Rollout
from slipway.release.version_files import artifacts_of, targets_of
from tests.simulators.channel import ChannelSimulator, version_files
from tests.simulators.evidence import HEALTHY, FleetSimulator

PIPELINE = load_pipeline(Path(__file__).parents[3] / "include" / "pipelines" / "flight_delay.yaml")


@pytest.fixture(params=["signed", "simulated"])
def channel(request: pytest.FixtureRequest, tmp_path: Path):
    if request.param == "simulated":
        return ChannelSimulator()
    signed = Channel(ChannelConnection("g", str(tmp_path / "repository"), str(tmp_path / "keys"), "token"))
    signed.initialise()
    return signed


@pytest.fixture
def fleet(channel) -> FleetSimulator:
    return FleetSimulator(channel)


def rollout(channel, fleet: FleetSimulator, version: str = "1", release: str | None = None) -> Rollout:
    name = release or f"flight_delay-v{version}-00000000"
    return Rollout(PIPELINE, name, version, channel, fleet, clock=lambda: _opened(channel) + 1.0)


def _opened(channel) -> float:
    published = channel.publication("flight_delay")
    return published.published_at if published else 0.0


def completed(channel, fleet: FleetSimulator, version: str = "1") -> Rollout:
    release = rollout(channel, fleet, version)
    release.prepare(version_files(content=version.encode()))
    for percent in PIPELINE.release.phases:
        release.open_phase(percent)
        fleet.poll()
        assert release.observe().action == "continue"
    release.complete()
    fleet.poll()
    return release


def test_a_healthy_version_reaches_every_device_phase_by_phase(channel, fleet):
    release = rollout(channel, fleet)
    assert release.prepare(version_files()).percent == 0
    fleet.poll()
    assert fleet.versions() == {None: 20}
    reached = []
    for percent in PIPELINE.release.phases:
        release.open_phase(percent)
        assert release.observe().action == "wait"
        fleet.poll()
        assert release.observe().action == "continue"
        reached.append(fleet.versions()["1"])
    assert reached[0] >= 1
    assert reached == sorted(reached)
    done = release.complete()
    fleet.poll()
    assert (done.current, done.next, done.percent) == ("1", None, 100)
    assert fleet.versions() == {"1": 20}


def test_every_step_can_be_repeated(channel, fleet):
    release = rollout(channel, fleet)
    assert release.prepare(version_files()) == release.prepare(version_files())
    for percent in PIPELINE.release.phases:
        assert release.open_phase(percent) == release.open_phase(percent)
        fleet.poll()
    assert release.complete() == release.complete()
    assert channel.publication("flight_delay").state.serial == 5


def test_the_salt_survives_a_retry_although_devices_joined(channel, fleet):
    first = rollout(channel, fleet).prepare(version_files())
    larger = FleetSimulator(channel, devices=500)
    assert rollout(channel, larger).prepare(version_files()) == first


def test_a_failing_version_is_taken_back_from_everybody(channel, fleet):
    completed(channel, fleet, "1")
    release = rollout(channel, fleet, "2")
    release.prepare(version_files(content=b"2"))
    release.open_phase(5)
    fleet.answer = replace(HEALTHY, errors=50)
    fleet.poll()
    decision = release.observe()
    assert decision.action == "roll_back"
    assert "error_rate failed" in decision.reason
    back = release.roll_back(decision.reason)
    fleet.poll()
    assert fleet.versions() == {"1": 20}
    assert (back.current, back.next) == ("1", None)
    assert release.roll_back("again") == back


def test_a_silent_cohort_is_waited_for_and_then_taken_back(channel, fleet):
    release = rollout(channel, fleet)
    release.prepare(version_files())
    release.open_phase(5)
    fleet.silent = {device.device_id for device in fleet.devices("flight_delay")}
    fleet.poll()
    assert release.observe().action == "wait"
    late = replace(release, clock=lambda: _opened(channel) + PIPELINE.release.observe_seconds)
    decision = late.observe()
    assert decision.action == "roll_back"
    assert "not enough evidence after 90 s" in decision.reason


@pytest.mark.parametrize("step", ["prepare", "open", "observe", "complete"])
def test_a_release_that_was_taken_back_stays_so(channel, fleet, step):
    release = rollout(channel, fleet)
    release.prepare(version_files())
    release.open_phase(5)
    release.roll_back("errors")
    steps = {
        "prepare": lambda: release.prepare(version_files()),
        "open": lambda: release.open_phase(25),
        "observe": release.observe,
        "complete": release.complete,
    }
    with pytest.raises(ReleaseError, match="start a new release"):
        steps[step]()


def test_a_late_retry_cannot_disturb_the_release_after_it(channel, fleet):
    old = completed(channel, fleet, "1")
    new = rollout(channel, fleet, "2")
    new.prepare(version_files(content=b"2"))
    for step in (lambda: old.open_phase(5), old.observe, old.complete, lambda: old.roll_back("x")):
        with pytest.raises(ReleaseError):
            step()
    with pytest.raises(ReleaseError, match="release with `supersede`"):
        old.prepare(version_files())


def test_a_phase_is_never_taken_back_or_invented(channel, fleet):
    release = rollout(channel, fleet)
    release.prepare(version_files())
    with pytest.raises(ReleaseError, match="phases"):
        release.open_phase(50)
    release.open_phase(25)
    with pytest.raises(ReleaseError, match="step back"):
        release.open_phase(5)


def test_it_cannot_be_completed_before_everybody_had_it(channel, fleet):
    release = rollout(channel, fleet)
    release.prepare(version_files())
    release.open_phase(25)
    with pytest.raises(ReleaseError, match="100%"):
        release.complete()


def test_the_version_everybody_has_is_not_released_again(channel, fleet):
    completed(channel, fleet, "1")
    again = rollout(channel, fleet, "1", "flight_delay-v1-11111111")
    with pytest.raises(ReleaseError, match="already"):
        again.prepare(version_files())


def test_a_fleet_that_could_not_be_observed_is_no_fleet_to_release_to(channel):
    with pytest.raises(ReleaseError, match="no device"):
        rollout(channel, FleetSimulator(channel, devices=0)).prepare(version_files())


def test_devices_without_an_artifact_are_named(channel, fleet):
    with pytest.raises(ReleaseError, match=r"10 devices have targets \['x86-cpu-int8'\]"):
        rollout(channel, fleet).prepare(version_files(targets=("x86-cpu",)))


class TestVersionFiles:
    def test_they_lie_where_devices_look_for_them(self):
        artifacts = artifacts_of("flight_delay", "3", version_files(targets=("x86-cpu",)))
        assert set(artifacts) == {
            "flight_delay/3/golden.npz",
            "flight_delay/3/evaluation.json",
            "flight_delay/3/provenance.json",
            "flight_delay/3/x86-cpu/model.onnx",
            "flight_delay/3/x86-cpu/manifest.json",
        }
        assert dict(artifacts["flight_delay/3/x86-cpu/model.onnx"].custom) == {
            "pipeline": "flight_delay",
            "version": "3",
            "target": "x86-cpu",
            "architecture": "x86_64",
            "runtime": "onnxruntime",
        }

    def test_a_skipped_target_is_none(self):
        assert targets_of(version_files(targets=("x86-cpu",))) == {"x86-cpu"}

    @pytest.mark.parametrize(
        "missing", ["golden.npz", "evaluation.json", "provenance.json", "targets/x86-cpu/model.onnx"]
    )
    def test_a_missing_file_is_named(self, missing: str):
        files = version_files()
        del files[missing]
        with pytest.raises(ReleaseError, match=missing):
            artifacts_of("flight_delay", "1", files)

    def test_a_model_its_manifest_does_not_describe_is_refused(self):
        files = {**version_files(), "targets/x86-cpu/model.onnx": b"tampered"}
        with pytest.raises(ReleaseError, match="not what its manifest describes"):
            artifacts_of("flight_delay", "1", files)

    @pytest.mark.parametrize("change", [{"target": "jetson-orin"}, {"pipeline": "other"}, {"artifact": "../x"}])
    def test_a_manifest_of_something_else_is_refused(self, change: dict):
        files = version_files()
        manifest = {**json.loads(files["targets/x86-cpu/manifest.json"]), **change}
        files["targets/x86-cpu/manifest.json"] = json.dumps(manifest).encode()
        with pytest.raises(ReleaseError, match="manifest"):
            artifacts_of("flight_delay", "1", files)

    @pytest.mark.parametrize("evaluation", [b"{", b"[]", b"{}", b'{"prediction_shares": {"late": 0.2}}'])
    def test_an_evaluation_without_shares_is_refused(self, evaluation: bytes):
        with pytest.raises(ReleaseError, match="train it again"):
            artifacts_of("flight_delay", "1", {**version_files(), "evaluation.json": evaluation})

    def test_a_version_for_no_target_is_refused(self):
        with pytest.raises(ReleaseError, match="no target"):
            artifacts_of("flight_delay", "1", version_files(targets=()))

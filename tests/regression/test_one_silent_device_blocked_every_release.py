"""One device of 20 that was off kept every gate inconclusive, and each release was rolled back after 90 s."""

from dataclasses import replace
from pathlib import Path

import pytest

from slipway.pipeline.load import load_pipeline
from slipway.release.rollout import Rollout
from tests.simulators.channel import ChannelSimulator, version_files
from tests.simulators.evidence import FleetSimulator

PIPELINE = load_pipeline(Path(__file__).parents[2] / "include" / "pipelines" / "flight_delay.yaml")


@pytest.fixture
def fleet() -> FleetSimulator:
    return FleetSimulator(ChannelSimulator())


def opened_to_all(fleet: FleetSimulator, silent: int) -> Rollout:
    """A release in its last phase, with as many devices off since before it."""
    release = Rollout(PIPELINE, "r", "1", fleet.channel, fleet, clock=lambda: 1.0)
    fleet.silent = {device.device_id for device in fleet.devices(PIPELINE.name)[:silent]}
    release.prepare(version_files())
    release.open_phase(100)
    fleet.poll()
    return release


def test_the_gates_judge_the_others_and_the_release_goes_on(fleet):
    release = opened_to_all(fleet, silent=1)
    decision = release.observe()
    assert decision.action == "continue", decision
    assert "device-00 (silent)" in decision.verdicts[0].reason
    release.complete()
    assert fleet.versions() == {None: 1, "1": 19}


@pytest.mark.parametrize("off", range(20))
def test_whichever_it_is_every_phase_is_passed(fleet, off):
    opened_to_all(fleet, silent=0).complete()
    fleet.silent = {f"device-{off:02d}"}
    fleet.now = 3600.0
    fleet.poll()
    second = Rollout(PIPELINE, "s", "2", fleet.channel, fleet, clock=lambda: 3600.0)
    second.prepare(version_files(content=b"2"))
    for percent in PIPELINE.release.phases:
        second.open_phase(percent)
        fleet.poll()
        assert second.observe().action == "continue"


def test_more_silence_than_the_bound_allows_is_still_rolled_back(fleet):
    release = opened_to_all(fleet, silent=2)
    assert release.observe().action == "wait"
    late = replace(release, clock=lambda: float(PIPELINE.release.observe_seconds))
    decision = late.observe()
    assert decision.action == "roll_back"
    assert "device-00 (silent), device-01 (silent)" in decision.reason


def test_a_device_heard_of_a_moment_ago_is_waited_for_until_a_minute_has_passed(fleet):
    opened_to_all(fleet, silent=0).complete()
    fleet.poll()
    fleet.silent = {"device-07"}
    second = Rollout(PIPELINE, "s", "2", fleet.channel, fleet, clock=lambda: 59.0)
    second.prepare(version_files(content=b"2"))
    second.open_phase(100)
    fleet.poll()
    assert second.observe().action == "wait"
    assert replace(second, clock=lambda: 61.0).observe().action == "continue"

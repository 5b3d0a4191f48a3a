"""MLflow away at the last step: `complete` failed with the fleet moved, and `roll_back` named no way out."""

import pytest

from slipway.errors import ReleaseError, RolledBackError, UnavailableError
from slipway.stages import release
from tests.unit.stages.released import ASKED, CHANNEL, PIPELINE, Dock


@pytest.fixture
def dock(tmp_path, monkeypatch) -> Dock:
    return Dock(tmp_path, monkeypatch)


def test_the_fleet_stays_and_clearing_complete_makes_the_champion_follow(dock):
    dock.released(b"1", "manual__1")
    dock.register(b"2")
    rollout, phases = dock.observed("2", "manual__2")
    dock.registry.reachable = False
    with pytest.raises(UnavailableError):
        dock.complete(rollout, phases)
    before = dock.channel.publication(PIPELINE.name)
    undone = release.rollout_of_run(CHANNEL, PIPELINE, "manual__2")
    with pytest.raises(ReleaseError, match=r"the fleet is on version 2.*clear the task complete") as caught:
        release.roll_back(undone, dock.ledger, phases, **ASKED)
    assert not isinstance(caught.value, RolledBackError)
    assert dock.channel.publication(PIPELINE.name) == before
    assert len(dock.statements()) == 1

    dock.registry.reachable = True
    dock.complete(rollout, phases)
    assert dock.fleet.versions() == {"2": 20}
    assert dock.champion() == "2"
    assert dock.statements()[-1].details["outcome"] == "completed"

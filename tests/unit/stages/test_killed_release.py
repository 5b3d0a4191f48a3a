"""A release whose worker is killed before or after every effect of each of its tasks is one release in the end."""

from dataclasses import replace

import pytest

from slipway.errors import RolledBackError
from slipway.ledger.effects import Effects, Origin
from slipway.registry.aliases import CHAMPION
from slipway.stages import intended, release
from slipway.stages.recorded import recorded_channel
from tests.simulators.channel import Killed
from tests.unit.stages.released import ASKED, CHANNEL, MLFLOW, PIPELINE, Dock

RUN = "manual__1"


class Mortal:
    """Dies at moment number ``at`` (from 0), once; the moments are before and after each effect."""

    def __init__(self, at: int | None) -> None:
        self.at, self.moments = at, 0

    def moment(self) -> None:
        self.moments += 1
        if self.moments - 1 == self.at:
            raise Killed

    def watch(self, target, *effects):
        mortal = self

        class Watched:
            def __getattr__(self, name):
                found = getattr(target, name)

                def does(*args, **kwargs):
                    mortal.moment()
                    result = found(*args, **kwargs)
                    mortal.moment()
                    return result

                return does if name in effects else found

        return Watched()


class Line:
    """The tasks of one release, with its effects in the ledger, as Airflow runs them: again when killed."""

    def __init__(self, dock: Dock, mortal: Mortal, monkeypatch) -> None:
        self.dock, self.effects = dock, Effects(dock.ledger.connection)
        self.channel = mortal.watch(dock.channel, "publish", "rollback")
        self.ledger = mortal.watch(dock.ledger, "record")
        monkeypatch.setattr(release, "Channel", lambda _connection: self.channel)
        monkeypatch.setattr(release, "mlflow_registry", mortal.watch(dock.registry, "set_alias"))

    def task(self, name: str, function) -> None:
        origin = Origin(PIPELINE.name, "release", f"{PIPELINE.name}.release", RUN, name)
        for first in (True, False):
            try:
                with self.effects.intents(origin, first=first) as intents:
                    made = self.dock.rollout("2", RUN)
                    function(intents, replace(made, channel=recorded_channel(made.channel, intents)))
                    return
            except Killed:
                pass

    def prepare(self, _intents, rollout) -> None:
        release.prepare(rollout, MLFLOW, CHANNEL, self.dock.ledger)

    def complete(self, intents, rollout) -> None:
        with intents.intended(intended.set_alias(PIPELINE.name, CHAMPION, "2")):
            release.complete(rollout, MLFLOW, self.ledger, [], **ASKED)

    def roll_back(self, _intents, rollout) -> None:
        with pytest.raises(RolledBackError):
            release.roll_back(rollout, self.ledger, [], **ASKED)

    def to_the_end(self, last) -> None:
        self.task("prepare", self.prepare)
        for percent in PIPELINE.release.phases:
            self.task(f"open_{percent}", lambda _, rollout, to=percent: rollout.open_phase(to))
        self.task("last", last)


def released(folder, monkeypatch, at: int | None, last: str) -> tuple[Dock, Line, Mortal, int]:
    """The second release of a fleet, killed at a moment; and the channel's serial before it."""
    folder.mkdir()
    dock, mortal = Dock(folder, monkeypatch), Mortal(at)
    dock.released(b"1", "manual__0")
    dock.register(b"2")
    before = dock.channel.state(PIPELINE.name).serial
    line = Line(dock, mortal, monkeypatch)
    line.to_the_end(getattr(line, last))
    return dock, line, mortal, before


@pytest.mark.parametrize("last", ["complete", "roll_back"])
def test_a_release_killed_at_any_moment_is_one_release(tmp_path, monkeypatch, last):
    *_, unharmed, _ = released(tmp_path / "unharmed", monkeypatch, None, last)
    published = len(PIPELINE.release.phases) + 2
    assert unharmed.moments == 2 * published + 2 + 2 * (last == "complete")
    for at in (None, *range(unharmed.moments)):
        dock, line, _, before = released(tmp_path / f"{at}", monkeypatch, at, last)
        state = dock.channel.state(PIPELINE.name)
        assert state.serial == before + published, at
        assert (state.current, dock.champion()) == (("2", "2") if last == "complete" else ("1", "1")), at
        assert len(dock.statements()) == 2, at
        records = line.effects.records()
        assert {record.state for record in records} == {"done"}, at
        assert len(records) == published + (last == "complete"), at

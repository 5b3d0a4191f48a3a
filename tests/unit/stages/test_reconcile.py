"""What a dead run left open in the ledger is closed by looking whether it happened."""

import datetime as dt
import logging

import pytest

from slipway.connections import LedgerConnection, MlflowConnection
from slipway.errors import UnavailableError
from slipway.lake.uri import LakeUri
from slipway.ledger.effects import Effects, Origin
from slipway.registry.aliases import CHAMPION
from slipway.registry.registration import Registration
from slipway.release.channel_state import ChannelState
from slipway.stages import intended, reconcile
from slipway.stages.reconcile import Places
from slipway.stages.recorded import recorded_channel, recorded_lake
from tests.simulators.channel import ChannelSimulator, Killed
from tests.simulators.lake import LakeSimulator
from tests.simulators.registry import RegistrySimulator

REPO = "flights"
DEAD = Origin("flight_delay", "ingest", "flight_delay.ingest", "run-1", "publish")
ALIVE = Origin("flight_delay", "ingest", "flight_delay.ingest", "run-2", "publish")
MLFLOW = MlflowConnection("http://127.0.0.1:1")
OUTPUT = LakeUri(REPO, "run-1", "features/date=2013-01-01")
LATER = dt.timedelta(hours=1)


class World:
    """A ledger, and the places where effects happen; ``asked`` are the runs the scheduler was asked about."""

    def __init__(self, folder, monkeypatch) -> None:
        self.effects = Effects(LedgerConnection(f"sqlite:///{folder}/ledger.db"))
        self.folder = folder
        self.lake = LakeSimulator()
        self.lake.ensure_repository(REPO)
        self.registry = RegistrySimulator()
        self.channel = ChannelSimulator()
        self.asked: list[tuple[str, str]] = []
        monkeypatch.setattr(reconcile, "mlflow_registry", self.registry)

    def running(self, dag_id: str, run_id: str) -> bool:
        self.asked.append((dag_id, run_id))
        return run_id == ALIVE.run_id

    def reconcile(self, after: dt.timedelta = LATER, **more):
        places = Places(self.lake, MLFLOW, self.channel)
        return reconcile.reconcile(
            self.effects, places, now=dt.datetime.now(dt.UTC) + after, running=self.running, **more
        )

    def killed(self, *effects, origin: Origin = DEAD) -> None:
        with pytest.raises(Killed), self.effects.intents(origin) as intents:
            intents.open(*effects)
            raise Killed

    def only(self) -> str:
        """The state of the one record there is, after reconciling."""
        self.reconcile()
        (record,) = self.effects.records()
        return f"{record.state}: {record.outcome}"


@pytest.fixture
def world(tmp_path, monkeypatch) -> World:
    return World(tmp_path, monkeypatch)


class Dying:
    """Ends the process at effect number ``at``: instead of it, or right after it."""

    def __init__(self, target, at: int, moment: str) -> None:
        self.target, self.left, self.moment, self.died_at = target, at, moment, ""

    def __getattr__(self, name):
        found = getattr(self.target, name)
        if name not in ("create_branch", "put", "commit", "merge", "tag", "delete_branch"):
            return found

        def dies(*args, **kwargs):
            self.left -= 1
            if self.left >= 0:
                return found(*args, **kwargs)
            self.died_at = {"put": "upload"}.get(name, name)
            if self.moment == "after":
                found(*args, **kwargs)
            raise Killed

        return dies


def day(lake) -> None:
    metadata = {intended.FINGERPRINT: "f" * 64}
    lake.create_branch(REPO, "run-1", "main")
    lake.put(OUTPUT / "part", b"1")
    head = lake.commit(REPO, "run-1", "one day", metadata)
    merged = lake.merge(REPO, head, "main", "one day", metadata)
    lake.tag(REPO, "day", merged)
    lake.delete_branch(REPO, "run-1")


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("at", range(6))
def test_an_effect_of_the_lake_is_found_exactly_where_it_happened(world, at, moment):
    dying = Dying(world.lake, at, moment)
    with pytest.raises(Killed), world.effects.intents(DEAD) as intents:
        day(recorded_lake(dying, intents, world.folder))
    world.reconcile()
    states = {record.effect.kind: record.state for record in world.effects.records()}
    assert "open" not in states.values() and len(states) == at + 1
    # An upload leaves no trace of its own: it is as good as its branch, which stands either way.
    happened = moment == "after" or dying.died_at == "upload"
    assert states[dying.died_at] == ("found" if happened else "abandoned")
    assert states.get("merge", "found") == "found" or dying.died_at == "merge"


def test_a_run_that_is_under_way_closes_its_effects_itself(world):
    world.killed(intended.tag(REPO, "a"))
    world.killed(intended.tag(REPO, "b"), origin=ALIVE)
    world.reconcile()
    assert {record.origin: record.state for record in world.effects.records()} == {DEAD: "abandoned", ALIVE: "open"}
    assert sorted(world.asked) == [(DEAD.dag_id, "run-1"), (DEAD.dag_id, "run-2")]


def test_a_young_record_is_left_alone_and_nobody_is_asked(world):
    world.killed(intended.tag(REPO, "a"))
    assert world.reconcile(after=dt.timedelta(minutes=29)) == () and world.asked == []
    assert len(world.reconcile(after=dt.timedelta(minutes=31))) == 1


def test_a_dry_run_says_what_would_be_closed(world, caplog):
    caplog.set_level(logging.INFO)
    world.killed(intended.tag(REPO, "a"))
    (finding,) = world.reconcile(dry_run=True)
    assert finding.state == "abandoned" and world.effects.records()[0].state == "open"
    assert "would be closed: tag lakefs://flights/a of flight_delay.ingest run-1 (publish): abandoned" in caplog.text


def test_a_record_opened_while_it_was_looked_for_stays_open(world):
    effect = intended.tag(REPO, "a")
    world.killed(effect)
    tags = world.lake.tags

    def retried_meanwhile(repository):
        world.killed(effect, origin=ALIVE)
        return tags(repository)

    world.lake.tags = retried_meanwhile
    assert world.reconcile() == ()
    assert world.effects.find(effect).state == "open"


def test_a_place_that_is_away_keeps_its_records_open(world):
    world.killed(intended.tag(REPO, "a"))
    world.lake.reachable = False
    with pytest.raises(UnavailableError):
        world.reconcile()
    assert world.effects.records()[0].state == "open"


def test_a_repository_that_is_gone_holds_nothing(world):
    world.killed(intended.tag("never-made", "a"))
    assert world.only() == "abandoned: nothing of it is at lakefs://never-made/a"


def test_a_version_is_found_by_its_fingerprint(world):
    world.killed(intended.register("flight_delay", "f" * 64))
    assert world.only().startswith("abandoned")


def test_a_version_that_was_made_is_named(world):
    world.killed(intended.register("flight_delay", "f" * 64))
    world.registry.register(MLFLOW, Registration("flight_delay", "f" * 64, b"onnx"))
    assert world.only() == "found: version 1"


def test_an_alias_is_found_only_on_its_version(world):
    for character in "ab":
        world.registry.register(MLFLOW, Registration("flight_delay", character * 64, b"onnx"))
    world.registry.set_alias(MLFLOW, "flight_delay", CHAMPION, "1")
    for version in "12":
        world.killed(intended.set_alias("flight_delay", CHAMPION, version))
    world.reconcile()
    assert [(one.effect.details["version"], one.state) for one in world.effects.records()] == [
        ("1", "found"),
        ("2", "abandoned"),
    ]


def test_a_job_is_found_by_what_it_wrote_there_or_on_main(world):
    world.killed(intended.job("flight_features", OUTPUT))
    assert world.only().startswith("abandoned")
    day(world.lake)
    world.killed(intended.job("flight_features", OUTPUT))
    assert world.only() == "found: 1 objects"


def test_a_pod_is_found_by_its_result(world):
    world.killed(intended.pod(OUTPUT, "result.json"))
    world.lake.create_branch(REPO, "run-1", "main")
    assert world.only().startswith("abandoned")
    world.killed(intended.pod(OUTPUT, "result.json"))
    world.lake.put(OUTPUT / "result.json", b"{}")
    assert world.only() == f"found: {OUTPUT / 'result.json'}"


PREPARED = ChannelState(pipeline="flight_delay", release="r2", salt="s", percent=0, current="1", next="2")
OPENED = PREPARED.model_copy(update={"percent": 25})
COMPLETED = PREPARED.model_copy(update={"percent": 100, "current": "2", "next": None})
ROLLED_BACK = PREPARED.model_copy(update={"next": None})
OTHER = PREPARED.model_copy(update={"release": "r3", "percent": 100})


@pytest.mark.parametrize(
    ("wanted", "published", "state"),
    [
        (PREPARED, None, "abandoned"),
        (PREPARED, PREPARED, "found"),
        (PREPARED, OPENED, "found"),
        (OPENED, PREPARED, "abandoned"),
        (OPENED, COMPLETED, "found"),
        (COMPLETED, OPENED, "abandoned"),
        (COMPLETED, COMPLETED, "found"),
        (ROLLED_BACK, ROLLED_BACK, "found"),
        (ROLLED_BACK, OPENED, "abandoned"),
        (ROLLED_BACK, COMPLETED, "abandoned"),
        (OPENED, ROLLED_BACK, "abandoned"),
        (OPENED, OTHER, "abandoned"),
    ],
)
def test_a_publication_is_found_while_its_release_is_at_least_there(world, wanted, published, state):
    world.killed(intended.publish(wanted))
    if published:
        world.channel.publish(published)
    assert world.only().startswith(state)


def test_what_a_release_publishes_is_recorded_by_its_moments(world):
    with world.effects.intents(DEAD) as intents:
        channel = recorded_channel(world.channel, intents)
        channel.publish(PREPARED)
        channel.publish(OPENED)
        channel.rollback("flight_delay", "r2", "too many errors")
    assert [(one.effect.key, one.outcome, one.state) for one in world.effects.records()] == [
        ("r2: 0%", "serial 1", "done"),
        ("r2: 25%", "serial 2", "done"),
        ("r2: rolled back", "serial 3", "done"),
    ]

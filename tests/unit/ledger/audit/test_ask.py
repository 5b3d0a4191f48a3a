"""What the past says: of devices, of versions, of commits, of champions; and where it is silent."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.errors import ConfigurationError, EvidenceError, UnavailableError, UnknownDeviceError, UnrecordedError
from slipway.ledger.audit import ask, plain
from slipway.ledger.audit.recall import recalls
from slipway.ledger.audit.records import LedgerRecords
from slipway.ledger.schema import STATEMENT
from slipway.release.channel_state import ChannelState
from tests.simulators.channel import ChannelSimulator
from tests.simulators.ledger import ledger_at, record_version
from tests.simulators.past import FleetSimulator, Past, commit_id, hour

MONDAY, TUESDAY, WEDNESDAY = "2013-01-07", "2013-01-08", "2013-01-09"


class World:
    """Versions 1 (Monday), 2 (Monday and Tuesday) and 3 (all three days), released in turn, and three cars."""

    def __init__(self, folder):
        self.ledger = ledger_at(folder)
        self.past, self.fleet, self.channel = Past(self.ledger), FleetSimulator(), ChannelSimulator()
        self.records = LedgerRecords(self.ledger)
        for day in (MONDAY, TUESDAY, WEDNESDAY):
            self.past.day(day)
        for version, days in (("1", [MONDAY]), ("2", [MONDAY, TUESDAY]), ("3", [MONDAY, TUESDAY, WEDNESDAY])):
            self.past.version(version, days)
            self.past.release(version)
        for car, versions in (("car-1", "123"), ("car-2", "12"), ("car-3", "1")):
            for version in versions:
                self.fleet.runs(car, version, int(version), f"shop-v{version}-{int(version):08x}")

    def commit(self, kind, about):
        return ask.commit(self.records, self.fleet, commit_id(kind, about))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("world"))


def test_what_drove_a_device_is_told_down_to_the_raw_objects(world):
    answer = ask.device(world.records, world.fleet, "car-1", hour(2.5))
    assert (answer.ran.version, answer.target, answer.gaps) == ("2", "x86-cpu", ())
    (artifact,) = answer.artifacts
    assert (artifact.target, artifact.path) == ("x86-cpu", "targets/x86-cpu/model.bin")
    registered = answer.making.registered.statement
    assert artifact.sha256 == registered.outputs["versions/2/targets/x86-cpu/model.bin"]
    assert answer.making.trained.statement.commits["data"] == f"shop@{commit_id('main', TUESDAY)}"
    assert [one.day for one in answer.making.partitions] == [MONDAY, TUESDAY]
    assert list(answer.making.partitions[0].raw) == [f"raw/sales/date={MONDAY}/sales.csv"]
    assert answer.making.partitions[0].commits["raw"] == f"shop@{commit_id('raw', MONDAY)}"
    assert set(answer.making.compiled) == {"x86-cpu", "x86-cpu-int8"}
    assert ask.released(answer.release).release == answer.ran.release


def test_a_time_before_the_first_report_is_not_known(world):
    answer = ask.device(world.records, world.fleet, "car-1", hour(0.5))
    assert (answer.ran, answer.making, answer.gaps) == (None, None, ())


def test_a_removed_devices_target_is_not_guessed(tmp_path):
    world = World(tmp_path)
    world.fleet.remove("car-1", 5)
    answer = ask.device(world.records, world.fleet, "car-1", hour(4))
    assert answer.target is None
    assert [one.target for one in answer.artifacts] == ["x86-cpu", "x86-cpu-int8"]


def test_a_device_nobody_knows_is_an_error(world):
    with pytest.raises(UnknownDeviceError, match="car-9"):
        ask.device(world.records, world.fleet, "car-9", hour(2))


def test_a_version_from_before_the_ledger_leaves_a_gap_that_says_so(tmp_path):
    world = World(tmp_path)
    world.fleet.runs("car-4", "0", 1)
    answer = ask.device(world.records, world.fleet, "car-4", hour(2))
    (gap,) = answer.gaps
    assert answer.ran.version == "0" and answer.making is None
    assert (gap.source, gap.down) == ("ledger", False) and "registered before the ledger was" in gap.reason


def test_a_ledger_that_is_down_leaves_a_gap_in_what_a_device_ran(world):
    class Down(LedgerRecords):
        def making(self, pipeline, version):
            raise UnavailableError("no database")

    answer = ask.device(Down(world.ledger), world.fleet, "car-1", hour(2.5))
    assert answer.ran.version == "2" and answer.making is None
    assert [(gap.source, gap.down) for gap in answer.gaps] == [("ledger", True)]


def test_a_gateway_that_is_down_leaves_a_gap_in_what_the_ledger_knows(tmp_path):
    world = World(tmp_path)
    world.fleet.reachable = False
    for answer in (ask.model(world.records, world.fleet, "shop", "2"), world.commit("raw", TUESDAY)):
        assert answer.devices is None
        assert [(gap.source, gap.down) for gap in answer.gaps] == [("gateway", True)]
    with pytest.raises(UnavailableError):
        ask.device(world.records, world.fleet, "car-1", hour(2))


@pytest.mark.parametrize(
    ("kind", "about", "versions"),
    [
        ("raw", MONDAY, "123"),
        ("raw", TUESDAY, "23"),
        ("main", WEDNESDAY, "3"),
        ("main", MONDAY, "123"),
        ("model", "2", "2"),
    ],
)
def test_a_commit_leads_to_all_that_was_made_of_it_and_to_nothing_else(world, kind, about, versions):
    answer = world.commit(kind, about)
    assert "".join(one.version for one in answer.versions) == versions
    assert {ran.version for ran in answer.devices} == set(versions)
    for one in answer.versions:
        assert [each.target for each in one.artifacts] == ["x86-cpu", "x86-cpu-int8"]
        assert [each.outcome for each in one.releases] == ["completed"]


def test_the_recall_list_tells_who_runs_it_now_from_who_did(world):
    answer = world.commit("raw", TUESDAY)
    assert [(ran.device_id, ran.version) for ran in answer.running] == [("car-1", "3"), ("car-2", "2")]
    assert len(answer.devices) == 3


def test_a_commit_may_be_named_by_its_beginning(world):
    whole = commit_id("raw", TUESDAY)
    assert ask.commit(world.records, world.fleet, whole[:8]).commit == whole
    assert ask.commit(world.records, world.fleet, f"shop@{whole}").commit == whole
    assert ask.commit(world.records, world.fleet, whole) == ask.commit(world.records, world.fleet, whole[:8])


def test_a_beginning_that_is_too_short_or_not_hexadecimal_is_a_wrong_question(world):
    for asked in ("abc1234", "main-branch", "ABCDEFGH"):
        with pytest.raises(ConfigurationError, match="at least 8"):
            ask.commit(world.records, world.fleet, asked)


def test_a_beginning_of_several_commits_is_a_wrong_question_that_names_them(tmp_path):
    past = Past(ledger := ledger_at(tmp_path))
    past.day(MONDAY)
    for one in ("1", "2"):
        places = {"model": f"shop@{'ab' * 20}{one}"}
        past._record("register", one, {f"versions/{one}/x": "a" * 64}, {}, places, {"parameters": {"x": one}})
    with pytest.raises(ConfigurationError, match=f"{'ab' * 20}1, {'ab' * 20}2"):
        ask.commit(LedgerRecords(ledger), FleetSimulator(), "ab" * 20)


def test_a_commit_nobody_names_is_unrecorded(world):
    with pytest.raises(UnrecordedError, match="no statement"):
        ask.commit(world.records, world.fleet, "f" * 64)


def test_bytes_that_were_made_again_in_another_commit_still_lead_to_their_versions(tmp_path):
    ledger = ledger_at(tmp_path)
    past = Past(ledger)
    past.day(MONDAY)
    # The same rows land again in another commit, by other code; whoever reads them is linked to this newest maker.
    rows = {name: sha for one in ledger.statements("shop", "ingest") for name, sha in one.outputs.items()}
    features = {name: sha for one in ledger.statements("shop", "features") for name, sha in one.outputs.items()}
    again = {"raw": f"shop@{commit_id('raw', 'again')}"}
    past._record("ingest", MONDAY, rows, {"feed/x": "b" * 64}, again, {"parameters": {"code": 2}})
    past._record("features", MONDAY, features, rows, again, {"parameters": {"code": 2}})
    past.version("1", [MONDAY])
    for about in (MONDAY, "again"):
        answer = ask.commit(LedgerRecords(ledger), FleetSimulator(), commit_id("raw", about))
        assert [one.version for one in answer.versions] == ["1"]


def test_equal_bytes_of_another_pipeline_are_not_recalled(tmp_path):
    ledger = ledger_at(tmp_path)
    for name in ("shop", "store"):
        past = Past(ledger, name)
        past.day(MONDAY, content=name)
        past.version("1", [MONDAY], {MONDAY: name})
    answer = ask.commit(LedgerRecords(ledger), FleetSimulator(), commit_id("raw", f"{MONDAY}shop"))
    assert [one.pipeline for one in answer.versions] == ["shop"]


def test_how_a_version_was_made_where_it_ran_and_when_it_was_champion(world):
    answer = ask.model(world.records, world.fleet, "shop", "2")
    (reign,) = answer.champion
    assert (reign.since, reign.until) == (hour(2), hour(3))
    assert [ran.device_id for ran in answer.devices] == ["car-1", "car-2"]
    assert [step.statement.subject for step in answer.making.releases] == ["2"]
    assert answer.making.exported is not None


def test_a_rolled_back_release_makes_no_champion(tmp_path):
    world = World(tmp_path)
    world.past.version("4", [MONDAY])
    world.past.release("4", "rolled_back")
    world.past.release("1", at=5)
    assert [(one.version, one.since, one.until) for one in world.records.reigns("shop")] == [
        ("1", hour(1), hour(2)),
        ("2", hour(2), hour(3)),
        ("3", hour(3), hour(5)),
        ("1", hour(5), None),
    ]
    assert len(ask.model(world.records, world.fleet, "shop", "1").champion) == 2
    assert ask.model(world.records, world.fleet, "shop", "4").champion == ()


@pytest.mark.parametrize(
    ("model", "version", "near"), [("shoop", "1", "shop"), ("shop", "33", "3"), ("x", "1", "shop")]
)
def test_a_model_nobody_knows_is_unrecorded_and_near_names_are_told(world, model, version, near):
    with pytest.raises(UnrecordedError, match=rf"there (is|are) .*{near}"):
        ask.model(world.records, world.fleet, model, version)


def test_a_version_without_features_or_export_still_has_a_making(tmp_path):
    ledger = ledger_at(tmp_path)
    record_version(ledger, "shop", "1", {"model.onnx": "a" * 64})
    answer = ask.model(LedgerRecords(ledger), FleetSimulator(), "shop", "1")
    assert answer.making.exported is None and answer.making.trained is not None and answer.making.artifacts == ()


def test_a_statement_that_was_changed_is_not_shown(tmp_path):
    world = World(tmp_path)
    with world.ledger.database.transaction() as connection:
        registered = STATEMENT.c.stage == "register"
        one, other = connection.execute(STATEMENT.select().where(registered)).mappings().all()[:2]
        connection.execute(STATEMENT.update().where(STATEMENT.c.id == one["id"]).values(envelope=other["envelope"]))
    with pytest.raises(EvidenceError, match="was changed"):
        ask.model(world.records, world.fleet, "shop", "1")


def test_an_answer_is_plain_json(world):
    answers = [
        plain.device_data(ask.device(world.records, world.fleet, "car-1", hour(2.5))),
        plain.model_data(ask.model(world.records, world.fleet, "shop", "2")),
        plain.commit_data(world.commit("raw", TUESDAY)),
    ]
    device, model, commit = json.loads(json.dumps(answers))
    assert device["making"]["trained"]["commits"]["data"].endswith(commit_id("main", TUESDAY))
    assert device["ran"]["clock"] == "device" and device["ran"]["since"] == hour(2).isoformat()
    assert model["champion"][0]["until"] == hour(3).isoformat()
    assert [one["version"] for one in commit["versions"]] == ["2", "3"]


def test_a_recall_returns_to_the_newest_clean_version_that_was_everybodys_once(tmp_path):
    world = World(tmp_path)
    world.past.version("4", [MONDAY])
    world.past.release("4", "rolled_back")
    world.past.version("5", [MONDAY])
    (recall,) = recalls(world.records, world.commit("raw", TUESDAY), world.channel)
    assert (recall.champion, recall.clean, recall.devices, recall.needed) == ("3", "1", 2, True)
    (same,) = recalls(world.records, world.commit("raw", TUESDAY), world.channel)
    assert same.run_id == recall.run_id


def test_without_a_clean_version_a_recall_names_none(world):
    (recall,) = recalls(world.records, world.commit("raw", MONDAY), world.channel)
    assert recall.clean is None


def test_a_champion_that_is_clean_needs_no_release(tmp_path):
    world = World(tmp_path)
    world.past.release("1", at=4)
    (recall,) = recalls(world.records, world.commit("raw", TUESDAY), world.channel)
    assert (recall.champion, recall.clean, recall.needed) == ("1", "1", False)


def test_a_bad_champion_is_recalled_even_when_no_device_reported(tmp_path):
    world = World(tmp_path)
    answer = ask.commit(world.records, FleetSimulator(), commit_id("raw", WEDNESDAY))
    (recall,) = recalls(world.records, answer, world.channel)
    assert (recall.devices, recall.champion, recall.clean) == (0, "3", "2")


def test_versions_that_run_nowhere_and_are_no_champion_need_no_recall(world):
    answer = ask.commit(world.records, FleetSimulator(), commit_id("model", "1"))
    assert recalls(world.records, answer, world.channel) == ()


def publish(channel, current, following, percent=25):
    said = {"release": f"shop-v{following}-00000009", "salt": "salt", "percent": percent}
    channel.publish(ChannelState(pipeline="shop", current=current, next=following, **said))


def test_a_release_under_way_is_recalled_before_the_ledger_has_heard_of_it(tmp_path):
    world = World(tmp_path)
    world.past.release("1", at=4)
    world.past.version("5", [TUESDAY])
    publish(world.channel, "1", "5")
    answer = ask.commit(world.records, FleetSimulator(), commit_id("raw", TUESDAY))
    (recall,) = recalls(world.records, answer, world.channel)
    assert (recall.champion, recall.clean, recall.needed) == ("1", "1", True)
    assert recall.under_way.next == "5" and recall.conf["supersede"]
    assert recall.run_id == f"recall__{commit_id('raw', TUESDAY)[:16]}__shop-v5-00000009_to_v1"


@pytest.mark.parametrize(("current", "following", "percent"), [("3", "1", 25), ("1", None, 0)])
def test_a_release_of_a_clean_version_or_one_that_ended_is_not_under_way(tmp_path, current, following, percent):
    world = World(tmp_path)
    publish(world.channel, current, following, percent)
    (recall,) = recalls(world.records, world.commit("raw", TUESDAY), world.channel)
    assert recall.under_way is None and recall.run_id.endswith("__v3_to_v1")


DAYS = [f"2013-02-0{number}" for number in range(1, 6)]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sets(st.sampled_from(DAYS), min_size=1), min_size=1, max_size=5))
def test_a_days_commit_leads_to_exactly_the_versions_trained_on_it(tmp_path_factory, trainings):
    past = Past(ledger := ledger_at(tmp_path_factory.mktemp("past")))
    for day in DAYS:
        past.day(day)
    for number, days in enumerate(trainings, start=1):
        past.version(str(number), sorted(days))
    for day in DAYS:
        answer = ask.commit(LedgerRecords(ledger), FleetSimulator(), commit_id("raw", day))
        assert [one.version for one in answer.versions] == [
            str(number) for number, days in enumerate(trainings, start=1) if day in days
        ]

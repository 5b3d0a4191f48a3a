"""The release stage: what each task of the DAG calls, against a simulated fleet, channel and registry."""

from dataclasses import replace

import pytest

from slipway.errors import DisputedError, EvidenceError, ReleaseError, RolledBackError, UnavailableError
from slipway.identity.digest import sha256_bytes
from slipway.ledger.schema import STATEMENT
from slipway.stages import release
from tests.simulators.channel import version_files
from tests.simulators.death import Death, retried
from tests.unit.stages.released import ASKED, CHANNEL, MLFLOW, PIPELINE, Dock


@pytest.fixture
def dock(tmp_path, monkeypatch) -> Dock:
    return Dock(tmp_path, monkeypatch)


class TestChoosingAVersion:
    def test_the_version_asked_for_is_taken_although_a_newer_one_is_registered(self, dock):
        dock.register(b"1")
        dock.register(b"2")
        assert release.choose_version(MLFLOW, PIPELINE.name, "1") == "1"

    def test_without_one_the_newest_registered_is_taken(self, dock):
        dock.register(b"1")
        dock.register(b"2")
        assert release.choose_version(MLFLOW, PIPELINE.name, "") == "2"

    def test_nothing_registered_is_said_so(self, dock):
        with pytest.raises(ReleaseError, match="no version of flight_delay is registered; train one first"):
            release.choose_version(MLFLOW, PIPELINE.name, "")


class TestFindingTheReleaseOfARun:
    def test_it_is_told_from_the_channel_alone(self, dock):
        dock.register(b"1")
        prepared = dock.prepare("1", "manual__1")
        found = release.rollout_of_run(CHANNEL, PIPELINE, "manual__1")
        assert found is not None
        assert (found.release, found.version) == (prepared.release, "1")

    def test_before_any_release_and_in_another_runs_there_is_none(self, dock):
        assert release.rollout_of_run(CHANNEL, PIPELINE, "manual__1") is None
        dock.register(b"1")
        dock.prepare("1", "manual__1")
        assert release.rollout_of_run(CHANNEL, PIPELINE, "manual__2") is None


class TestPreparing:
    def test_the_versions_files_are_signed_and_no_device_takes_them(self, dock):
        dock.register(b"1")
        dock.prepare("1", "manual__1")
        dock.fleet.poll()
        assert dock.channel.read("flight_delay/1/x86-cpu/model.onnx") == b"1 for x86-cpu"
        assert dock.fleet.versions() == {None: 20}

    def test_a_registry_that_is_away_signs_nothing_and_is_left_to_a_retry(self, dock):
        dock.register(b"1")
        dock.registry.reachable = False
        with pytest.raises(UnavailableError) as caught:
            dock.prepare("1", "manual__1")
        assert caught.value.retryable
        assert dock.channel.state(PIPELINE.name) is None

    def test_a_release_left_unfinished_stops_the_next_one(self, dock):
        dock.released(b"1", "manual__1")
        dock.register(b"2")
        left = dock.prepare("2", "manual__2")
        left.open_phase(25)
        dock.register(b"3")
        with pytest.raises(ReleaseError, match=r"is at 25%.*`supersede`"):
            dock.prepare("3", "manual__3")
        assert dock.channel.state(PIPELINE.name).release == left.release

    def test_supersede_returns_the_devices_of_the_one_left_unfinished_and_goes_on(self, dock, caplog):
        dock.released(b"1", "manual__1")
        dock.register(b"2")
        left = dock.prepare("2", "manual__2")
        left.open_phase(25)
        dock.fleet.poll()
        assert 0 < dock.fleet.versions()["2"] < 20
        dock.register(b"3")
        taken = dock.prepare("3", "manual__3", supersede=True)
        dock.fleet.poll()
        assert dock.fleet.versions() == {"1": 20}
        state = dock.channel.state(PIPELINE.name)
        assert (state.release, state.current, state.next, state.percent) == (taken.release, "1", "3", 0)
        assert f"{left.release} was left unfinished and is rolled back" in caplog.text

    def test_supersede_killed_at_any_point_ends_the_same_when_repeated(self, dock):
        dock.released(b"1", "manual__1")
        for at, content in enumerate((b"2", b"3", b"4")):  # rollback, publish, and not killed at all
            dock.prepare(dock.register(content), f"left__{at}", supersede=True).open_phase(25)
            death, plain = Death(at), dock.channel
            dock.channel = death.watch(plain, "rollback", "publish")
            version = dock.register(content + b"+")
            taken = retried(dock.prepare, version, f"new__{at}", supersede=True)
            dock.channel = plain
            assert death.happened == (at < 2)
            state = plain.state(PIPELINE.name)
            assert (state.release, state.current, state.next) == (taken.release, "1", version)

    def test_superseding_back_to_the_version_before_is_all_there_is_to_do(self, dock):
        dock.released(b"1", "manual__1")
        dock.prepare(dock.register(b"2"), "manual__2").open_phase(25)
        dock.fleet.poll()
        back = dock.rollout("1", "recall__1")
        for _ in range(2):
            assert release.prepare(back, MLFLOW, CHANNEL, dock.ledger, supersede=True) is False
        dock.fleet.poll()
        assert dock.fleet.versions() == {"1": 20}

    def test_supersede_leaves_the_runs_own_release_and_a_finished_one_alone(self, dock):
        dock.released(b"1", "manual__1")
        dock.register(b"2")
        dock.prepare("2", "manual__2", supersede=True).open_phase(5)
        dock.prepare("2", "manual__2", supersede=True)
        state = dock.channel.state(PIPELINE.name)
        assert (state.current, state.next, state.percent) == ("1", "2", 5)


class TestCompleting:
    def test_fleet_champion_and_ledger_say_the_same(self, dock):
        dock.register(b"1")
        rollout, phases = dock.observed("1", "manual__1")
        done = dock.complete(rollout, phases)
        assert dock.complete(rollout, phases) == done
        assert dock.fleet.versions() == {"1": 20}
        assert dock.champion() == "1"
        (statement,) = dock.statements()
        assert (statement.subject, statement.details["outcome"]) == ("1", "completed")
        assert [phase["percent"] for phase in statement.details["phases"]] == list(PIPELINE.release.phases)
        assert {phase["verdict"] for phase in done["phases"]} == {"pass"}

    def test_killed_between_any_two_effects_and_repeated_they_still_do(self, dock, monkeypatch):
        effects = 3  # publish, set_alias, record
        for at in range(effects + 1):
            version = dock.register(f"content {at}".encode())
            _, phases = dock.observed(version, f"manual__{at}")
            death, plain = Death(at), dock.channel
            monkeypatch.setattr(release, "mlflow_registry", death.watch(dock.registry, "set_alias"))
            dock.channel, ledger = death.watch(plain, "publish"), death.watch(dock.ledger, "record")
            watched = dock.rollout(version, f"manual__{at}")
            retried(release.complete, watched, MLFLOW, ledger, phases, **ASKED)
            dock.channel = plain
            dock.fleet.poll()
            assert death.happened == (at < effects)
            assert (plain.state(PIPELINE.name).current, dock.champion()) == (version, version)
            assert dock.fleet.versions() == {version: 20}
            assert len(dock.statements()) == at + 1

    def test_before_the_last_phase_neither_fleet_nor_champion_changes(self, dock):
        dock.register(b"1")
        rollout = dock.prepare("1", "manual__1")
        rollout.open_phase(25)
        with pytest.raises(ReleaseError, match="100%"):
            dock.complete(rollout, [])
        assert dock.champion() is None and dock.statements() == []


class TestRollingBack:
    def test_the_fleet_returns_the_champion_stays_and_the_ledger_says_why(self, dock):
        dock.released(b"1", "manual__1")
        dock.register(b"2")
        rollout, phases = dock.observed("2", "manual__2")
        failed = [*phases[:-1], {**phases[-1], "verdict": "fail", "reason": "too many errors"}]
        for _ in range(2):
            with pytest.raises(RolledBackError, match="returned to version 1: too many errors"):
                release.roll_back(rollout, dock.ledger, failed, **ASKED)
        dock.fleet.poll()
        assert dock.fleet.versions() == {"1": 20}
        assert dock.champion() == "1"
        statement = dock.statements()[-1]
        assert len(dock.statements()) == 2
        assert (statement.details["outcome"], statement.details["reason"]) == ("rolled_back", "too many errors")

    def test_without_a_failed_phase_a_task_or_a_person_was_the_reason(self, dock):
        dock.register(b"1")
        rollout = dock.prepare("1", "manual__1")
        with pytest.raises(RolledBackError, match="returned to no version: a task of the release failed, or the app"):
            release.roll_back(rollout, dock.ledger, [], **ASKED)

    def test_a_release_that_never_reached_the_channel_leaves_the_fleet_alone(self, dock):
        dock.released(b"1", "manual__1")
        before = dock.channel.state(PIPELINE.name)
        dock.register(b"2")
        for rollout in (None, dock.rollout("2", "manual__2")):
            with pytest.raises(ReleaseError, match="the fleet was not touched"):
                release.roll_back(rollout, dock.ledger, [], **ASKED)
        assert dock.channel.state(PIPELINE.name) == before
        assert len(dock.statements()) == 1

    def test_killed_before_the_ledger_has_it_a_repeat_records_it(self, dock):
        dock.register(b"1")
        rollout = dock.prepare("1", "manual__1")
        ledger = Death(0).watch(dock.ledger, "record")
        with pytest.raises(RolledBackError):
            retried(release.roll_back, rollout, ledger, [], **ASKED)
        assert [statement.details["outcome"] for statement in dock.statements()] == ["rolled_back"]


class TestSigningWhatWasStated:
    @pytest.mark.parametrize("path", ["golden.npz", "evaluation.json", "targets/x86-cpu/model.onnx"])
    def test_a_file_that_is_not_the_stated_one_is_never_signed(self, dock, path):
        dock.register(b"1")
        other = version_files(content=b"2", targets=("x86-cpu",), shares={"late": 0.5, "on_time": 0.5})
        # The registry's index, and for a model its manifest, agree with the file: only the statement knows better.
        folder = path.rpartition("/")[0]
        changed = {name: other[name] for name in other if name == path or (folder and name.startswith(folder))}
        dock.registry.versions[0].files.update(changed)
        named = min(changed)
        with pytest.raises(EvidenceError, match=rf"expected versions/1/{named} of flight_delay as it was stated"):
            dock.prepare("1", "manual__1")
        assert dock.channel.state(PIPELINE.name) is None

    def test_a_target_that_was_not_stated_is_never_signed(self, dock):
        dock.register(b"1")
        dock.registry.versions[0].files.update(version_files(targets=("added",)))
        dock.registry.versions[0].files.update(version_files(content=b"1"))
        with pytest.raises(EvidenceError, match=r"versions/1/targets/added/manifest\.json.*sha256 of none"):
            dock.prepare("1", "manual__1")

    def test_the_materials_are_exactly_the_files_the_channel_publishes(self, dock):
        dock.register(b"1", {"targets/x86-cpu/calibration.bin": b"no device asks for it"})
        rollout, phases = dock.observed("1", "manual__1")
        dock.complete(rollout, phases)
        (statement,) = dock.statements()
        folder = f"{PIPELINE.name}/1/"
        published = {path.removeprefix(folder) for path in dock.channel.paths() if not path.endswith("provenance.json")}
        assert {name.removeprefix("versions/1/").removeprefix("targets/") for name in statement.materials} == published
        assert "versions/1/targets/x86-cpu/calibration.bin" not in statement.materials

    def test_a_statement_of_another_version_proves_nothing(self, dock):
        dock.register(b"1")
        dock.register(b"2")
        with dock.ledger.database.transaction() as connection:
            connection.execute(STATEMENT.delete().where(STATEMENT.c.stage == "register", STATEMENT.c.subject == "1"))
            connection.execute(
                STATEMENT.update()
                .where(STATEMENT.c.stage == "register", STATEMENT.c.subject == "2")
                .values(subject="1")
            )
        with pytest.raises(EvidenceError):
            dock.prepare("1", "manual__1")
        assert dock.channel.state(PIPELINE.name) is None

    def test_a_version_made_of_something_disputed_is_not_released(self, dock):
        dock.register(b"1")
        (ingested,) = dock.ledger.statements(PIPELINE.name, "ingest")
        with pytest.raises(DisputedError):
            dock.ledger.record(replace(ingested, outputs={"ingest/2013-01-01": sha256_bytes(b"other rows")}))
        with pytest.raises(EvidenceError, match=r"ingest of flight_delay, 2013-01-01 .* is disputed"):
            dock.prepare("1", "manual__1")
        assert dock.channel.state(PIPELINE.name) is None


class TestWhoAllowedItAndWhen:
    ANSWERS = (
        {"task": "approve_first", "by": "ada", "at": "2026-03-01T12:00:00+00:00", "chosen": ["Approve"]},
        {"task": "approve", "by": "grace", "at": "2026-03-01T12:10:00+00:00", "chosen": ["Reject"]},
    )

    def test_a_completed_release_says_who_was_asked_and_since_when_it_went_on(self, dock):
        dock.register(b"1")
        rollout, phases = dock.observed("1", "manual__1")
        release.complete(rollout, MLFLOW, dock.ledger, phases, **ASKED, approvals=self.ANSWERS[:1])
        (statement,) = dock.statements()
        assert statement.details["approvals"] == list(self.ANSWERS[:1])
        assert statement.execution.started == ASKED["started"] < statement.execution.finished

    def test_a_release_that_was_refused_says_by_whom(self, dock):
        dock.register(b"1")
        rollout = dock.prepare("1", "manual__1")
        with pytest.raises(RolledBackError):
            release.roll_back(rollout, dock.ledger, [], **ASKED, approvals=self.ANSWERS)
        (statement,) = dock.statements()
        assert statement.details["approvals"] == list(self.ANSWERS)
        assert statement.execution.started == ASKED["started"] < statement.execution.finished

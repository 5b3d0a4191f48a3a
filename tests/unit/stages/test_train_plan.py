import dataclasses
import datetime as dt

import pytest

from slipway.errors import ConfigurationError, DataError
from slipway.lake.uri import LakeUri
from slipway.pipeline.load import find_pipeline
from slipway.settings import settings
from slipway.stages.partitions import choose_partitions, without_replays
from slipway.stages.train import TrainingPlan, plan_training, require_planned_code, training_code
from tests.simulators.lake import LakeSimulator

PIPELINE = find_pipeline(settings().pipelines, "flight_delay")
DAYS = [f"2013-01-{day:02d}" for day in range(1, 15)]


@pytest.fixture
def lake():
    lake = LakeSimulator()
    lake.ensure_repository(PIPELINE.repository)
    return lake


def publish_days(lake, days, content=b"features of "):
    lake.create_branch(PIPELINE.repository, "run", "main")
    for day in days:
        lake.put(LakeUri(PIPELINE.repository, "run", f"features/date={day}/part-00000.parquet"), content + day.encode())
    lake.commit(PIPELINE.repository, "run", "days", {})
    lake.merge(PIPELINE.repository, "run", "main", "days", {})
    lake.delete_branch(PIPELINE.repository, "run")


def plan(lake, champion=None, **more) -> TrainingPlan:
    given = {"runtime": "process", "champion": champion, **more}
    return plan_training(lake, PIPELINE, root=settings().root, **given)


def test_the_latest_days_are_held_out_and_never_learned_from():
    learned, held_out = choose_partitions(list(reversed(DAYS)), holdout=3, most=60, least=14)
    assert held_out == DAYS[-3:] and learned == DAYS[:-3]


def test_only_the_newest_days_count_when_there_are_more_than_asked_for():
    learned, held_out = choose_partitions(DAYS, holdout=2, most=5, least=5)
    assert [*learned, *held_out] == DAYS[-5:]


@pytest.mark.parametrize("days", [[], DAYS[:13]])
def test_too_few_days_are_refused_with_what_there_is(days):
    with pytest.raises(DataError, match=f"expected at least 14 partitions of features, got {len(days)}"):
        choose_partitions(days, holdout=3, most=60, least=14)


def test_a_plan_reads_one_pinned_commit_and_writes_on_a_branch_that_starts_there(lake):
    publish_days(lake, DAYS)
    made = plan(lake)
    assert made.commit == lake.resolve(PIPELINE.repository, "main")
    assert lake.resolve(PIPELINE.repository, made.branch) == made.commit
    assert made.works["train"].arguments[made.works["train"].arguments.index("--commit") + 1] == made.commit


def test_there_is_one_work_per_target_and_each_has_its_own_place(lake):
    publish_days(lake, DAYS)
    made = plan(lake)
    assert made.targets == [target.name for target in PIPELINE.compile.targets]
    assert set(made.works) == {"train", "export", *made.targets}
    assert len({work.output for work in made.works.values()}) == len(made.works)


def test_planning_again_on_the_same_data_gives_the_same_plan(lake):
    publish_days(lake, DAYS)
    assert plan(lake) == plan(lake)


def test_nothing_after_the_last_day_asked_for_is_used(lake):
    publish_days(lake, [*DAYS, "2013-11-22", "2026-11-22"])
    made = plan(lake, until=dt.date(2013, 1, 31))
    assert [*made.partitions, *made.holdout] == DAYS


def test_a_day_replayed_in_another_year_is_not_learned_from_when_its_twin_is_held_out(lake):
    publish_days(lake, DAYS)
    raw = {"2013-01-01": [("raw/a/date=2013-01-01/x", "1")], "2013-01-14": [("raw/a/date=2013-01-14/x", "2")]}
    raw |= {"2014-01-14": [("raw/a/date=2014-01-14/x", "2")]}
    assert without_replays(["2013-01-01", "2013-01-14"], ["2014-01-14"], raw) == ["2013-01-01"]


def test_when_only_replays_of_held_out_days_are_left_there_is_nothing_to_learn_from():
    raw = {"2013-01-14": [("a", "2")], "2014-01-14": [("b", "2")]}
    with pytest.raises(DataError, match="same raw data as a held-out one"):
        without_replays(["2013-01-14"], ["2014-01-14"], raw)


def test_the_champion_that_is_judged_is_the_one_in_the_fingerprint(lake):
    publish_days(lake, DAYS)
    arguments = plan(lake, champion="7").works["train"].arguments
    assert arguments[arguments.index("--champion") + 1] == "7"
    assert "--champion" not in plan(lake).works["train"].arguments


def test_the_code_of_every_target_is_part_of_the_fingerprint():
    code = training_code(PIPELINE, settings().root)
    targets = settings().root / "include/slipway/compile/targets"
    assert {f"include/slipway/compile/targets/{path.name}" for path in targets.glob("*.py")} <= set(code)


def test_where_the_pods_run_changes_the_fingerprint(lake):
    publish_days(lake, DAYS)
    assert plan(lake, runtime="kubernetes").fingerprint != plan(lake).fingerprint


def test_other_data_or_another_champion_give_another_fingerprint(lake):
    publish_days(lake, DAYS)
    first = plan(lake)
    assert plan(lake, champion="3").fingerprint != first.fingerprint
    publish_days(lake, DAYS[-1:], b"corrected ")
    assert plan(lake).fingerprint != first.fingerprint


def test_a_plan_survives_the_plain_form_tasks_hand_on(lake):
    publish_days(lake, DAYS)
    made = plan(lake)
    assert TrainingPlan.of(dataclasses.asdict(made)) == made


def test_a_plan_is_carried_out_by_the_code_and_settings_it_was_made_with_alone(lake):
    publish_days(lake, DAYS)
    made = plan(lake)
    require_planned_code(made, PIPELINE, settings().root)
    training = PIPELINE.training.model_copy(update={"seed": PIPELINE.training.seed + 1})
    with pytest.raises(ConfigurationError, match=r"changed since: flight_delay\.yaml .*clear the run from `plan`"):
        require_planned_code(made, PIPELINE.model_copy(update={"training": training}), settings().root)
    edited = dataclasses.replace(made, sources={**made.sources, "include/models/flight_delay.py": "0" * 64})
    with pytest.raises(ConfigurationError, match=r"changed since: include/models/flight_delay\.py;"):
        require_planned_code(edited, PIPELINE, settings().root)

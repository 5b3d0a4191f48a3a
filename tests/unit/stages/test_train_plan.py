import dataclasses

import pytest

from slipway.errors import DataError
from slipway.lake.uri import LakeUri
from slipway.pipeline.load import find_pipeline
from slipway.settings import settings
from slipway.stages.train import TrainingPlan, choose_partitions, plan_training
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


def plan(lake, champion=None) -> TrainingPlan:
    return plan_training(lake, PIPELINE, root=settings().root, champion=champion)


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

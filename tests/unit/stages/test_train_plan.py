import dataclasses
import datetime as dt
import sys

import pytest

from slipway.errors import ConfigurationError, DataError
from slipway.lake.uri import LakeUri
from slipway.pipeline.load import find_pipeline
from slipway.settings import settings
from slipway.stages.partitions import choose_partitions, without_replays
from slipway.stages.train import TrainingPlan, plan_training, require_planned_code
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


def changed(lake, **parts):
    """Works whose fingerprints other settings change."""
    before = plan(lake).works
    other = plan_training(
        lake, PIPELINE.model_copy(update=parts), root=settings().root, runtime="process", champion=None
    ).works
    return {name for name in before if before[name].fingerprint != other[name].fingerprint}


def test_a_bound_of_one_target_compiles_that_target_again_and_trains_nothing(lake):
    publish_days(lake, DAYS)
    first, *others = PIPELINE.compile.targets
    bounds = first.bounds.model_copy(update={"max_p50_ms": first.bounds.max_p50_ms * 2})
    targets = (first.model_copy(update={"bounds": bounds}), *others)
    assert changed(lake, compile=PIPELINE.compile.model_copy(update={"targets": targets})) == {first.name}


def test_another_seed_makes_everything_again(lake):
    publish_days(lake, DAYS)
    training = PIPELINE.training.model_copy(update={"seed": PIPELINE.training.seed + 1})
    assert changed(lake, training=training) == {"train", "export", *(one.name for one in PIPELINE.compile.targets)}


def test_how_many_days_would_have_been_enough_decides_nothing(lake):
    publish_days(lake, DAYS)
    training = PIPELINE.training.model_copy(update={"min_new_partitions": 13, "max_partitions": 365})
    assert changed(lake, training=training) == set()


def test_where_the_pods_run_changes_the_fingerprint(lake):
    publish_days(lake, DAYS)
    assert plan(lake, runtime="kubernetes").fingerprint != plan(lake).fingerprint


def hardware(lake, runtime):
    return {name: work.ingredients["hardware"] for name, work in plan(lake, runtime=runtime).works.items()}


def test_on_a_machine_with_a_gpu_training_alone_is_of_the_gpus_class(lake, monkeypatch):
    publish_days(lake, DAYS)
    cpu = hardware(lake, "process")["export"]
    monkeypatch.setattr("slipway.stages.works.gpu_hardware_class", lambda: "x86_64-NVIDIA H100")
    classes = hardware(lake, "process")
    assert classes.pop("train") == "x86_64-NVIDIA H100"
    assert set(classes.values()) == {cpu}


def test_a_pod_that_asks_for_no_architecture_is_of_any(lake):
    publish_days(lake, DAYS)
    classes = hardware(lake, "kubernetes")
    assert classes["x86-cpu"] == "any-cpu"
    assert "kubernetes.io/arch=any" in classes["train"] and "nvidia.com/gpu=1" in classes["train"]


def test_python_is_among_the_packages_that_decide(lake):
    publish_days(lake, DAYS)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert {work.ingredients["packages"]["python"] for work in plan(lake).works.values()} == {version}


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
    for work in made.works:
        require_planned_code(made, work, PIPELINE, settings().root)
    training = PIPELINE.training.model_copy(update={"seed": PIPELINE.training.seed + 1})
    with pytest.raises(ConfigurationError, match=r"since then: seed 20130101 → 20130102.*clear the run from `plan`"):
        require_planned_code(made, "train", PIPELINE.model_copy(update={"training": training}), settings().root)
    edited = made.works["train"].ingredients
    edited["code"]["include/models/flight_delay.py"] = "0" * 64
    with pytest.raises(ConfigurationError, match=r"module include/models/flight_delay\.py changed;"):
        require_planned_code(made, "train", PIPELINE, settings().root)

"""Run branches that failed stay for inspection and go later; what a model was made of never goes."""

from __future__ import annotations

import logging

import pytest

from slipway.connections import MlflowConnection
from slipway.errors import ContractError, UnavailableError
from slipway.lake.retention import DAY_SECONDS
from slipway.lake.uri import LakeUri
from slipway.settings import settings
from slipway.stages import housekeeping
from slipway.stages.housekeeping import sweep_branches
from slipway.stages.register import register_version
from tests.simulators.channel import Killed
from tests.simulators.death import Death
from tests.simulators.ledger import step
from tests.unit.stages.test_ingest import Shop
from tests.unit.stages.trained import PIPELINE, RUN, compiled, planned, train

MLFLOW = MlflowConnection("http://127.0.0.1:1")
EPOCH = 1_700_000_000
"""When the simulated lake's clock begins."""


def sweep(lake, pipeline=PIPELINE, days: float = 100, running=(), **more):
    return sweep_branches(lake, MLFLOW, pipeline, now=EPOCH + days * DAY_SECONDS, running=lambda: running, **more)


@pytest.fixture
def registry(registry, monkeypatch):
    monkeypatch.setattr(housekeeping, "mlflow_registry", registry)
    return registry


@pytest.fixture
def rejected(tmp_path, monkeypatch) -> Shop:
    """A shop whose one run was refused by its contract."""
    shop = Shop(tmp_path, monkeypatch)
    shop.deliver("id,price", ["1,2.5", "2,300"])
    with pytest.raises(ContractError):
        shop.land()
    return shop


def test_a_rejected_run_stays_with_its_report_and_goes_after_its_keep_time(rejected, registry, caplog):
    caplog.set_level(logging.INFO)
    (branch,) = rejected.lake.branches("shop", "run-")
    (fate,) = sweep(rejected.lake, rejected.pipeline, days=13)
    assert not fate.goes and rejected.report("sales")["outcome"] == "fail"
    (fate,) = sweep(rejected.lake, rejected.pipeline, days=15)
    assert fate.goes and rejected.lake.branches("shop") == ["main"]
    assert f"branch {branch} of shop deleted: last changed 15.0 days ago, kept for 14" in caplog.text


def test_a_dry_run_says_what_would_go_and_deletes_nothing(rejected, registry, caplog):
    caplog.set_level(logging.INFO)
    before = rejected.lake.branches("shop")
    (fate,) = sweep(rejected.lake, rejected.pipeline, dry_run=True)
    assert fate.goes and rejected.lake.branches("shop") == before
    assert "would be deleted" in caplog.text


def test_the_pipeline_says_how_long(rejected, registry):
    patient = rejected.pipeline.model_copy(update={"keep_run_branches_days": 200})
    assert not sweep(rejected.lake, patient)[0].goes


def test_an_old_branch_stays_while_a_run_that_may_have_adopted_it_is_under_way(rejected, registry):
    assert not sweep(rejected.lake, rejected.pipeline, running=["ingest"])[0].goes
    assert sweep(rejected.lake, rejected.pipeline, running=["train"])[0].goes


def test_uncommitted_work_counts_as_a_change(lake, registry):
    plan = planned(lake)
    lake._clock = iter(range(EPOCH + 50 * DAY_SECONDS, EPOCH + 51 * DAY_SECONDS))
    train(lake, plan)
    assert not sweep(lake, days=60)[0].goes
    assert sweep(lake, days=70)[0].goes


def test_a_registered_versions_data_and_files_outlive_every_sweep(lake, ledger, registry):
    plan = planned(lake)
    train(lake, plan)
    compiled(lake, plan)
    version = register_version(
        lake, ledger, MLFLOW, PIPELINE, plan=plan, run=RUN, root=settings().root, intents=step(ledger)
    )
    (fate,) = sweep(lake, days=10_000)
    assert not fate.goes and fate.reason == f"needed by tag model-flight_delay-v{version}"
    tags = registry.version_tags(MLFLOW, PIPELINE.name, version)
    for ref in (tags["slipway.data_commit"], tags["slipway.model_commit"], plan.branch):
        for day in (*plan.partitions, *plan.holdout):
            assert lake.exists(LakeUri(PIPELINE.repository, ref, f"features/date={day}/part-00000.parquet"))


def test_a_version_whose_registration_was_killed_before_its_tag_keeps_its_branch(lake, ledger, registry):
    plan = planned(lake)
    train(lake, plan)
    compiled(lake, plan)
    dying = Death(0).watch(lake, "tag")
    with pytest.raises(Killed):
        register_version(
            dying, ledger, MLFLOW, PIPELINE, plan=plan, run=RUN, root=settings().root, intents=step(ledger)
        )
    assert lake.tags(PIPELINE.repository) == {}
    (fate,) = sweep(lake, days=10_000)
    assert not fate.goes and fate.reason == "needed by model version 1"


def test_a_training_that_was_not_accepted_goes_and_the_registered_one_stays(lake, ledger, registry):
    kept, refused = planned(lake), planned(lake, champion="1")
    for plan in (kept, refused):
        train(lake, plan)
    compiled(lake, kept)
    register_version(lake, ledger, MLFLOW, PIPELINE, plan=kept, run=RUN, root=settings().root, intents=step(ledger))
    sweep(lake, days=10_000)
    assert lake.branches(PIPELINE.repository, "train-") == [kept.branch]


def test_without_the_registrys_word_nothing_is_deleted(rejected, registry):
    registry.reachable = False
    with pytest.raises(UnavailableError):
        sweep(rejected.lake, rejected.pipeline)
    assert len(rejected.lake.branches("shop")) == 2


def test_a_pipeline_that_never_ran_has_nothing_to_sweep(lake, registry):
    assert sweep(lake) == ()

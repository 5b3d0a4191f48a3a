"""Sweeping run branches of any lake: what goes, what stays, and that what stays can still be read."""

from __future__ import annotations

import time
from typing import Any

import pytest

from slipway.connections import MlflowConnection
from slipway.lake.publish import publish
from slipway.lake.retention import DAY_SECONDS
from slipway.lake.uri import LakeUri
from slipway.pipeline.load import find_pipeline
from slipway.pipeline.spec import Pipeline
from slipway.quality.report import Verdict
from slipway.settings import settings
from slipway.stages import housekeeping
from tests.simulators.lake import LakeSimulator
from tests.simulators.registry import RegistrySimulator

MLFLOW = MlflowConnection("http://127.0.0.1:1")
FAILED = "run-flight_delay-2013-01-02-0123456789ab"
REFUSED = "train-flight_delay-0123456789ab"
REGISTERED = "train-flight_delay-ba9876543210"


@pytest.fixture
def pipeline(repository: str, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    monkeypatch.setattr(housekeeping, "mlflow_registry", RegistrySimulator())
    found = find_pipeline(settings().pipelines, "flight_delay")
    return found.model_copy(update={"repository": repository})


@pytest.fixture
def data_commit(lake: Any, repository: str) -> str:
    """A published day, and every kind of branch that runs leave: their data, their models, their interrupted writes."""
    branches = {FAILED: "raw/a", REFUSED: "models/refused", REGISTERED: "models/good"}
    lake.create_branch(repository, "run-flight_delay-2013-01-01-0123456789ab", "main")
    lake.put(LakeUri(repository, "run-flight_delay-2013-01-01-0123456789ab", "features/day"), b"learned from")
    passed = [Verdict("features", "pass", "features/")]
    data = publish(lake, repository, "run-flight_delay-2013-01-01-0123456789ab", "day", {}, verdicts=passed)
    for name, path in branches.items():
        lake.create_branch(repository, name, data)
        lake.put(LakeUri(repository, name, path), b"1")
        lake.commit(repository, name, path, {})
    lake.tag(repository, "model-flight_delay-v1", REGISTERED)
    for name in ("staging-0123", "run-digit_reader-2013-01-01-0123456789ab", "somebodys-work"):
        lake.create_branch(repository, name, "main")
        lake.put(LakeUri(repository, name, "uncommitted"), b"1")
    return data


def sweep(lake: Any, pipeline: Pipeline, days: float, **more: Any) -> dict[str, str]:
    """Deleted branch -> reason, ``days`` after everything was written."""
    begin = 1_700_000_000 if isinstance(lake, LakeSimulator) else time.time()
    now = begin + days * DAY_SECONDS
    options = {"running": lambda: (), **more}
    fates = housekeeping.sweep_branches(lake, MLFLOW, pipeline, now=now, **options)
    return {fate.branch: fate.reason for fate in fates if fate.goes}


def test_only_what_nobody_needs_goes_and_only_after_its_keep_time(
    lake: Any, repository: str, pipeline: Pipeline, data_commit: str
) -> None:
    before = lake.branches(repository)
    assert sweep(lake, pipeline, days=13.9) == {}
    assert sweep(lake, pipeline, days=15, running=lambda: ("ingest", "train")) == {}
    would_go = sweep(lake, pipeline, days=15, dry_run=True)
    assert lake.branches(repository) == before
    assert sweep(lake, pipeline, days=15) == would_go
    published = "run-flight_delay-2013-01-01-0123456789ab"
    assert set(would_go) == {published, FAILED, REFUSED, "staging-0123"}
    assert set(lake.branches(repository)) == set(before) - set(would_go)
    assert sweep(lake, pipeline, days=16) == {}


def test_the_data_a_registered_model_learned_from_can_be_read_after_a_sweep(
    lake: Any, repository: str, pipeline: Pipeline, data_commit: str
) -> None:
    sweep(lake, pipeline, days=10_000)
    for ref in (data_commit, "main", REGISTERED, "model-flight_delay-v1"):
        assert lake.get(LakeUri(repository, ref, "features/day")) == b"learned from"
    assert lake.get(LakeUri(repository, "model-flight_delay-v1", "models/good")) == b"1"
    assert lake.commit_info(repository, "model-flight_delay-v1").parents == (data_commit,)


def test_a_line_under_way_keeps_its_branches(lake: Any, pipeline: Pipeline, data_commit: str) -> None:
    assert set(sweep(lake, pipeline, days=15, running=lambda: ("ingest",), dry_run=True)) == {REFUSED}
    assert REFUSED not in sweep(lake, pipeline, days=15, running=lambda: ("train",), dry_run=True)

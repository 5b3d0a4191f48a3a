"""Nothing that a registered version goes back to is collected, whatever the registry and the branches say."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from slipway.connections import MlflowConnection
from slipway.errors import LakeNotFoundError
from slipway.lake.client import Lake
from slipway.lake.collect import collect
from slipway.lake.retention import DAY_SECONDS
from slipway.lake.uri import LakeUri
from slipway.settings import settings
from slipway.stages import housekeeping, register
from slipway.stages.register import register_version
from tests.contract.lake.server import running_server
from tests.simulators.ledger import ledger_at, step
from tests.simulators.registry import RegistrySimulator
from tests.unit.stages.trained import PIPELINE, RUN, compiled, planned, train

MLFLOW = MlflowConnection("http://127.0.0.1:1")
REPOSITORY = PIPELINE.repository


def test_a_versions_model_and_data_outlive_its_branch_its_registry_and_every_collection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(register, "mlflow_registry", RegistrySimulator())
    monkeypatch.setattr(housekeeping, "mlflow_registry", RegistrySimulator())  # has forgotten every version
    ledger = ledger_at(tmp_path)
    with running_server(tmp_path) as connection:
        lake = Lake(connection)
        released, refused = planned(lake), planned(lake, champion="1")
        for plan in (released, refused):
            train(lake, plan)
            compiled(lake, plan)
        version = register_version(
            lake, ledger, MLFLOW, PIPELINE, plan=released, run=RUN, root=settings().root, intents=step(ledger)
        )
        tag = f"model-{PIPELINE.name}-v{version}"
        unregistered = lake.commit(REPOSITORY, refused.branch, "refused", {})
        files = {item.path: lake.get(LakeUri(REPOSITORY, tag, item.path)) for item in everything(lake, tag)}
        assert len(files) > len(released.partitions) + len(released.holdout)

        late = time.time() + 10_000 * DAY_SECONDS
        fates = housekeeping.sweep_branches(lake, MLFLOW, PIPELINE, now=late, running=lambda: ())
        assert {fate.branch for fate in fates if fate.goes} == {refused.branch}
        lake.delete_branch(REPOSITORY, released.branch)  # the tag is all that is left
        (collected,) = collect(connection, older_than_seconds=0)

        assert collected["commits"] == 1
        with pytest.raises(LakeNotFoundError):
            lake.resolve(REPOSITORY, unregistered)
        assert {item.path for item in everything(lake, tag)} == set(files)
        assert {path: lake.get(LakeUri(REPOSITORY, tag, path)) for path in files} == files
        assert lake.resolve(REPOSITORY, released.commit) == released.commit


def everything(lake: Lake, ref: str):
    return lake.list(LakeUri(REPOSITORY, ref, ""))

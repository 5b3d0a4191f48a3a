"""Two runs of one partition at once, from landing to publication, on any lake."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from slipway.errors import LakeNotFoundError
from slipway.feed.parquet import to_parquet
from slipway.identity.code import Closure
from slipway.lake.uri import LakeUri
from slipway.stages.landing import commit_of, features_prefix
from tests.unit.stages.test_ingest import Shop

FEATURES = to_parquet(pa.table({"id": [1, 2, 3], "price": [2.5, 3.5, 4.5]}))


@pytest.mark.parametrize("late_ms", [0, 0, 5, 20, 60])
def test_two_runs_of_one_partition_at_once_end_in_one_publication(
    lake: Any, repository: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late_ms: int
) -> None:
    shop = Shop(tmp_path, monkeypatch)
    shop.lake = lake
    shop.pipeline = shop.pipeline.model_copy(update={"repository": repository})
    # Runs are processes; as threads of one they would meet in CPython's parser and in SQLite's making of the table.
    monkeypatch.setattr("slipway.stages.landing.stage_code", lambda *_: Closure({"job": "c" * 64}, {}))
    assert shop.ledger.statements("shop", "features") == []
    begin, late = threading.Barrier(2), threading.Event()

    def run(number: int) -> str:
        begin.wait()
        late.wait(number * late_ms / 1000)
        landing = shop.land()
        if landing.commit is None:
            with suppress(LakeNotFoundError):  # As in the features step: publishing finds out what that means.
                path = f"{features_prefix(landing.partition)}/part-00000.parquet"
                lake.put(LakeUri(repository, landing.branch, path), FEATURES)
        return shop.publish(landing)

    with ThreadPoolExecutor(2) as pool:
        commits = list(pool.map(run, range(2)))
    history = lake.log(repository, "main", 100)
    merges = [commit.id for commit in history if len(commit.parents) == 2]
    assert merges == [commits[0]] == [commits[1]]
    assert len(lake.list(LakeUri(repository, "main"))) == 6  # A raw table, features, and two files of each's report.
    assert lake.branches(repository) == ["main"]
    (statement,) = shop.ledger.statements("shop", "features")
    assert commit_of(statement) == commits[0]

"""SIGKILL after every effect of an ingest run, and a retry: one branch, one merge, one statement, nothing left open."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import asdict, replace

import pandas as pd
import pandera.backends.pandas.register
import pandera.strategies.pandas_strategies  # noqa: F401 - likewise
import pyarrow as pa
import pytest

from slipway.connections import MlflowConnection
from slipway.feed.parquet import to_parquet
from slipway.lake.client import Lake
from slipway.lake.uri import LakeUri
from slipway.ledger.effects import Origin
from slipway.ledger.store import Ledger
from slipway.settings import settings
from slipway.stages.ingest import land, publish_features
from slipway.stages.landing import Landing, commit_of, features_prefix
from slipway.stages.run import Run
from tests.contract.lake.server import running_server
from tests.integration.ledger import postgresql_ledger
from tests.integration.worker import Services, Worker, settled
from tests.simulators.ledger import ledger_connection
from tests.unit.stages.test_ingest import pipeline

DAY = dt.date(2013, 1, 1)
ROOT = settings().root


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    keys = ledger_connection(tmp_path_factory.mktemp("keys")).keys
    with postgresql_ledger() as ledger, running_server(tmp_path_factory.mktemp("lake")) as lake:
        yield Services(lake, replace(ledger, keys=keys), MlflowConnection("http://127.0.0.1:1"))


@pytest.fixture
def feed(tmp_path, monkeypatch) -> str:
    package = tmp_path / "shop_feed"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "sales.csv").write_text("year,month,day,id,price\n2013,1,1,1,2.5\n2013,1,1,2,3.5\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return package.name


class Line:
    """The ingest line of one repository."""

    def __init__(self, feed: str, repository: str) -> None:
        self.pipeline = pipeline(feed).model_copy(
            update={"repository": repository, "name": repository.replace("-", "_")}
        )
        self.run = Run(f"{repository}.ingest", "run-1", "manual", "http://127.0.0.1/runs/1")

    def origin(self, task: str) -> Origin:
        return Origin(self.pipeline.name, "ingest", self.run.dag_id, self.run.run_id, task)

    def __call__(self, worker: Worker) -> None:
        ledger = worker.fuse.watch(Ledger(worker.ledger_place), "record")

        def features(_intents, lake):
            landing = land(lake, ledger, self.pipeline, DAY, root=ROOT)
            if landing.commit is None:
                # What the Spark job would write.
                table = pa.Table.from_pandas(pd.DataFrame({"id": [1, 2], "price": [2.5, 3.5]}), preserve_index=False)
                place = LakeUri(self.pipeline.repository, landing.branch, features_prefix(landing.partition))
                lake.put(place / "part-00000.parquet", to_parquet(table))
            return asdict(landing)

        def publish(_intents, lake):
            return publish_features(lake, ledger, self.pipeline, Landing(**landing), self.run, root=ROOT)

        landing = worker.task(self.origin("features"), features)
        worker.task(self.origin("publish"), publish)


def require_one_of_everything(services: Services, line: Line, moment: str) -> None:
    lake, pipeline = Lake(services.lake), line.pipeline
    assert lake.branches(pipeline.repository) == ["main"], moment
    merges = [commit.id for commit in lake.log(pipeline.repository, "main", 100) if len(commit.parents) == 2]
    assert len(merges) == 1, moment
    with settled(services.ledger) as effects:
        records = effects.records(pipeline=pipeline.name)
        (statement,) = Ledger(services.ledger).statements(pipeline.name, "features")
    assert commit_of(statement) == merges[0], moment
    assert {record.state for record in records} == {"done"}, moment
    assert Counter(record.effect.kind for record in records) == {
        "create_branch": 1, "upload": 1, "commit": 2, "merge": 1, "delete_branch": 1,
    }, moment  # fmt: skip
    for name in ("features", "publish"):
        assert {record.origin for record in records} >= {line.origin(name)}, moment


@pytest.mark.timeout(900)
def test_a_worker_killed_at_any_moment_of_an_ingest_leaves_one_of_everything(services, feed, tmp_path):
    whole = Line(feed, "whole")
    code, moments = services.run(whole, tmp_path / "whole")
    assert code == 0 and {"create_branch", "put", "commit", "merge", "record", "delete_branch"} <= set(moments)
    require_one_of_everything(services, whole, "without a kill")
    for number, moment in enumerate(moments, start=1):
        line, folder = Line(feed, f"killed-{number}"), tmp_path / f"killed-{number}"
        told = f"killed after moment {number}, {moment}"
        code, passed = services.run(line, folder, die_after=number)
        assert code == -9 and passed == moments[:number], told
        code, _ = services.run(line, folder)
        assert code == 0, told
        require_one_of_everything(services, line, told)


def test_what_a_killed_run_left_open_is_known_before_its_retry(services, feed, tmp_path):
    line = Line(feed, "left-open")
    _, moments = services.run(line, tmp_path / "line")
    assert moments.index("merge") > 0
    again = Line(feed, "left-open-2")
    services.run(again, tmp_path / "again", die_after=moments.index("merge") + 1)
    with settled(services.ledger) as effects:
        left = effects.records(state="open", pipeline=again.pipeline.name)
    assert {record.effect.kind for record in left} == {"upload", "commit", "merge"}
    assert {record.origin.task_id for record in left} == {"publish"}

"""One partition from the feed to ``main``, and what bad input leaves behind."""

import datetime as dt
import itertools
import json

import pandas as pd
import pyarrow as pa
import pytest

from slipway.connections import LedgerConnection
from slipway.errors import (
    ContractError,
    DataError,
    EmptyPartitionError,
    LakeConflictError,
    LakeNotFoundError,
    UnavailableError,
    UnreadableDataError,
)
from slipway.feed.parquet import to_parquet
from slipway.lake.uri import LakeUri
from slipway.ledger.store import Ledger
from slipway.pipeline.spec import Pipeline
from slipway.settings import settings
from slipway.stages.ingest import land, publish_features
from slipway.stages.landing import Landing, commit_of, features_prefix
from slipway.stages.run import Run
from tests.simulators.death import Death, retried
from tests.simulators.lake import LakeSimulator
from tests.simulators.ledger import ledger_at

DAY = dt.date(2013, 1, 1)
RUN = Run("shop.ingest", "run-1", "manual", "http://127.0.0.1/runs/1", note="by hand")
REPO = "shop"
RULES = {"id": {"type": "int64", "min": 1}, "price": {"type": "float64", "min": 0, "max": 100, "max_null_share": 0.2}}


def pipeline(package: str) -> Pipeline:
    from slipway.pipeline.load import find_pipeline

    base = find_pipeline(settings().pipelines, "digit_reader").model_dump(mode="python")
    contract = {"min_rows": 2, "max_rows": 9, "key": ("id",), "columns": RULES}
    raw = {**contract, "extra_columns": True}
    base |= {
        "name": "shop",
        "repository": REPO,
        "feed": {
            "tables": {"sales": {"package": package, "file": "sales.csv", "date_columns": ("year", "month", "day")}}
        },
        "raw": {"sales": raw},
        "features": {"job": "digit_features", "contract": contract},
    }
    return Pipeline.model_validate(base)


class Shop:
    """A pipeline over a CSV file in a package of its own, a simulated lake and a ledger on disk."""

    def __init__(self, folder, monkeypatch) -> None:
        package = folder / "shop_feed"
        package.mkdir()
        (package / "__init__.py").write_text("raise AssertionError('the feed must never import a package')")
        monkeypatch.syspath_prepend(str(folder))
        self.file = package / "sales.csv"
        self.deliver("id,price", ["1,2.5", "2,3.5", "3,4.5"])
        self.pipeline = pipeline("shop_feed")
        self.root = settings().root
        self.lake = LakeSimulator()
        self.ledger = ledger_at(folder)
        self.lake.ensure_repository(REPO)

    def deliver(self, columns: str, rows: list[str], day: dt.date = DAY) -> None:
        date = f"{day.year},{day.month},{day.day}"
        self.file.write_text("\n".join([f"year,month,day,{columns}", *(f"{date},{row}" for row in rows)]) + "\n")

    def land(self, **more) -> Landing:
        return land(self.lake, self.ledger, self.pipeline, DAY, root=self.root, **more)

    def make_features(self, landing: Landing, rows: dict | None = None) -> None:
        """What the Spark job would write."""
        frame = pd.DataFrame(rows if rows is not None else {"id": [1, 2, 3], "price": [2.5, 3.5, 4.5]})
        data = to_parquet(pa.Table.from_pandas(frame, preserve_index=False))
        self.lake.put(self.uri(landing), data)

    def uri(self, landing: Landing) -> LakeUri:
        return LakeUri(REPO, landing.branch, f"{features_prefix(landing.partition)}/part-00000.parquet")

    def publish(self, landing: Landing, **more) -> str:
        return publish_features(self.lake, self.ledger, self.pipeline, landing, RUN, root=self.root, **more)

    def main(self) -> str:
        return self.lake.resolve(REPO, "main")

    def report(self, dataset: str) -> dict:
        """The report on the one run branch there is, as committed there."""
        (branch,) = self.lake.branches(REPO, "run-")
        commit = self.lake.resolve(REPO, branch)
        folder = LakeUri(REPO, commit, f"_quality/{dataset}/date={DAY}")
        assert self.lake.get(folder / "report.html").startswith(b"<!doctype html>")
        return json.loads(self.lake.get(folder / "report.json"))


@pytest.fixture
def shop(tmp_path, monkeypatch) -> Shop:
    return Shop(tmp_path, monkeypatch)


def test_a_day_reaches_main_with_its_provenance_and_the_run_branch_goes(shop):
    landing = shop.land()
    shop.make_features(landing)
    commit = shop.publish(landing)
    assert shop.main() == commit
    assert shop.lake.exists(LakeUri(REPO, "main", f"features/date={DAY}/part-00000.parquet"))
    assert shop.lake.branches(REPO, "run-") == []
    metadata = shop.lake.commit_info(REPO, commit).metadata
    assert metadata["::lakefs::Airflow::dag_run_id"] == "run-1"
    assert metadata["slipway.fingerprint"] == landing.fingerprint
    assert metadata["slipway.rows.features"] == "3" and metadata["slipway.note"] == "by hand"


def test_a_day_already_published_is_not_made_again(shop):
    landing = shop.land()
    shop.make_features(landing)
    commit = shop.publish(landing)
    again = shop.land()
    assert again.commit == commit and shop.lake.branches(REPO, "run-") == []
    assert shop.publish(again) == commit


def test_force_makes_it_again_and_identical_data_changes_nothing(shop):
    landing = shop.land()
    shop.make_features(landing)
    commit = shop.publish(landing)
    forced = shop.land(force=True)
    assert forced.commit is None and forced.fingerprint == landing.fingerprint
    shop.make_features(forced)
    shop.publish(forced)
    assert shop.lake.commit_info(REPO, commit).metadata["slipway.fingerprint"] == landing.fingerprint
    assert shop.lake.branches(REPO, "run-") == []


def test_features_that_are_gone_from_main_are_made_again(shop):
    landing = shop.land()
    shop.make_features(landing)
    shop.publish(landing)
    shop.lake.create_branch(REPO, "oops", "main")
    shop.lake.delete(LakeUri(REPO, "oops", f"features/date={DAY}/part-00000.parquet"))
    shop.lake.commit(REPO, "oops", "deleted by hand", {})
    shop.lake.merge(REPO, "oops", "main", "deleted by hand", {})
    assert shop.land().commit is None


def test_every_step_may_be_repeated_and_ends_in_one_publication(shop):
    assert shop.land() == shop.land()
    landing = shop.land()
    shop.make_features(landing)
    shop.make_features(landing)
    assert shop.publish(landing) == shop.publish(landing)
    assert len([info for info in shop.lake.log(REPO, "main", 10) if len(info.parents) == 2]) == 1


EFFECTS = 11  # branch; raw table, its report twice, commit; features' report twice, commit; merge; statement; branch


@pytest.mark.parametrize("at", range(EFFECTS + 1))
def test_a_worker_killed_before_any_effect_ends_in_one_publication(shop, at):
    death = Death(at)
    lake = shop.lake
    shop.lake = death.watch(lake, "create_branch", "put", "commit", "merge", "delete_branch")
    shop.ledger = death.watch(shop.ledger, "record")
    landing = retried(shop.land)
    shop.lake = lake
    shop.make_features(landing)
    shop.lake = death.watch(lake, "create_branch", "put", "commit", "merge", "delete_branch")
    commit = retried(shop.publish, landing)
    assert death.happened == (at < EFFECTS)
    merges = [info.id for info in lake.log(REPO, "main", 100) if len(info.parents) == 2]
    assert merges == [commit] and lake.branches(REPO) == ["main"]
    (statement,) = shop.ledger.statements("shop", "features")
    assert commit_of(statement) == commit


def test_a_twin_whose_branch_is_taken_away_returns_the_first_ones_commit(shop):
    first, twin = shop.land(), shop.land()
    shop.make_features(first)
    commit = shop.publish(first)
    assert shop.lake.branches(REPO, "run-") == []
    assert shop.publish(twin) == commit


@pytest.mark.parametrize("at", range(1, 6))
def test_a_landing_whose_branch_the_twin_takes_away_starts_again(shop, at):
    first = shop.land()
    shop.make_features(first)
    lake, calls, published = shop.lake, itertools.count(), []

    class Raced:
        """The lake of a second run; the first one publishes before its call number ``at`` of these."""

        def __getattr__(self, name):
            if name in ("create_branch", "put", "uncommitted", "resolve") and next(calls) == at:
                published.append(publish_features(lake, shop.ledger, shop.pipeline, first, RUN, root=shop.root))
            return getattr(lake, name)

    shop.lake = Raced()
    twin = shop.land()
    shop.lake = lake
    if twin.commit is None:
        shop.make_features(twin)
    assert shop.publish(twin) == shop.main() == published[0]
    assert lake.branches(REPO) == ["main"]
    assert len([info for info in lake.log(REPO, "main", 100) if len(info.parents) == 2]) == 1


def test_a_run_branch_deleted_before_anything_was_published_is_an_error(shop):
    landing = shop.land()
    shop.lake.delete_branch(REPO, landing.branch)
    with pytest.raises(LakeNotFoundError):
        shop.publish(landing)


def test_a_conflict_names_its_paths_and_landing_again_starts_from_mains_new_state(shop):
    old = shop.land()
    shop.make_features(old)
    shop.deliver("id,price", ["1,2.5", "2,9.5", "3,4.5"])
    corrected = shop.land()
    shop.make_features(corrected, {"id": [1, 2, 3], "price": [2.5, 9.5, 4.5]})
    shop.publish(corrected)
    path = f"features/date={DAY}/part-00000.parquet"
    with pytest.raises(LakeConflictError, match="run the partition again from its first task") as conflict:
        shop.publish(old)
    assert path in conflict.value.paths and f"raw/sales/date={DAY}/part-00000.parquet" in conflict.value.paths
    assert shop.lake.branches(REPO, "run-") == [old.branch]
    shop.deliver("id,price", ["1,2.5", "2,3.5", "3,4.5"])
    again = shop.land()
    shop.make_features(again)
    assert again.branch == old.branch and shop.publish(again) == shop.main()


def test_raw_data_changed_after_its_check_does_not_reach_main(shop):
    landing = shop.land()
    shop.make_features(landing)
    before = shop.main()
    shop.lake.put(LakeUri(REPO, landing.branch, f"raw/sales/date={DAY}/part-00000.parquet"), b"other bytes")
    with pytest.raises(ContractError, match="sales did not pass"):
        shop.publish(landing)
    assert shop.main() == before and shop.lake.branches(REPO, "run-") == [landing.branch]


def test_what_a_job_writes_beside_its_features_does_not_reach_main(shop):
    landing = shop.land()
    shop.make_features(landing)
    before = shop.main()
    shop.lake.put(LakeUri(REPO, landing.branch, "features/date=2013-01-02/part-00000.parquet"), b"another day")
    with pytest.raises(ContractError, match=r"no verdict is about features/date=2013-01-02/part-00000\.parquet"):
        shop.publish(landing)
    assert shop.main() == before


def test_reports_are_announced_at_the_commits_that_hold_them(shop):
    pages = {}
    landing = shop.land(reported=pages.__setitem__)
    shop.make_features(landing)
    commit = publish_features(
        shop.lake, shop.ledger, shop.pipeline, landing, RUN, root=shop.root, reported=pages.__setitem__
    )
    assert set(pages) == {"sales", "features"} and pages["features"].ref == commit
    assert all(shop.lake.get(page).startswith(b"<!doctype html>") for page in pages.values())
    again = {}
    shop.publish(shop.land(reported=again.__setitem__))
    assert again["sales"].ref == commit and shop.lake.exists(again["sales"])


def test_the_report_of_a_refusal_is_announced_too(shop):
    shop.deliver("id,price", ["1,2.5", "2,300"])
    pages = {}
    with pytest.raises(ContractError):
        shop.land(reported=pages.__setitem__)
    assert b"fail" in shop.lake.get(pages["sales"])
    assert pages["sales"].ref == shop.lake.resolve(REPO, shop.lake.branches(REPO, "run-")[0])


def test_corrected_raw_data_is_other_work(shop):
    first = shop.land()
    shop.deliver("id,price", ["1,2.5", "2,9.5", "3,4.5"])
    assert shop.land().fingerprint != first.fingerprint


BAD_RAW = {
    "missing column": ("id", ["1", "2"], r"price: present"),
    "renamed column": ("id,prices", ["1,2.5", "2,3.5"], r"price: present[\s\S]*prices"),
    "wrong type": ("id,price", ["1,cheap", "2,dear"], r"price: type: expected float64"),
    "out of range": ("id,price", ["1,2.5", "2,300"], r"price: range[\s\S]*300"),
    "duplicate keys": ("id,price", ["1,2.5", "1,3.5"], r"unique_key[\s\S]*1"),
    "too many nulls": ("id,price", ["1,", "2,", "3,1.5"], r"price: nulls"),
    "too few rows": ("id,price", ["1,2.5"], r"rows: expected"),
}


@pytest.mark.parametrize("case", BAD_RAW)
def test_bad_raw_data_stops_before_spark_and_leaves_main_alone_and_the_branch_with_its_report(shop, case):
    columns, rows, says = BAD_RAW[case]
    shop.deliver(columns, rows)
    before = shop.main()
    with pytest.raises(ContractError, match=says) as caught:
        shop.land()
    assert not caught.value.retryable
    assert "Nothing was published" in str(caught.value)
    assert shop.main() == before
    assert shop.report("sales")["outcome"] == "fail"


def test_a_day_without_rows_names_the_day_and_is_kept_with_its_report(shop):
    shop.deliver("id,price", ["1,2.5", "2,3.5"], day=dt.date(2013, 1, 2))
    before = shop.main()
    with pytest.raises(EmptyPartitionError, match=r"sales of 2013-01-01: expected at least 2 rows"):
        shop.land()
    assert shop.main() == before and shop.report("sales")["outcome"] == "fail"


def test_features_that_break_their_contract_are_not_published(shop):
    landing = shop.land()
    shop.make_features(landing, {"id": [1, 1, 2], "price": [2.5, 3.5, 400.0]})
    before = shop.main()
    with pytest.raises(ContractError, match=r"unique_key[\s\S]*range|range[\s\S]*unique_key"):
        shop.publish(landing)
    assert shop.main() == before
    report = shop.report("features")
    assert report["outcome"] == "fail" and report["partition"] == "2013-01-01"


def test_a_truncated_file_is_not_published_and_the_branch_says_why(shop):
    landing = shop.land()
    shop.make_features(landing)
    shop.lake.put(shop.uri(landing), shop.lake.get(shop.uri(landing))[:-20])
    before = shop.main()
    with pytest.raises(UnreadableDataError, match=r"part-00000\.parquet") as caught:
        shop.publish(landing)
    assert shop.main() == before and not caught.value.retryable
    assert shop.report("features")["expectations"][0]["name"] == "readable"


def test_parts_of_different_schemas_are_not_published(shop):
    landing = shop.land()
    shop.make_features(landing)
    other = to_parquet(pa.table({"id": ["text"]}))
    shop.lake.put(LakeUri(REPO, landing.branch, f"{features_prefix(landing.partition)}/part-00001.parquet"), other)
    with pytest.raises(DataError, match="one schema"):
        shop.publish(landing)
    assert shop.report("features")["outcome"] == "fail"


def test_a_lake_that_is_away_may_be_tried_again_and_nothing_has_changed(shop):
    shop.lake.reachable = False
    with pytest.raises(UnavailableError) as caught:
        shop.land()
    assert caught.value.retryable


def test_a_ledger_that_is_away_stops_the_landing_before_anything_is_written(shop):
    shop.ledger = Ledger(LedgerConnection("postgresql+psycopg2://u:p@127.0.0.1:1/ledger", shop.ledger.connection.keys))
    with pytest.raises(UnavailableError, match="slipway_ledger"):
        shop.land()
    assert shop.lake.branches(REPO, "run-") == []

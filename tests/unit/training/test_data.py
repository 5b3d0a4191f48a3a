import io

import pandas as pd
import pytest

from slipway.errors import DataError, EmptyPartitionError, LakeNotFoundError, UnreadableDataError
from slipway.lake.uri import LakeUri
from slipway.training.data import check_partitions, read_partitions
from tests.simulators.lake import LakeSimulator

REPOSITORY = "flight-delay"


def parquet(**columns: list[object]) -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame(columns).to_parquet(buffer, index=False)
    return buffer.getvalue()


def lake_with(**objects: bytes) -> tuple[LakeSimulator, str]:
    """A lake whose features are these objects, by day (``d2013_01_01``), and the commit that has them."""
    lake = LakeSimulator()
    lake.ensure_repository(REPOSITORY)
    lake.create_branch(REPOSITORY, "run", "main")
    for day, data in objects.items():
        name = day.removeprefix("d").replace("_", "-")
        lake.put(LakeUri(REPOSITORY, "run", f"features/date={name}/part-00000.parquet"), data)
    return lake, lake.commit(REPOSITORY, "run", "features", {})


def test_rows_come_in_the_order_of_their_days() -> None:
    lake, commit = lake_with(d2013_01_02=parquet(x=[3, 4], y=[0, 0]), d2013_01_01=parquet(x=[1, 2], y=[0, 0]))
    frame = read_partitions(lake, REPOSITORY, commit, ["2013-01-02", "2013-01-01"], ["x"])
    assert frame.x.tolist() == [1, 2, 3, 4]
    assert list(frame.columns) == ["x"]


def test_what_is_published_later_is_not_read() -> None:
    lake, commit = lake_with(d2013_01_01=parquet(x=[1]))
    lake.put(LakeUri(REPOSITORY, "run", "features/date=2013-01-01/part-00000.parquet"), parquet(x=[9]))
    lake.commit(REPOSITORY, "run", "later", {})
    assert read_partitions(lake, REPOSITORY, commit, ["2013-01-01"], ["x"]).x.tolist() == [1]


def test_objects_that_are_not_data_are_not_read() -> None:
    lake, _ = lake_with(d2013_01_01=parquet(x=[1]))
    lake.put(LakeUri(REPOSITORY, "run", "features/date=2013-01-01/_SUCCESS"), b"")
    commit = lake.commit(REPOSITORY, "run", "marker", {})
    assert read_partitions(lake, REPOSITORY, commit, ["2013-01-01"], ["x"]).x.tolist() == [1]


@pytest.mark.parametrize("rows", [{}, {"d2013_01_02": parquet(x=[])}], ids=["absent", "without rows"])
def test_a_partition_without_features_is_named(rows: dict[str, bytes]) -> None:
    lake, commit = lake_with(d2013_01_01=parquet(x=[1]), **rows)
    with pytest.raises(EmptyPartitionError, match=r"date=2013-01-02.*ingest"):
        read_partitions(lake, REPOSITORY, commit, ["2013-01-01", "2013-01-02"], ["x"])


def test_a_missing_column_is_named() -> None:
    lake, commit = lake_with(d2013_01_01=parquet(x=[1], y=[2]))
    with pytest.raises(DataError, match="expected columns dep_delay, got x, y"):
        read_partitions(lake, REPOSITORY, commit, ["2013-01-01"], ["x", "dep_delay"])


def test_a_truncated_file_is_unreadable() -> None:
    lake, commit = lake_with(d2013_01_01=parquet(x=list(range(1000)))[:-100])
    with pytest.raises(UnreadableDataError, match="date=2013-01-01"):
        read_partitions(lake, REPOSITORY, commit, ["2013-01-01"], ["x"])


def test_an_unknown_commit_is_not_found() -> None:
    lake, _ = lake_with(d2013_01_01=parquet(x=[1]))
    with pytest.raises(LakeNotFoundError):
        read_partitions(lake, REPOSITORY, "0" * 64, ["2013-01-01"], ["x"])


def test_a_hold_out_of_later_days_is_accepted() -> None:
    check_partitions(["2013-01-02", "2013-01-01"], ["2013-01-03"])


@pytest.mark.parametrize(
    ("training", "holdout", "message"),
    [
        (["2013-01-01", "2013-01-05"], ["2013-01-04"], "2013-01-04 is held out and 2013-01-05 is trained on"),
        (["2013-01-01"], ["2013-01-01"], "later than every training partition"),
        ([], ["2013-01-01"], "at least one training"),
        (["2013-01-01"], [], "at least one held-out"),
        (["2013-01-01", "2013-01-01"], ["2013-01-02"], "every training partition once"),
        (["2013-1-1"], ["2013-01-02"], "YYYY-MM-DD, got '2013-1-1'"),
        (["20130101"], ["2013-01-02"], "YYYY-MM-DD"),
        (["2013-02-30"], ["2013-03-02"], "YYYY-MM-DD"),
    ],
)
def test_a_split_that_cannot_judge_a_model_is_refused(training: list[str], holdout: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_partitions(training, holdout)

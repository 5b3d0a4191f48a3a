from __future__ import annotations

import ast
import datetime as dt
from pathlib import Path

from slipway.errors import LakeConflictError, UnreadableDataError
from slipway.lake.publish import provenance
from slipway.lake.session import NoChangesError, translated
from slipway.lake.spark_error import slipway_error
from slipway.settings import settings


def test_provenance_has_lakefs_keys_and_sorted_inputs_and_rows() -> None:
    metadata = provenance(
        dag_id="flight_delay.ingest",
        run_id="scheduled__2013-01-01T06:00:00+00:00",
        run_url="http://127.0.0.1:8080/dags/flight_delay.ingest/runs/x",
        run_type="backfill",
        pipeline="flight_delay",
        stage="ingest",
        fingerprint="f" * 64,
        code_digest="c" * 64,
        input_digests={"weather": "2", "flights": "1"},
        rows={"features": 840, "flights": 842},
        partition="2013-01-01",
        logical_date=dt.datetime(2013, 1, 1, 6, tzinfo=dt.UTC),
    )
    assert metadata == {
        "::lakefs::Airflow::dag_id": "flight_delay.ingest",
        "::lakefs::Airflow::dag_run_id": "scheduled__2013-01-01T06:00:00+00:00",
        "::lakefs::Airflow::run_type": "backfill",
        "::lakefs::Airflow::url[url:ui]": "http://127.0.0.1:8080/dags/flight_delay.ingest/runs/x",
        "::lakefs::Airflow::logical_date[iso8601]": "2013-01-01T06:00:00+00:00",
        "slipway.pipeline": "flight_delay",
        "slipway.stage": "ingest",
        "slipway.fingerprint": "f" * 64,
        "slipway.code": "c" * 64,
        "slipway.partition": "2013-01-01",
        "slipway.input.flights": "1",
        "slipway.input.weather": "2",
        "slipway.rows.features": "840",
        "slipway.rows.flights": "842",
    }


def test_a_run_without_a_logical_date_or_partition_leaves_them_out() -> None:
    metadata = provenance(
        dag_id="d", run_id="r", run_url="u", run_type="manual", pipeline="p", stage="s",
        fingerprint="f", code_digest="c", input_digests={}, rows={},
    )  # fmt: skip
    assert not [key for key in metadata if "logical_date" in key or "partition" in key]


def test_no_changes_is_told_apart_from_other_bad_requests() -> None:
    assert isinstance(translated("committing", "http://lake", 400, "commit: no changes"), NoChangesError)
    assert not isinstance(translated("committing", "http://lake", 400, "dirty branch"), NoChangesError)


def test_the_slipway_error_inside_a_spark_exception_keeps_its_type_and_message() -> None:
    text = (
        "[PYTHON_DATA_SOURCE_ERROR] Failed to plan: Traceback (most recent call last):\n"
        '  File "x.py", line 1, in read\n'
        "slipway.errors.UnreadableDataError: expected f.parquet to be whole; write it again\n SQLSTATE: 38000"
    )
    found = slipway_error(RuntimeError(text))
    assert type(found) is UnreadableDataError
    assert str(found) == "expected f.parquet to be whole; write it again"


def test_other_exceptions_hold_no_slipway_error() -> None:
    assert slipway_error(RuntimeError("java.lang.OutOfMemoryError")) is None
    assert slipway_error(RuntimeError("slipway.errors.annotations: no error type")) is None
    assert isinstance(slipway_error(RuntimeError("slipway.errors.LakeConflictError: both")), LakeConflictError)


def calls(path: Path) -> set[str]:
    """Names of the methods a file calls."""
    tree = ast.walk(ast.parse(path.read_text()))
    return {node.func.attr for node in tree if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)}


def test_publishing_is_the_only_caller_of_a_merge() -> None:
    root = settings().root
    server = root / "include/slipway/embedded/lakefs_server"
    found = [path for folder in ("include", "plugins", "dags", "spark_jobs") for path in (root / folder).rglob("*.py")]
    named = [path for path in found if server not in path.parents and "merge_into_branch" in path.read_text()]
    assert named == [root / "include/slipway/lake/client.py"]
    merging = {path for path in found if server not in path.parents and "merge" in calls(path)}
    # The recorded lake writes a merge down, and passes on what publishing called.
    assert merging == {root / "include/slipway/lake/publish.py", root / "include/slipway/stages/recorded.py"}

import datetime as dt
import json
import math

import pandas as pd
import pyarrow as pa
import pytest

from slipway.errors import ConfigurationError, ContractError, UnreadableDataError
from slipway.pipeline.spec import ColumnRule, Contract
from slipway.quality.check import check
from slipway.quality.report import Expectation, QualityReport, raise_if_failed

CONTRACT = Contract(
    min_rows=3,
    max_rows=5,
    key=("carrier", "flight"),
    columns={
        "carrier": ColumnRule(type="string", allowed=("AA", "UA")),
        "flight": ColumnRule(type="int64", min=1, max=9999),
        "delay": ColumnRule(type="float64", min=-60, max=600, max_null_share=0.25),
    },
)
GOOD = {"carrier": ["AA", "AA", "UA", "UA"], "flight": [1, 2, 1, 2], "delay": [0.0, -5.0, 30.5, None]}


def table(**changes: object) -> pa.Table:
    return pa.table(GOOD | changes)


def only_failure(report: QualityReport) -> Expectation:
    assert report.outcome == "fail"
    (failure,) = report.failures
    return failure


def test_data_that_satisfies_its_contract_passes_with_every_expectation_listed() -> None:
    report = check("flights", table(), CONTRACT, "2013-01-01")

    assert (report.outcome, report.rows, report.failures) == ("pass", 4, ())
    assert [(e.column, e.name) for e in report.expectations] == [
        (None, "rows"),
        *[("carrier", rule) for rule in ("present", "type", "nulls", "allowed")],
        *[("flight", rule) for rule in ("present", "type", "nulls", "range")],
        *[("delay", rule) for rule in ("present", "type", "nulls", "range")],
        (None, "unique_key"),
        (None, "no_extra_columns"),
    ]
    raise_if_failed(report, "lakefs://flights/main")


def test_a_missing_column_fails() -> None:
    failure = only_failure(check("flights", table().drop_columns(["delay"]), CONTRACT))

    assert (failure.column, failure.name, failure.observed) == ("delay", "present", "none")


def test_a_renamed_column_is_recognised() -> None:
    renamed = table().rename_columns(["carrier", "flight_number", "delay"])

    report = check("flights", renamed, CONTRACT)

    failures = {(failure.column, failure.name): failure.observed for failure in report.failures}
    assert "'flight_number': was it renamed?" in failures["flight", "present"]
    assert failures[None, "no_extra_columns"] == "'flight_number'"


def test_a_wrong_type_fails_and_its_other_rules_are_left_out() -> None:
    report = check("flights", table(flight=["1", "2", "1", "2"]), CONTRACT)

    failure = only_failure(report)
    assert (failure.column, failure.name, failure.observed, failure.expected) == ("flight", "type", "string", "int64")
    assert not [e for e in report.expectations if e.column == "flight" and e.name in ("range", "nulls")]


def test_whole_numbers_delivered_as_floats_are_a_wrong_type() -> None:
    assert only_failure(check("flights", table(flight=[1.0, 2.0, 1.0, 2.0]), CONTRACT)).observed == "double"


@pytest.mark.parametrize("value", [601.0, -60.5, math.inf, -math.inf])
def test_a_value_out_of_range_fails_and_is_shown(value: float) -> None:
    failure = only_failure(check("flights", table(delay=[0.0, value, 1.0, 2.0]), CONTRACT))

    assert (failure.column, failure.name, failure.expected) == ("delay", "range", "-60 to 600")
    assert failure.observed == f"1 of 4 rows outside, such as {value}"


def test_infinity_fails_without_declared_bounds() -> None:
    contract = Contract(min_rows=1, max_rows=9, columns={"x": ColumnRule(type="float64")})

    assert only_failure(check("d", pa.table({"x": [1.0, math.inf]}), contract)).expected == "finite numbers"


def test_one_sided_bounds_are_bounds() -> None:
    contract = Contract(min_rows=1, max_rows=9, columns={"x": ColumnRule(type="int64", min=2.5)})

    assert only_failure(check("d", pa.table({"x": [2, 3]}), contract)).expected == "at least 2.5"
    assert check("d", pa.table({"x": [3, 2**62]}), contract).outcome == "pass"


def test_a_value_that_is_not_allowed_fails_and_is_shown() -> None:
    failure = only_failure(check("flights", table(carrier=["AA", "XX", "UA", "UA"]), CONTRACT))

    assert (failure.name, failure.observed) == ("allowed", "1 of 4 rows outside, such as XX")


def test_too_many_nulls_fail_and_the_allowed_share_passes() -> None:
    report = check("flights", table(delay=[0.0, None, None, 1.0]), CONTRACT)

    assert only_failure(report).observed == "2 of 4 (50.00%)"


def test_nan_counts_as_null() -> None:
    frame = pd.DataFrame(GOOD | {"delay": [0.0, math.nan, math.nan, 1.0]})

    assert only_failure(check("flights", frame, CONTRACT)).name == "nulls"


def test_duplicate_keys_fail_with_examples() -> None:
    failure = only_failure(check("flights", table(flight=[1, 1, 1, 2]), CONTRACT))

    assert (failure.name, failure.expected) == ("unique_key", "one row for each (carrier, flight)")
    assert failure.observed == "1 keys on more than one row, such as carrier=AA, flight=1"


@pytest.mark.parametrize("rows", [0, 2, 6])
def test_too_few_and_too_many_rows_fail(rows: int) -> None:
    data = pa.table(
        {
            "carrier": pa.array(["AA"] * rows, pa.string()),
            "flight": pa.array(range(1, rows + 1), pa.int64()),
            "delay": pa.array([0.0] * rows, pa.float64()),
        }
    )

    failure = only_failure(check("flights", data, CONTRACT))

    assert (failure.name, failure.observed, failure.expected) == ("rows", f"{rows} rows", "3 to 5 rows")


def test_an_empty_table_passes_where_none_are_required() -> None:
    contract = CONTRACT.model_copy(update={"min_rows": 0})

    assert check("flights", table().slice(0, 0), contract).outcome == "pass"


def test_unexpected_columns_fail_unless_the_contract_admits_them() -> None:
    data = table(note=["a", "b", "c", "d"])

    assert only_failure(check("flights", data, CONTRACT)).observed == "'note'"
    assert check("flights", data, CONTRACT.model_copy(update={"extra_columns": True})).outcome == "pass"


def test_everything_that_is_wrong_is_found_at_once() -> None:
    data = pa.table({"carrier": ["AA", "AA", "XX", None, "AA", "AA"], "delay": ["a"] * 6, "flight": [0, 0, 1, 2, 3, 4]})

    failures = {(failure.column, failure.name) for failure in check("flights", data, CONTRACT).failures}

    assert failures == {
        (None, "rows"),
        ("carrier", "nulls"),
        ("carrier", "allowed"),
        ("flight", "range"),
        ("delay", "type"),
        (None, "unique_key"),
    }


def test_the_error_lists_what_failed_where_and_what_to_do() -> None:
    report = check("flights", table(carrier=["AA", "XX", "UA", "UA"], delay=["a"] * 4), CONTRACT, "2013-01-01")

    with pytest.raises(ContractError) as raised:
        raise_if_failed(report, "lakefs://flights/run-1/raw/flights")

    message = str(raised.value)
    assert message.startswith("lakefs://flights/run-1/raw/flights: dataset 'flights', partition 2013-01-01")
    assert "carrier: allowed: expected one of AA, UA, got 1 of 4 rows outside, such as XX" in message
    assert "delay: type: expected float64, got string" in message
    assert "Nothing was published" in message
    assert not raised.value.retryable


def test_strings_may_be_dictionaries_and_timestamps_may_have_zones() -> None:
    contract = Contract(
        min_rows=1,
        max_rows=9,
        columns={
            "c": ColumnRule(type="string"),
            "t": ColumnRule(type="timestamp"),
            "b": ColumnRule(type="bool"),
        },
    )
    data = pa.table(
        {
            "c": pa.array(["a", "b"]).dictionary_encode(),
            "t": pa.array([dt.datetime(2013, 1, 1), dt.datetime(2013, 1, 2)], pa.timestamp("ns", "UTC")),
            "b": [True, False],
        }
    )

    assert check("d", data, contract).outcome == "pass"


def test_two_columns_of_one_name_are_unreadable() -> None:
    data = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])

    with pytest.raises(UnreadableDataError, match="a more than once"):
        check("d", data, Contract(min_rows=1, max_rows=1, columns={"a": ColumnRule(type="int64")}))


def test_values_of_mixed_types_in_a_frame_are_unreadable() -> None:
    with pytest.raises(UnreadableDataError, match="one type each"):
        check("flights", pd.DataFrame({"flight": [1, "two", 3]}), CONTRACT)


@pytest.mark.parametrize("rule", [ColumnRule(type="string", min=1), ColumnRule(type="int64", allowed=("1",))])
def test_a_rule_that_does_not_fit_its_type_is_a_configuration_error(rule: ColumnRule) -> None:
    with pytest.raises(ConfigurationError, match="column 'a'"):
        check("d", pa.table({"a": ["x"]}), Contract(min_rows=1, max_rows=1, columns={"a": rule}))


def test_the_same_data_gives_the_same_report_bytes_however_it_is_chunked() -> None:
    whole = check("flights", table(), CONTRACT, "2013-01-01")
    chunked = check("flights", pa.concat_tables([table().slice(0, 2), table().slice(2)]), CONTRACT, "2013-01-01")

    assert whole.to_json() == chunked.to_json()
    assert whole.to_html() == chunked.to_html()


def test_json_holds_verdict_expectations_and_statistics() -> None:
    report = json.loads(check("flights", table(), CONTRACT, "2013-01-01").to_json())

    assert (report["dataset"], report["partition"], report["outcome"], report["rows"]) == (
        "flights",
        "2013-01-01",
        "pass",
        4,
    )
    assert report["expectations"][0] == {
        "name": "rows",
        "column": None,
        "outcome": "pass",
        "observed": "4 rows",
        "expected": "3 to 5 rows",
    }
    delay = report["columns"][2]
    assert (delay["nulls"], delay["minimum"], delay["maximum"], delay["mean"]) == (1, -5.0, 30.5, 8.5)
    assert sum(delay["histogram"]["counts"]) == 3
    assert report["columns"][0]["top"] == [["AA", 2], ["UA", 2]]

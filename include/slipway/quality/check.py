"""Does a dataset satisfy its contract? Everything that is wrong is found at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from slipway.errors import UnreadableDataError
from slipway.pipeline.spec import ColumnRule, Contract
from slipway.quality.report import ColumnStatistics, Expectation, Outcome, QualityReport
from slipway.quality.schema import TYPES, Finding, bounds, build_schema, findings
from slipway.quality.statistics import describe

_EXAMPLES = 3


def check(name: str, table: pa.Table | pd.DataFrame, contract: Contract, partition: str | None = None) -> QualityReport:
    """Compare dataset ``name`` with its contract; data that does not satisfy it is a failed report, not an error.

    NaN counts as null. A column of the wrong type, or one that is missing, is not looked at further.

    Raises:
        UnreadableDataError: the data is no table at all: two columns of one name, or values of mixed types.
        ConfigurationError: the contract's rules do not fit its types.
    """
    data = _normalised(name, table)
    statistics = describe(data)
    examined = _Examined(
        data, contract, findings(build_schema(contract), _frame(data)), {column.name: column for column in statistics}
    )
    expectations = tuple(examined.expectations())
    failed = any(expectation.outcome == "fail" for expectation in expectations)
    return QualityReport(name, partition, data.num_rows, "fail" if failed else "pass", expectations, statistics)


@dataclass(frozen=True)
class _Examined:
    """A dataset next to its contract and what pandera found."""

    data: pa.Table
    contract: Contract
    found: dict[Finding, list[object]]
    statistics: dict[str, ColumnStatistics]

    def expectations(self) -> Iterator[Expectation]:
        contract, rows = self.contract, self.data.num_rows
        yield self._judge("rows", None, f"{rows} rows", f"{contract.min_rows} to {contract.max_rows} rows")
        for name, rule in contract.columns.items():
            yield from self._column(name, rule)
        if contract.key and all(self._usable(column) for column in contract.key):
            key = ", ".join(contract.key)
            yield self._judge("unique_key", None, self._duplicates(), f"one row for each ({key})")
        if not contract.extra_columns:
            extra = ", ".join(repr(column) for column in self._extra()) or "none"
            yield self._judge("no_extra_columns", None, extra, "only the columns of the contract")

    def _column(self, name: str, rule: ColumnRule) -> Iterator[Expectation]:
        present = name in self.data.column_names
        yield self._judge("present", name, "present" if present else self._absence(name), "the column to be present")
        if not present:
            return
        kind = rule.type if self._usable(name) else str(self.data.schema.field(name).type)
        yield self._judge("type", name, kind, rule.type)
        if not self._usable(name):
            return
        rows, nulls = self.data.num_rows, self.statistics[name].nulls
        share = f" ({nulls / rows:.2%})" if rows else ""
        yield self._judge("nulls", name, f"{nulls} of {rows}{share}", f"at most {rule.max_null_share:.2%} nulls")
        if bounds(rule) is not None:
            yield self._judge("range", name, self._values(name, "range"), _range(rule))
        if rule.allowed is not None:
            yield self._judge("allowed", name, self._values(name, "allowed"), "one of " + ", ".join(rule.allowed))

    def _judge(self, rule: str, column: str | None, observed: str, expected: str) -> Expectation:
        outcome: Outcome = "fail" if (column, rule) in self.found else "pass"
        return Expectation(rule, column, outcome, observed, expected)

    def _usable(self, column: str) -> bool:
        return (column, "present") not in self.found and (column, "type") not in self.found

    def _extra(self) -> list[str]:
        return [column for column in self.data.column_names if column not in self.contract.columns]

    def _absence(self, name: str) -> str:
        nearest = difflib.get_close_matches(name, self._extra(), n=1, cutoff=0.5)
        return f"no such column; the nearest one present is {nearest[0]!r}: was it renamed?" if nearest else "none"

    def _values(self, name: str, rule: str) -> str:
        offenders = self.found.get((name, rule))
        if offenders is not None:
            shown = ", ".join(str(value) for value in list(dict.fromkeys(offenders))[:_EXAMPLES])
            return f"{len(offenders)} of {self.data.num_rows} rows outside, such as {shown}"
        column = self.statistics[name]
        if column.minimum is not None:
            return f"{column.minimum:g} to {column.maximum:g}"
        return ", ".join(value for value, _ in column.top) or "no values"

    def _duplicates(self) -> str:
        if (None, "unique_key") not in self.found:
            return "no key twice"
        key = list(self.contract.key)
        counted = self.data.select(key).group_by(key, use_threads=False).aggregate([([], "count_all")])
        repeated = counted.filter(pc.greater(counted.column("count_all"), 1)).to_pylist()
        shown = "; ".join(", ".join(f"{column}={row[column]}" for column in key) for row in repeated[:_EXAMPLES])
        return f"{len(repeated)} keys on more than one row, such as {shown}"


def _range(rule: ColumnRule) -> str:
    if rule.min is None and rule.max is None:
        return "finite numbers"
    if rule.max is None:
        return f"at least {rule.min:g}"
    return f"at most {rule.max:g}" if rule.min is None else f"{rule.min:g} to {rule.max:g}"


def _normalised(name: str, table: pa.Table | pd.DataFrame) -> pa.Table:
    """The data in one chunk per column: plain strings, no dictionaries, nulls instead of NaN."""
    if isinstance(table, pd.DataFrame):
        try:
            table = pa.Table.from_pandas(table, preserve_index=False)
        except (pa.ArrowException, ValueError) as error:
            raise UnreadableDataError(
                f"dataset {name!r}: expected columns of one type each, got values Arrow cannot hold: {error}; "
                "correct the job that makes them"
            ) from error
    twice = sorted({column for column in table.column_names if table.column_names.count(column) > 1})
    if twice:
        raise UnreadableDataError(
            f"dataset {name!r}: expected every column once, got {', '.join(twice)} more than once; "
            "correct the job or file that makes them"
        )
    columns = {column: _plain(table.column(column).combine_chunks()) for column in table.column_names}
    return pa.table(columns)


def _plain(column: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        return column.cast(pa.string())
    if pa.types.is_floating(column.type):
        return pc.if_else(pc.is_nan(column), None, column)
    return column


def _frame(data: pa.Table) -> pd.DataFrame:
    """The data as pandera sees it: Arrow-backed, and every timestamp in the contract's one timestamp type."""
    for index, field in enumerate(data.schema):
        if pa.types.is_timestamp(field.type):
            column = data.column(index).cast(pa.timestamp("us", field.type.tz), safe=False).cast(TYPES["timestamp"])
            data = data.set_column(index, field.name, column)
    frame: pd.DataFrame = data.to_pandas(types_mapper=pd.ArrowDtype)
    return frame

"""A contract as a pandera schema, and pandera's findings as (column, rule) pairs.

Null shares, ranges and keys are all expressed as pandera checks; frames are backed by Arrow types, so a column of
whole numbers with gaps is still a column of whole numbers.
"""

from __future__ import annotations

import math
import sys
import warnings

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa

from slipway.errors import ConfigurationError
from slipway.pipeline.spec import ColumnRule, Contract

TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "timestamp": pa.timestamp("us"),
}
"""The Arrow type a contract's type stands for; a timestamp may have any unit and time zone."""

Finding = tuple[str | None, str]
"""(column or None for the whole dataset, rule): what a schema found wrong."""

_REASONS = {
    "COLUMN_NOT_IN_DATAFRAME": "present",
    "COLUMN_NOT_IN_SCHEMA": "no_extra_columns",
    "WRONG_DATATYPE": "type",
    "DUPLICATES": "unique_key",
}


def build_schema(contract: Contract) -> pandera.DataFrameSchema:
    """The pandera schema of a contract.

    Raises:
        ConfigurationError: a rule does not fit its column's type.
    """
    columns = {name: _column(name, rule) for name, rule in contract.columns.items()}
    rows = pandera.Check(lambda frame: contract.min_rows <= len(frame) <= contract.max_rows, name="rows")
    return pandera.DataFrameSchema(
        columns, checks=[rows], unique=list(contract.key) or None, strict=not contract.extra_columns
    )


def findings(schema: pandera.DataFrameSchema, frame: pd.DataFrame) -> dict[Finding, list[object]]:
    """Every rule the frame breaks, with the offending values where a rule is about single values."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # pandera joins empty frames while it collects errors
            schema.validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        found: dict[Finding, list[object]] = {}
        for error in errors.schema_errors:
            found.setdefault(_finding(error), []).extend(_offenders(error))
        return found
    return {}


def bounds(rule: ColumnRule) -> tuple[float, float] | None:
    """The closed range a column's values must lie in; None when it has no order.

    Every float64 column has one: infinities are never data.
    """
    if rule.type == "float64":
        low = -sys.float_info.max if rule.min is None else rule.min
        return low, sys.float_info.max if rule.max is None else rule.max
    if rule.type == "int64" and (rule.min is not None or rule.max is not None):
        low = -(2**63) if rule.min is None else math.ceil(rule.min)
        return low, 2**63 - 1 if rule.max is None else math.floor(rule.max)
    return None


def _column(name: str, rule: ColumnRule) -> pandera.Column:
    if rule.type not in ("int64", "float64") and (rule.min is not None or rule.max is not None):
        raise ConfigurationError(f"contract: column {name!r} is {rule.type}: min and max are for int64 and float64")
    if rule.type != "string" and rule.allowed is not None:
        raise ConfigurationError(f"contract: column {name!r} is {rule.type}: allowed is for string")
    share = rule.max_null_share
    checks = [pandera.Check(lambda s: s.isna().mean() <= share if len(s) else True, name="nulls", ignore_na=False)]
    limits = bounds(rule)
    if limits is not None:
        checks.append(pandera.Check.in_range(*limits, name="range"))
    if rule.allowed is not None:
        checks.append(pandera.Check.isin(rule.allowed, name="allowed"))
    # "nulls" bounds the share; pandera's own nullable is all or nothing.
    return pandera.Column(pd.ArrowDtype(TYPES[rule.type]), checks, nullable=True)


def _finding(error: pandera.errors.SchemaError) -> Finding:
    rule = _REASONS.get(error.reason_code.name)
    if rule == "present":
        return str(error.failure_cases), rule
    if rule in ("no_extra_columns", "unique_key"):
        return None, rule
    return error.schema.name, rule or str(error.check.name)


def _offenders(error: pandera.errors.SchemaError) -> list[object]:
    cases = error.failure_cases
    if isinstance(cases, pd.DataFrame) and "failure_case" in cases:
        return list(cases["failure_case"])
    return [cases] if error.reason_code.name == "COLUMN_NOT_IN_SCHEMA" else []

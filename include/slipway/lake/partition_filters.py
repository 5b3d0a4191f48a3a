"""Which partitions a query's filters leave: Spark's predicates over Hive's folder names, decided without reading.

Three-valued as in SQL: a comparison with null is neither true nor false, and only true keeps a row. A filter on
anything else than a partition column, or one whose values do not compare, decides nothing.
"""

from __future__ import annotations

import datetime as dt
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pyarrow as pa
from pyspark.sql.datasource import (  # noqa: TID253 - a leaf of Spark
    EqualNullSafe,
    EqualTo,
    Filter,
    GreaterThan,
    GreaterThanOrEqual,
    In,
    IsNotNull,
    IsNull,
    LessThan,
    LessThanOrEqual,
    Not,
    StringContains,
    StringEndsWith,
    StringStartsWith,
)

_COMPARISONS: Mapping[type[Filter], Callable[[Any, Any], bool]] = {
    EqualTo: operator.eq,
    GreaterThan: operator.gt,
    GreaterThanOrEqual: operator.ge,
    LessThan: operator.lt,
    LessThanOrEqual: operator.le,
    StringStartsWith: str.startswith,
    StringEndsWith: str.endswith,
    StringContains: operator.contains,
}
_COMPARABLE = (str, int, dt.date)
"""Types whose order and equality are Spark's own; strings by code point, which is the order of their UTF-8 bytes."""


class _UndecidedError(Exception):
    """This filter says nothing about a partition."""


def may_match(filters: Iterable[Filter], values: Mapping[str, str | None], types: Mapping[str, pa.DataType]) -> bool:
    """Whether rows of a partition can pass all ``filters``.

    ``values`` are the partition's, as in its folders' names; ``types`` those the query reads them as.
    """
    return all(_may_pass(found, values, types) for found in filters)


def _may_pass(found: Filter, values: Mapping[str, str | None], types: Mapping[str, pa.DataType]) -> bool:
    try:
        return _holds(found, values, types) is True
    except _UndecidedError:
        return True


def _holds(found: Filter, values: Mapping[str, str | None], types: Mapping[str, pa.DataType]) -> bool | None:
    """True, false, or ``None`` for SQL's unknown."""
    if isinstance(found, Not):
        inner = _holds(found.child, values, types)
        return None if inner is None else not inner
    value = _value(found, values, types)
    match found:
        case IsNull():
            return value is None
        case IsNotNull():
            return value is not None
        case EqualNullSafe():
            return value is None if found.value is None else value is not None and _compared(operator.eq, value, found)
        case In():
            return _in(value, found.value)
    if type(found) not in _COMPARISONS:
        raise _UndecidedError
    return None if value is None or found.value is None else _compared(_COMPARISONS[type(found)], value, found)


def _in(value: Any, choices: Iterable[Any]) -> bool | None:
    if value is None:
        return None
    known = [choice for choice in choices if choice is not None]
    if any(type(choice) is not type(value) for choice in known):
        raise _UndecidedError
    if value in known:
        return True
    return None if len(known) < len(tuple(choices)) else False


def _compared(compare: Callable[[Any, Any], bool], value: Any, found: Any) -> bool:
    if type(value) is not type(found.value):
        raise _UndecidedError
    return compare(value, found.value)


def _value(found: Filter, values: Mapping[str, str | None], types: Mapping[str, pa.DataType]) -> Any:
    attribute: tuple[str, ...] = getattr(found, "attribute", ())
    if len(attribute) != 1 or attribute[0] not in values or attribute[0] not in types:
        raise _UndecidedError
    try:
        value = pa.scalar(values[attribute[0]], pa.string()).cast(types[attribute[0]]).as_py()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise _UndecidedError from None  # The read itself names the file and the value.
    if value is not None and type(value) not in _COMPARABLE:
        raise _UndecidedError
    return value

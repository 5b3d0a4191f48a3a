"""What differs between two makings of one file, in the words of its format; pure, bytes in, facts out."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from slipway.quality.parquet import read_parquet

MOST_FACTS = 6
"""Facts that are named of one file; the others are counted."""
MEASURED = frozenset({"p50_ms"})
"""Members of a JSON report that are measured times: they differ whenever they are measured."""
Arrays = Mapping[str, NDArray[Any]]


def facts(name: str, before: bytes, after: bytes) -> tuple[str, ...]:
    """What differs, the first few things in full; empty when the bytes are equal, or differ in measured times alone.

    Args:
        name: the file's; its suffix tells the format.
        before: of the first making.
        after: of the second.
    """
    if before == after:
        return ()
    suffix = PurePosixPath(name).suffix
    try:
        found = list(_FORMATS.get(suffix, _bytes)(before, after))
    except Exception:  # readers of eight formats raise what they like at a file that is broken
        found = list(_bytes(before, after))
    if not found and suffix != ".json":
        found = list(_bytes(before, after))
    rest = len(found) - MOST_FACTS
    return (*found[:MOST_FACTS], *([f"and {rest} more"] if rest > 0 else []))


def largest_difference(before: NDArray[Any], after: NDArray[Any]) -> float:
    """The largest absolute difference of two arrays of one shape; infinite where only one has a number."""
    if before.dtype.kind not in "fiub" or before.size == 0:
        return 0.0 if np.array_equal(before, after) else float("inf")
    one, other = before.astype(np.float64), after.astype(np.float64)
    if not np.array_equal(np.isnan(one), np.isnan(other)):
        return float("inf")
    gap = np.where(one == other, 0.0, np.abs(one - other))
    return float(np.nanmax(gap, initial=0.0))


def read_arrays(content: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of an ``.npz`` file by name."""
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def tables_close(before: bytes, after: bytes, relative: float) -> bool:
    """Whether two Parquet files hold the same rows, numbers with a fraction up to a relative difference."""
    one, other = read_parquet(before, "before"), read_parquet(after, "after")
    if one.schema != other.schema or one.num_rows != other.num_rows:
        return False
    for column in one.column_names:
        left, right = one.column(column), other.column(column)
        if pa.types.is_floating(left.type):
            values, theirs = (part.to_numpy(zero_copy_only=False) for part in (left, right))
            if not np.allclose(values, theirs, rtol=relative, atol=0.0, equal_nan=True):
                return False
        elif left != right:
            return False
    return True


def _table(before: bytes, after: bytes) -> Iterator[str]:
    one, other = read_parquet(before, "before"), read_parquet(after, "after")
    types = ({field.name: str(field.type) for field in table.schema} for table in (one, other))
    columns, theirs = types
    for name in sorted(columns.keys() | theirs.keys()):
        if columns.get(name) != theirs.get(name):
            yield f"column {name}: {columns.get(name, 'none')} → {theirs.get(name, 'none')}"
    if one.num_rows != other.num_rows:
        yield f"{one.num_rows} → {other.num_rows} rows"
        return
    for name in (name for name in one.column_names if columns[name] == theirs.get(name)):
        differs = _unequal(one.column(name), other.column(name))
        if differs.size:
            row = int(differs[0])
            values = (table.column(name)[row].as_py() for table in (one, other))
            yield (
                f"column {name}: {differs.size} of {one.num_rows} rows differ, first row {row}: "
                + " → ".join(repr(value) for value in values)
            )


def _unequal(left: pa.ChunkedArray, right: pa.ChunkedArray) -> NDArray[np.int64]:
    """Rows whose values differ; two missing ones, and two NaN, are equal."""
    same = pc.fill_null(pc.equal(left, right), False).to_numpy()
    absent = pc.is_null(left, nan_is_null=True).to_numpy() & pc.is_null(right, nan_is_null=True).to_numpy()
    alike = pc.equal(pc.is_null(left), pc.is_null(right)).to_numpy()
    return np.flatnonzero(~(same | (absent & alike)))


def _tensors(before: bytes, after: bytes) -> Iterator[str]:
    from safetensors.numpy import load

    yield from _arrays("tensor", load(before), load(after))


def _archives(before: bytes, after: bytes) -> Iterator[str]:
    yield from _arrays("array", read_arrays(before), read_arrays(after))


def _arrays(kind: str, one: Arrays, other: Arrays) -> Iterator[str]:
    for name in sorted(one.keys() | other.keys()):
        if name not in one or name not in other:
            yield f"{kind} {name}: {'added' if name in other else 'removed'}"
            continue
        left, right = one[name], other[name]
        if (left.shape, left.dtype) != (right.shape, right.dtype):
            yield f"{kind} {name}: {left.dtype}{list(left.shape)} → {right.dtype}{list(right.shape)}"
        elif not np.array_equal(left, right, equal_nan=left.dtype.kind == "f"):
            count = int(np.count_nonzero(left != right))
            largest = largest_difference(left, right)
            yield f"{kind} {name}: {count} of {left.size} values differ, by at most {largest:.3g}"


def _onnx(before: bytes, after: bytes) -> Iterator[str]:
    import onnx
    from onnx.numpy_helper import to_array

    one, other = onnx.load_from_string(before), onnx.load_from_string(after)
    weights = ({tensor.name: to_array(tensor) for tensor in model.graph.initializer} for model in (one, other))
    yield from _arrays("initializer", *weights)
    nodes, theirs = ([node.SerializeToString(deterministic=True) for node in m.graph.node] for m in (one, other))
    if len(nodes) != len(theirs):
        yield f"{len(nodes)} → {len(theirs)} nodes"
    for place, (left, right) in enumerate(zip(nodes, theirs, strict=False)):
        if left != right:
            yield f"node {place} ({one.graph.node[place].op_type} {one.graph.node[place].name}) differs"
    for name in ("ir_version", "producer_name", "producer_version"):
        if getattr(one, name) != getattr(other, name):
            yield f"{name}: {getattr(one, name)} → {getattr(other, name)}"


def _json(before: bytes, after: bytes) -> Iterator[str]:
    yield from _members("", json.loads(before), json.loads(after))


def _members(path: str, before: Any, after: Any) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted((before.keys() | after.keys()) - MEASURED):
            yield from _members(f"{path}.{key}".removeprefix("."), before.get(key), after.get(key))
    elif before != after:
        yield f"{path or 'the whole'}: {json.dumps(before)[:60]} → {json.dumps(after)[:60]}"


def _bytes(before: bytes, after: bytes) -> Iterator[str]:
    if len(before) != len(after):
        yield f"{len(before)} → {len(after)} bytes"
    shorter = min(len(before), len(after))
    left, right = (np.frombuffer(content[:shorter], dtype=np.uint8) for content in (before, after))
    differs = np.flatnonzero(left != right)
    place = int(differs[0]) if differs.size else shorter
    yield f"first differing byte at {place}, {differs.size} of the first {shorter} differ"


_FORMATS: Mapping[str, Callable[[bytes, bytes], Iterator[str]]] = {
    ".parquet": _table,
    ".safetensors": _tensors,
    ".npz": _archives,
    ".onnx": _onnx,
    ".json": _json,
}

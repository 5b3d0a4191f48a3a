"""What differs between two files, in the words of their format."""

import io
import json

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from safetensors.numpy import save

from slipway.stages.reproduce.compare import MOST_FACTS, facts, largest_difference, tables_close


def table(**columns):
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def archive(**arrays):
    sink = io.BytesIO()
    np.savez(sink, **arrays)
    return sink.getvalue()


def model(weight, operator="Add", producer=""):
    node = helper.make_node(operator, ["x", "w"], ["y"], name="first")
    value = helper.make_tensor_value_info
    sides = ([value(name, onnx.TensorProto.FLOAT, [2])] for name in ("x", "y"))
    graph = helper.make_graph([node], "g", *sides, [numpy_helper.from_array(np.float32(weight), "w")])
    return helper.make_model(graph, producer_name=producer).SerializeToString()


DELAYS = {"late": [True, False], "delay": [1.0, None]}


@pytest.mark.parametrize(
    ("name", "before", "after", "expected"),
    [
        (
            "a.parquet",
            table(**DELAYS),
            table(late=[True, True], delay=[1.0, None]),
            "column late: 1 of 2 rows differ, first row 1: False → True",
        ),
        (
            "a.parquet",
            table(**DELAYS),
            table(late=[True, False], delay=[1.0, 2.0]),
            "column delay: 1 of 2 rows differ, first row 1: None → 2.0",
        ),
        ("a.parquet", table(**DELAYS), table(late=[True], delay=[1.0]), "2 → 1 rows"),
        ("a.parquet", table(**DELAYS), table(late=[1, 0], delay=[1.0, None]), "column late: bool → int64"),
        (
            "a.safetensors",
            save({"w": np.zeros(4)}),
            save({"w": np.array([0, 0, 0, 0.25])}),
            "tensor w: 1 of 4 values differ, by at most 0.25",
        ),
        ("a.npz", archive(logits=np.ones(2)), archive(logits=np.ones(3)), "array logits: float64[2] → float64[3]"),
        ("a.npz", archive(a=np.ones(2)), archive(b=np.ones(2)), "array a: removed"),
        ("a.onnx", model([1, 2]), model([1, 3]), "initializer w: 1 of 2 values differ, by at most 1"),
        ("a.onnx", model([1, 2]), model([1, 2], "Mul"), "node 0 (Add first) differs"),
        ("a.onnx", model([1, 2]), model([1, 2], producer="torch"), "producer_name:  → torch"),
        ("a.json", b'{"m": {"auc": 0.5}}', b'{"m": {"auc": 0.6}}', "m.auc: 0.5 → 0.6"),
        ("a.plan", b"engine", b"engina!", "6 → 7 bytes"),
        ("a.plan", b"engine", b"engina", "first differing byte at 5, 1 of the first 6 differ"),
        ("a.parquet", b"PAR1 broken", b"PAR1 brokem", "first differing byte at 10, 1 of the first 11 differ"),
    ],
)
def test_the_first_difference_is_named(name, before, after, expected):
    assert facts(name, before, after)[0] == expected


def test_measured_times_are_no_difference():
    before, after = (json.dumps({"p50_ms": ms, "agreement": 1.0}).encode() for ms in (0.1, 0.2))
    assert facts("report.json", before, after) == ()


def test_bytes_that_differ_without_another_meaning_are_still_told():
    plain, packed = io.BytesIO(), io.BytesIO()
    pq.write_table(pa.table(DELAYS), plain, compression="none")
    pq.write_table(pa.table(DELAYS), packed, compression="gzip")
    assert "byte" in facts("a.parquet", plain.getvalue(), packed.getvalue())[0]


def test_many_differences_are_counted():
    before = save({f"w{number}": np.zeros(1) for number in range(20)})
    after = save({f"w{number}": np.ones(1) for number in range(20)})
    found = facts("a.safetensors", before, after)
    assert len(found) == MOST_FACTS + 1 and found[-1] == f"and {20 - MOST_FACTS} more"


def test_tables_are_close_up_to_rounding_of_numbers_with_a_fraction_alone():
    assert tables_close(table(d=[1.0, None]), table(d=[1.0 + 1e-12, None]), 1e-9)
    assert not tables_close(table(d=[1.0]), table(d=[1.001]), 1e-9)
    assert not tables_close(table(n=[1]), table(n=[2]), 1e-9)
    assert not tables_close(table(d=[1.0]), table(d=[None]), 1e-9)


@given(st.binary(max_size=40), st.binary(max_size=40), st.sampled_from([".parquet", ".npz", ".onnx", ".json", ".bin"]))
def test_bytes_of_any_kind_are_told_apart_exactly_when_they_differ(before, after, suffix):
    found = facts(f"a{suffix}", before, after)
    assert not found if before == after else found or suffix == ".json"


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8), st.floats(0, 10))
def test_the_largest_difference_is_that_of_the_arrays(values, moved):
    before = np.array(values)
    after = before.copy()
    after[-1] += moved
    assert largest_difference(before, after) == abs(after[-1] - before[-1])

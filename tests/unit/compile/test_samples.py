from __future__ import annotations

import io

import numpy as np
import pytest

from slipway.compile.samples import answered, read_samples
from slipway.errors import CompileError
from slipway.training.arrays import pack


def test_samples_read_what_training_packs():
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    logits = np.ones((3, 2), np.float32)
    samples = read_samples(pack({"image": image}, labels=np.array([0, 1, 1]), logits=logits), "holdout.npz")
    assert samples.rows == 3
    np.testing.assert_array_equal(samples.inputs["image"], image)
    np.testing.assert_array_equal(answered(samples, "holdout.npz"), logits)
    assert [len(batch["image"]) for batch in samples.batches(2)] == [2, 1]


def test_pickled_objects_are_refused():
    buffer = io.BytesIO()
    np.savez(buffer, **{"input:image": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(CompileError, match=r"golden\.npz: expected an \.npz of plain arrays"):
        read_samples(buffer.getvalue(), "golden.npz")


@pytest.mark.parametrize("cut", [0, 10, 200])
def test_a_truncated_file_is_refused(cut):
    data = pack({"image": np.zeros((3, 4), np.float32)})[:cut]
    with pytest.raises(CompileError, match=r"expected an \.npz"):
        read_samples(data, "golden.npz")


def test_a_file_without_inputs_is_refused_and_says_what_it_has():
    with pytest.raises(CompileError, match=r"got \['logits'\]"):
        read_samples(pack({}, logits=np.zeros((2, 2), np.float32)), "golden.npz")


def test_an_input_of_a_type_devices_do_not_take_is_refused():
    with pytest.raises(CompileError, match="'image' is float64"):
        read_samples(pack({"image": np.zeros((2, 2))}), "golden.npz")


def test_arrays_of_different_length_are_refused():
    with pytest.raises(CompileError, match=r"lengths \[2, 3\]"):
        read_samples(pack({"image": np.zeros((3, 2), np.float32)}, labels=np.zeros(2, np.int64)), "holdout.npz")


def test_missing_logits_are_refused():
    samples = read_samples(pack({"image": np.zeros((3, 2), np.float32)}), "golden.npz")
    with pytest.raises(CompileError, match="expected 'logits'"):
        answered(samples, "golden.npz")

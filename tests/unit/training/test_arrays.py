import io

import numpy as np

from slipway.training.arrays import calibration_rows, golden_rows, pack, take


def test_packed_arrays_read_back_under_the_names_other_stages_know() -> None:
    inputs = {"numeric": np.array([[1.0, np.nan]], dtype=np.float32), "categorical": np.array([[3]], dtype=np.int64)}
    data = pack(inputs, labels=np.array([1]), logits=np.array([[0.5, -0.5]], dtype=np.float32))
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        assert sorted(archive.files) == ["input:categorical", "input:numeric", "labels", "logits"]
        np.testing.assert_array_equal(archive["input:numeric"], inputs["numeric"])


def test_equal_arrays_give_equal_bytes() -> None:
    inputs = {"image": np.zeros((2, 1, 8, 8), dtype=np.float32)}
    assert pack(inputs) == pack({name: values.copy() for name, values in inputs.items()})


def test_the_golden_batch_has_every_predicted_class_and_no_near_tie() -> None:
    margin = np.concatenate([np.linspace(-8, -0.5, 500), np.linspace(-0.01, 0.01, 60), np.linspace(0.5, 8, 100)])
    logits = np.stack([-margin / 2, margin / 2], axis=1).astype(np.float32)
    rows = golden_rows(logits)
    assert len(set(rows.tolist())) == 64
    assert np.abs(margin[rows]).min() > 0.01
    assert 5 < (logits[rows].argmax(axis=1) == 1).sum() < 20


def test_few_rows_give_a_small_golden_batch() -> None:
    logits = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]], dtype=np.float32)
    assert set(golden_rows(logits).tolist()) <= {0, 1, 2}
    assert len(golden_rows(logits[:1])) == 1


def test_the_calibration_sample_depends_on_the_seed_alone() -> None:
    first, again, other = (calibration_rows(5000, seed) for seed in (7, 7, 8))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()
    assert len(set(first.tolist())) == 1024
    assert calibration_rows(10, 7).tolist() == list(range(10))


def test_taking_rows_keeps_inputs_together() -> None:
    taken = take({"a": np.arange(4), "b": np.arange(4) * 10}, np.array([2, 0]))
    assert {name: values.tolist() for name, values in taken.items()} == {"a": [2, 0], "b": [20, 0]}

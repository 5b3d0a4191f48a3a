import numpy as np
import pandas as pd
import torch

from models import digit_reader

FRAME = pd.DataFrame([{f"p{index:02d}": index / 63 for index in range(64)} | {"digit": 7, "sample_key": "x"}] * 3)


def test_pixels_become_an_image_row_by_row_from_the_top_left() -> None:
    image = digit_reader.encode(FRAME)["image"]
    assert image.shape == (3, 1, 8, 8)
    assert image.dtype == np.float32
    assert image[0, 0, 0, 1] == np.float32(1 / 63)
    assert image[0, 0, 1, 0] == np.float32(8 / 63)


def test_labels_are_the_digits() -> None:
    assert digit_reader.labels(FRAME).tolist() == [7, 7, 7]
    assert digit_reader.CLASSES[7] == "7"


def test_logits_have_a_column_per_digit() -> None:
    model = digit_reader.build({"channels": 4}).eval()
    with torch.no_grad():
        assert model(torch.from_numpy(digit_reader.encode(FRAME)["image"])).shape == (3, 10)

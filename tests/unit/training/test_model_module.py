from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from slipway.errors import ModelError
from slipway.settings import Settings
from slipway.training.model_module import build, encode, load_model_module

SOURCE = """
import numpy as np

LABEL = "late"
CLASSES = ("on_time", "late")
COLUMNS = ("delay",)

def encode(frame):
    return {"numeric": frame[["delay"]].to_numpy().astype("float32")}

def labels(frame):
    return frame["late"].to_numpy().astype(np.int64)

def build(parameters):
    return ["a network of", parameters["hidden"]]
"""

FRAME = pd.DataFrame({"delay": [1.0, 2.0], "late": [False, True]})


def module_of(folder: Path, source: str) -> Any:
    path = folder / "delay.py"
    path.write_text(source)
    return load_model_module(path)


def test_a_module_is_loaded_by_path_and_encodes_frames(tmp_path: Path) -> None:
    module = module_of(tmp_path, SOURCE)
    encoded = encode(module, FRAME)
    assert (encoded.rows, encoded.labels.tolist()) == (2, [0, 1])
    assert encoded.inputs["numeric"].dtype == np.float32
    assert build(module, {"hidden": 8}) == ["a network of", 8]


def test_an_unknown_module_lists_those_there_are(tmp_path: Path) -> None:
    module_of(tmp_path, SOURCE)
    with pytest.raises(ModelError, match=r"no model module 'flight'.*there are: delay"):
        load_model_module(tmp_path / "flight.py")


@pytest.mark.parametrize("name", ["LABEL", "CLASSES", "COLUMNS", "encode", "labels", "build"])
def test_a_missing_name_is_named(tmp_path: Path, name: str) -> None:
    renamed = SOURCE.replace(f"{name} =", "other =").replace(f"def {name}(", "def other(")
    with pytest.raises(ModelError, match=rf"delay\.py: .*{name}(\(\))? is missing"):
        module_of(tmp_path, renamed)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('("on_time", "late")', '("late",)', "CLASSES must be a tuple of at least 2 different strings"),
        ('("on_time", "late")', '("late", "late")', "different strings"),
        ('("on_time", "late")', '["on_time", "late"]', "CLASSES must be a tuple"),
        ('("delay",)', '("delay", "late")', "COLUMNS holds the label 'late', which no model may see"),
        ("import numpy as np", "import no_such_package", "importing it failed: ModuleNotFoundError"),
        ("import numpy as np", "import numpy as", "importing it failed: SyntaxError"),
    ],
)
def test_an_unusable_module_says_what_is_wrong(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        module_of(tmp_path, SOURCE.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"float32"', '"float64"', "'numeric' as float32 or int64 with 2 rows, got float64"),
        ('[["delay"]]', '[["delay"]][:1]', r"got float32 \[1, 1\]"),
        ('{"numeric": frame[["delay"]].to_numpy().astype("float32")}', "{}", "at least one input"),
        ('["late"].to_numpy().astype(np.int64)', '["late"].to_numpy()', "got bool"),
        ("astype(np.int64)", "astype(np.int64) * 2", "labels: expected int64 .2. from 0 to 1"),
    ],
)
def test_an_encoding_of_the_wrong_form_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in SOURCE
    module = module_of(tmp_path, SOURCE.replace(old, new))
    with pytest.raises(ModelError, match=message):
        encode(module, FRAME)


def test_a_missing_parameter_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"parameter 'hidden': set it under training\.parameters"):
        build(module_of(tmp_path, SOURCE), {"epochs": 3})


def test_models_are_found_where_the_settings_say() -> None:
    assert {path.stem for path in Settings().models.glob("*.py")} >= {"flight_delay", "digit_reader"}

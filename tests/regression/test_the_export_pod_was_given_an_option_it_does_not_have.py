"""The plan told the export pod `--train`, which is the compile pod's word; it ended with exit code 2."""

import importlib

import pytest

from slipway.errors import ConfigurationError
from tests.simulators.lake import LakeSimulator
from tests.unit.stages.trained import planned

ENTRIES = {"train": "slipway.training.__main__", "export": "slipway.compile.export"}


@pytest.mark.parametrize("work", ["train", "export", "x86-cpu", "jetson-orin"])
def test_a_pod_understands_its_arguments_and_goes_on_to_the_lake(work, tmp_path, monkeypatch):
    for name in ("ENDPOINT_URL", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.delenv(f"LAKECTL_SERVER_{name}", raising=False)
        monkeypatch.delenv(f"LAKECTL_CREDENTIALS_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    entry = importlib.import_module(ENTRIES.get(work, "slipway.compile.__main__"))
    with pytest.raises(ConfigurationError, match="expected lakeFS credentials"):
        entry.main(planned(LakeSimulator()).works[work].arguments)

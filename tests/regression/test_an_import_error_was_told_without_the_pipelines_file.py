"""`make up` showed the last line of a trace: the last key that was wrong, not the file, nor the other keys."""

import traceback

import pytest

from slipway.embedded.airflow_api import ImportProblem
from slipway.errors import ConfigurationError
from slipway.pipeline.project import load_pipelines
from tests.unit.pipeline.changed import written


def test_the_file_and_every_wrong_key_are_told(tmp_path):
    folder = tmp_path / "include/pipelines"
    folder.mkdir(parents=True)
    path = written(folder, {"shedule": "0 0 * * *", "owner": 3})
    with pytest.raises(ConfigurationError) as refused:
        load_pipelines(folder)
    trace = "".join(traceback.format_exception(refused.value, limit=-2))
    told = ImportProblem("pipelines.py", trace).reason
    for part in (str(path), "2 problem(s)", "  shedule: unknown key", "  owner: Input should be a valid string"):
        assert part in told
    assert "File" not in told

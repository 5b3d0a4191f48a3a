"""What becomes of the DAGs where a pipeline's file is wrong."""

import pytest

from slipway.errors import ConfigurationError
from slipway.settings import settings
from tests.dags.reading import ROOT, copy_what_pipelines_name, read_dag_file

LINES = {
    "flight_delay.ingest",
    "flight_delay.train",
    "flight_delay.release",
    "flight_delay.reproduce",
    "slipway.housekeeping",
}


@pytest.mark.parametrize(
    ("right", "wrong", "says"),
    [
        ("metric:", "metrc:", r"metrc: unknown key"),
        ("0 0 * * *", "0 0 * * 8x", r"schedule: expected a cron expression .*'0 0 \* \* 8x'"),
        ("job: digit_features", "job: digits_features", r"features\.job: .*did you mean 'digit_features'"),
        ("pod: train", "pod: trian", r"training\.pod: .*did you mean 'train'"),
        ("package: sklearn", "package: sklearm", r"feed\.tables\.digits: .*did you mean 'sklearn'"),
    ],
)
def test_it_is_an_import_error_and_the_other_pipelines_go_on(tmp_path, monkeypatch, no_io, right, wrong, says):
    copy_what_pipelines_name(tmp_path)
    file = tmp_path / "include/pipelines/digit_reader.yaml"
    assert right in file.read_text()
    file.write_text(file.read_text().replace(right, wrong, 1))
    monkeypatch.setenv("SLIPWAY_ROOT", str(tmp_path))
    settings.cache_clear()
    try:
        lines = [path for path in sorted((ROOT / "dags").glob("*.py")) if path.name != "pipelines.py"]
        found = {dag for path in lines for dag in read_dag_file(path)}
        with pytest.raises(ConfigurationError, match=rf"digit_reader\.yaml: \d problem[\s\S]*{says}"):
            read_dag_file(ROOT / "dags/pipelines.py")
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    assert found == LINES

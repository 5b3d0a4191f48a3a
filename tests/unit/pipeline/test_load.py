import pytest
import yaml

from slipway.errors import ConfigurationError
from slipway.pipeline.load import find_pipeline, load_pipeline
from slipway.settings import settings
from tests.unit.pipeline.changed import EXAMPLE, written


def test_an_unknown_key_is_named_with_its_file_and_place(tmp_path):
    path = written(tmp_path, {"training.epochs": 3})
    with pytest.raises(ConfigurationError, match=r"flight_delay\.yaml[\s\S]*training\.epochs: unknown key"):
        load_pipeline(path)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("training.seed", "seven", r"training\.seed: Input should be a valid integer.*'seven'"),
        ("training.holdout_partitions", 0, r"training\.holdout_partitions: .*greater than or equal to 1"),
        ("release.phases", [25, 5, 100], r"release\.phases: .*phases must rise and end with 100"),
        ("release.gates.max_error_rate", 7, r"release\.gates\.max_error_rate: .*less than or equal to 1"),
        ("repository", "Flight Delay", r"repository: String should match pattern"),
        ("compile.targets", [], r"compile\.targets: .*at least 1"),
        ("training.baseline", {"kind": "group_share"}, r"training\.baseline: .*group_share needs column"),
        ("raw", {}, r"raw declares contracts for \[\], the feed has tables \['flights', 'weather'\]"),
    ],
)
def test_a_bad_value_says_what_was_expected_and_what_came(tmp_path, key, value, says):
    with pytest.raises(ConfigurationError, match=says):
        load_pipeline(written(tmp_path, {key: value}))


def test_a_missing_key_is_named(tmp_path):
    raw = yaml.safe_load(EXAMPLE.read_text())
    del raw["training"]["metric"]
    path = tmp_path / "flight_delay.yaml"
    path.write_text(yaml.safe_dump(raw))
    with pytest.raises(ConfigurationError, match=r"training\.metric: required key is missing"):
        load_pipeline(path)


def test_all_problems_of_a_file_are_listed_at_once(tmp_path):
    path = written(tmp_path, {"training.seed": "x", "owner": 3})
    with pytest.raises(ConfigurationError, match=r"2 problem\(s\)"):
        load_pipeline(path)


def test_a_file_is_named_after_its_pipeline(tmp_path):
    with pytest.raises(ConfigurationError, match="expected 'other'"):
        load_pipeline(written(tmp_path, {}, name="other"))


def test_broken_yaml_is_said_so(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("name: [")
    with pytest.raises(ConfigurationError, match="not valid YAML"):
        load_pipeline(path)


def test_an_unknown_pipeline_lists_those_there_are():
    with pytest.raises(ConfigurationError, match=r"no pipeline 'flights'.*digit_reader, flight_delay"):
        find_pipeline(settings().pipelines, "flights")

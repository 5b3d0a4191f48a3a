import pytest

from slipway.errors import ConfigurationError, DataError
from slipway.training.__main__ import main

ARGUMENTS = {
    "--pipeline": "flight_delay",
    "--commit": "a" * 64,
    "--partitions": "2013-01-01,2013-01-02",
    "--holdout": "2013-01-03",
    "--fingerprint": "b" * 64,
    "--output": "lakefs://flight-delay/train/models/b/train",
}


def argv(**changes: str) -> list[str]:
    named = ARGUMENTS | {f"--{name}": value for name, value in changes.items()}
    return [word for pair in named.items() for word in pair]


def test_help_explains_outputs_environment_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    text = capsys.readouterr().out
    assert end.value.code == 0
    for word in (*ARGUMENTS, "result.json", "MLFLOW_TRACKING_URI", "LAKECTL_SERVER_ENDPOINT_URL", "Exit codes"):
        assert word in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"commit": "main"}, "argument --commit: expected 64 lower-case hex digits, got 'main'"),
        ({"fingerprint": "b" * 63}, "argument --fingerprint"),
        ({"output": "s3://bucket/x"}, "argument --output: expected lakefs://"),
    ],
)
def test_a_wrong_argument_ends_with_usage(
    changes: dict[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(argv(**changes))
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_an_unknown_pipeline_lists_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"no pipeline 'ferry_delay'.*flight_delay"):
        main(argv(pipeline="ferry_delay"))


def test_days_trained_on_cannot_be_held_out() -> None:
    with pytest.raises(DataError, match="2013-01-02 is held out"):
        main(argv(holdout="2013-01-02"))

import re

import pytest
from typer.testing import CliRunner

from slipway.cli import app
from slipway.commands.exits import WRONG


def test_its_help_shows_how_a_day_is_written_and_where_it_begins():
    shown = CliRunner().invoke(app, ["demo", "--help"], env={"COLUMNS": "160", "TERM": "dumb"}).stdout
    (line,) = [line for line in shown.splitlines() if "--first" in line]
    assert re.search(r"YYYY-MM-DD +First day to ingest\. \[default: \(the pipeline's start\)\]", line)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--pipeline", "flights", "--days", "3"], r"no pipeline 'flights'.*digit_reader, flight_delay"),
        (["--first", "2012-02-29"], r"expected a day from 2013-01-01"),
        (["--first", "2013-01-25"], r"days of one month"),
    ],
)
def test_what_cannot_be_shown_is_refused_before_the_stack_is_started(options, says):
    refused = CliRunner().invoke(app, ["demo", *options])
    assert refused.exit_code == WRONG
    assert re.search(says, refused.stderr)

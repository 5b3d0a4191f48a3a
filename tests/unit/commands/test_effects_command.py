import datetime as dt
import json
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from slipway.cli import app
from slipway.commands.effects import age
from slipway.connections import LedgerConnection
from slipway.embedded.local_settings import LocalSettings
from slipway.errors import UnavailableError
from slipway.ledger.effects import Effect, Effects, Origin

MERGE = Effect("merge", "lakefs://flights/main<-abc", "lakefs://flights/main")
TAG = Effect("tag", "lakefs://digits/v1", "lakefs://digits/v1")


def origin(pipeline: str) -> Origin:
    return Origin(pipeline, "ingest", f"{pipeline}.ingest", "manual__1", "publish")


@pytest.fixture
def ledger(tmp_path, monkeypatch) -> LedgerConnection:
    connection = LedgerConnection(f"sqlite:///{tmp_path}/ledger.db")
    monkeypatch.setattr(LocalSettings, "load", lambda: SimpleNamespace(ledger=connection))
    return connection


@pytest.fixture
def one_open_one_done(ledger) -> Effects:
    effects = Effects(ledger)
    with effects.intents(origin("digit_reader")) as intents, intents.intended(TAG):
        pass
    with pytest.raises(UnavailableError), effects.intents(origin("flight_delay")) as intents, intents.intended(MERGE):
        raise UnavailableError("lakeFS did not answer")
    return effects


def run(*arguments: str):
    return CliRunner().invoke(app, ["effects", *arguments])


def test_it_lists_what_is_open_with_its_run_and_its_error(one_open_one_done):
    shown = run()
    assert shown.exit_code == 0
    for text in (MERGE.key, "flight_delay.ingest manual__1", "publish", "UnavailableError: lakeFS did not answer"):
        assert text in shown.stdout
    assert TAG.key not in shown.stdout


def test_all_of_a_pipeline_as_json(one_open_one_done):
    (found,) = json.loads(run("--all", "--json", "--pipeline", "digit_reader").stdout)
    assert (found["kind"], found["key"], found["state"], found["attempts"]) == ("tag", TAG.key, "done", 1)
    assert dt.datetime.fromisoformat(found["opened"]) <= dt.datetime.fromisoformat(found["closed"])
    assert [one["key"] for one in json.loads(run("--all", "--json").stdout)] == [MERGE.key, TAG.key]
    assert [one["key"] for one in json.loads(run("--open", "--json").stdout)] == [MERGE.key]


def test_nothing_open_is_said_and_is_an_empty_array(ledger):
    assert run().stdout == "No effect is open.\n"
    assert json.loads(run("--json").stdout) == []


def test_a_ledger_that_is_down_is_an_error_for_scripts(monkeypatch):
    away = LedgerConnection("postgresql+psycopg2://slipway:hunter2@127.0.0.1:1/ledger")
    monkeypatch.setattr(LocalSettings, "load", lambda: SimpleNamespace(ledger=away))
    failed = run()
    assert failed.exit_code == 2 and "slipway_ledger" in failed.output and "hunter2" not in failed.output


@pytest.mark.parametrize(
    ("seconds", "said"), [(-1, "0 s"), (59, "59 s"), (60, "1 min"), (7199, "1 h"), (86_400 * 3, "3 d")]
)
def test_an_age_is_told_in_its_largest_unit(seconds, said):
    assert age(dt.timedelta(seconds=seconds)) == said

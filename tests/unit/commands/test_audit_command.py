"""``slipway audit``, ``diff`` and ``bundle`` as people and scripts call them: words, JSON and exit codes."""

import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import ClassVar

import pytest
from typer.testing import CliRunner

from slipway.cli import app
from slipway.commands import audit as audit_command
from slipway.connections import LedgerConnection
from slipway.embedded.local_settings import LocalSettings, Login
from slipway.errors import DisputedError
from slipway.release.channel_state import ChannelState
from tests.simulators.channel import ChannelSimulator
from tests.simulators.ledger import ledger_at
from tests.simulators.past import FleetSimulator, Past, commit_id, hour

DAYS = ["2013-01-07", "2013-01-08", "2013-01-09"]
BAD = commit_id("raw", DAYS[1])


class Airflow(BaseHTTPRequestHandler):
    """Starts runs, each id once."""

    runs: ClassVar[dict] = {}

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/auth/token":
            self.answer(201, {"access_token": "t"})
        elif asked["dag_run_id"] in self.runs:
            self.answer(409, {"detail": "it exists"})
        else:
            self.runs[asked["dag_run_id"]] = {"dag": self.path.split("/")[4], "state": "running", **asked}
            self.answer(200, {})

    def do_PATCH(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200, {})

    def do_GET(self):
        self.answer(200, {"state": self.runs[self.path.rsplit("/", 1)[1]]["state"]})

    def answer(self, status, body):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def past(tmp_path_factory):
    """Versions 1, 2 and 3, each with a day more, 3 released last."""
    past = Past(ledger_at(tmp_path_factory.mktemp("ledger")))
    for day in DAYS:
        past.day(day)
    for number in (1, 2, 3):
        past.version(str(number), DAYS[:number], lr=number / 1000)
        past.release(str(number))
    return past


@pytest.fixture
def fleet():
    fleet = FleetSimulator()
    fleet.runs("car-1", "2", 2, "shop-v2-00000002")
    fleet.runs("car-1", "3", 3, "shop-v3-00000003")
    fleet.runs("car-2", "1", 1)
    return fleet


@pytest.fixture
def channel():
    return ChannelSimulator()


@pytest.fixture
def local(past, fleet, channel, monkeypatch):
    """The local stack: that ledger, that fleet, and an Airflow that starts runs."""
    Airflow.runs = {}
    with ThreadingHTTPServer(("127.0.0.1", 0), Airflow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stack = SimpleNamespace(
            ledger=past.ledger.connection,
            airflow_url=f"http://127.0.0.1:{server.server_port}",
            airflow_login=Login("admin", "secret"),
        )
        monkeypatch.setattr(LocalSettings, "load", lambda: stack)
        monkeypatch.setattr(audit_command, "fleet", lambda: fleet)
        monkeypatch.setattr(audit_command, "channel", lambda: channel)
        yield stack
        server.shutdown()


def ask(*arguments, **more):
    return CliRunner().invoke(app, list(map(str, arguments)), **more)


def test_what_drove_a_device_is_a_tree_of_all_that_made_it(local):
    said = ask("audit", "device", "car-1", "--at", hour(2.5).isoformat())
    assert said.exit_code == 0, said.output
    made_of = (
        "x86_64-cpu",
        "http://127.0.0.1/train-",
        commit_id("main", DAYS[1]),
        f"raw/sales/date={DAYS[0]}/sales.csv",
    )
    for word in (
        "version 2 of shop",
        "own clock",
        "shop-v2-00000002  completed",
        "targets/x86-cpu/model.bin",
        *made_of,
    ):
        assert word in said.output, word


def test_a_time_without_a_zone_is_utc_and_that_is_said(local):
    said = ask("audit", "device", "car-1", "--at", f"{hour(2.5):%Y-%m-%dT%H:%M}", "--json")
    assert "UTC is assumed" in said.stderr
    assert json.loads(said.stdout)["ran"]["version"] == "2"


def test_what_was_heard_of_before_the_time_asked_about_is_called_not_sure(local):
    assert "not sure: the gateway last heard of it" in ask("audit", "device", "car-1", "--at", "2100-01-01").stdout


def test_a_time_nothing_is_known_of_is_a_negative_answer(local):
    said = ask("audit", "device", "car-1", "--at", "2013-01-01", "--json")
    assert said.exit_code == 1 and json.loads(said.stdout)["ran"] is None


@pytest.mark.parametrize(
    ("question", "code", "words"),
    [
        (["audit", "device", "car-9"], 1, "car-9"),
        (["audit", "model", "shop", "9"], 1, "there are 1, 2, 3"),
        (["audit", "model", "shoop", "1"], 1, "there is shop"),
        (["audit", "champions", "shoop"], 1, "there is shop"),
        (["audit", "commit", "f" * 40], 1, "no statement in the ledger names a commit"),
        (["diff", "shop", "1", "9"], 1, "there are 1, 2, 3"),
        (["audit", "commit", "abc"], 2, "at least 8"),
        (["audit", "commit", BAD, "--yes"], 2, "expected --recall"),
        (["audit", "device", "car-1", "--at", "noon"], 2, "ISO 8601"),
    ],
)
def test_a_question_without_an_answer_says_why_and_leaves_with_its_code(local, question, code, words):
    said = ask(*question)
    assert (said.exit_code, said.stdout) == (code, "")
    assert words in said.stderr


def test_a_ledger_that_is_down_is_exit_code_2_and_a_device_is_still_told_its_version(local):
    local.ledger = LedgerConnection("postgresql+psycopg2://nobody@127.0.0.1:1/nothing", local.ledger.keys)
    assert ask("audit", "model", "shop", "1").exit_code == 2
    said = ask("audit", "device", "car-1", "--at", hour(2.5).isoformat(), "--json")
    answer = json.loads(said.stdout)
    assert said.exit_code == 2 and answer["ran"]["version"] == "2" and answer["making"] is None
    assert answer["gaps"][0]["down"] is True


def test_a_gateway_that_is_down_is_exit_code_2_and_the_versions_are_still_told(local, fleet):
    fleet.reachable = False
    said = ask("audit", "commit", BAD)
    assert said.exit_code == 2 and "version 3 of shop" in said.stdout and "missing, from the gateway" in said.stdout
    recalled = ask("audit", "commit", BAD, "--recall", "--yes")
    assert recalled.exit_code == 2 and "nothing is recalled" in recalled.stderr and not Airflow.runs


def test_the_recall_list_names_versions_and_devices_and_changes_nothing(local):
    said = ask("audit", "commit", BAD[:12])
    assert said.exit_code == 0
    assert "2 versions were made of it" in said.stdout and "1 run it now, 0 did" in said.stdout
    assert Airflow.runs == {}


def test_a_recall_opens_one_run_behind_an_approval_however_often_it_is_asked_for(local):
    first, second = (ask("audit", "commit", BAD, "--recall", "--yes", "--json") for _ in range(2))
    (opened,), (again,) = (json.loads(said.stdout)["recalls"] for said in (first, second))
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert (opened["action"], again["action"]) == ("opened", "exists")
    ((run_id, run),) = Airflow.runs.items()
    assert run_id == opened["run"]["id"] and run["dag"] == "shop.release"
    assert run["conf"]["version"] == "1" and run["conf"]["approve_first"] and run["conf"]["approval"]
    assert BAD in run["conf"]["note"]


def test_a_recall_asks_first_and_a_no_opens_nothing(local):
    assert ask("audit", "commit", BAD, "--recall", input="n\n").exit_code == 1
    assert Airflow.runs == {}
    assert ask("audit", "commit", BAD, "--recall", input="y\n").exit_code == 0
    assert len(Airflow.runs) == 1


def test_a_dry_run_says_what_would_be_opened(local):
    said = ask("audit", "commit", BAD, "--recall", "--dry-run")
    assert said.exit_code == 0 and "back from version 3 to 1" in said.stdout
    assert Airflow.runs == {}


def test_without_a_clean_version_nothing_is_opened_and_that_is_a_failure(local):
    said = ask("audit", "commit", commit_id("raw", DAYS[0]), "--recall", "--yes")
    assert said.exit_code == 1 and "no released version is clean" in said.stdout
    assert Airflow.runs == {}


UNDER_WAY = ChannelState(pipeline="shop", release="shop-v2-9", salt="s", percent=25, current=None, next="2")


def test_a_release_under_way_is_recalled_and_how_to_end_it_at_once_is_said(local, channel):
    channel.publish(UNDER_WAY.model_copy(update={"current": "3"}))
    said = ask("audit", "commit", commit_id("model", "2"), "--recall", "--yes")
    assert said.exit_code == 0, said.output
    assert "release shop-v2-9 of version 2 is under way at 25%" in said.stdout
    assert "`roll_back` returns every device to version 3" in said.stdout
    ((run_id, run),) = Airflow.runs.items()
    assert run_id.endswith("__shop-v2-9_to_v3") and run["conf"]["supersede"] and run["conf"]["version"] == "3"


def test_a_release_under_way_with_no_clean_version_is_a_failure_that_says_what_to_do(local, channel):
    channel.publish(UNDER_WAY)
    said = ask("audit", "commit", commit_id("raw", DAYS[0]), "--recall", "--yes")
    assert said.exit_code == 1 and "no released version is clean" in said.stdout
    assert f"mark the task at work in its run failed at {local.airflow_url}/dags/shop.release/runs" in said.stdout
    assert "returns every device to no version" in said.stdout and not Airflow.runs
    data = json.loads(ask("audit", "commit", commit_id("raw", DAYS[0]), "--recall", "--yes", "--json").stdout)
    assert data["recalls"][0]["under_way"] == {"release": "shop-v2-9", "version": "2", "percent": 25}


def test_how_a_version_was_made_and_when_it_was_champion(local):
    said = ask("audit", "model", "shop", "3")
    assert said.exit_code == 0
    assert "champion" in said.stdout and ".. now" in said.stdout and "car-1  version 3" in said.stdout


def test_who_was_champion_when(local):
    said = json.loads(ask("audit", "champions", "shop", "--json").stdout)
    assert [(one["version"], one["until"]) for one in said["champions"]][-2:] == [
        ("2", hour(3).isoformat()),
        ("3", None),
    ]
    assert "version 3" in ask("audit", "champions", "shop").stdout


def test_two_versions_are_compared_stage_by_stage(local):
    said = ask("diff", "shop", "1", "3")
    assert said.exit_code == 0
    for line in ("2 added: 2013-01-08, 2013-01-09", "parameter lr 0.001 → 0.003", "log_loss  0.49 → 0.47"):
        assert line in said.stdout, line
    data = json.loads(ask("diff", "shop", "1", "3", "--json").stdout)
    assert data["data"]["added"] == DAYS[1:] and data["same"] is False


def test_a_versions_bundle_verifies_with_no_ledger(local, past, tmp_path):
    bundle = tmp_path / "shop-3.json"
    assert ask("bundle", "shop", "3", "-o", bundle).exit_code == 0
    trust = past.ledger.connection.keys.trust
    verified = ask("verify", bundle, "--trust", trust, "--json")
    assert verified.exit_code == 0, verified.output
    stages = [one["stage"] for one in json.loads(verified.stdout)["statements"]]
    assert stages.count("release") == 1 and stages.count("ingest") == 3
    assert ask("bundle", "shop", "3", "-o", tmp_path / "nowhere" / "x.json").exit_code == 2


def test_a_disputed_chain_is_no_bundle_and_the_link_is_named(local, tmp_path):
    past = Past(ledger_at(tmp_path))
    past.day(DAYS[0])
    past.version("1", DAYS[:1])
    (made,) = past.ledger.statements("shop", "features")
    with pytest.raises(DisputedError):
        past.ledger.record(replace(made, outputs=dict.fromkeys(made.outputs, "0" * 64)))
    local.ledger = past.ledger.connection
    said = ask("bundle", "shop", "1", "-o", tmp_path / "shop-1.json")
    assert said.exit_code == 1 and "features of shop, 2013-01-07" in said.stderr and "is disputed" in said.stderr
    assert not (tmp_path / "shop-1.json").exists()

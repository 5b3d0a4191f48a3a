"""What ``slipway reproduce`` prints, writes and exits with, for each verdict."""

import datetime as dt
import json

import pytest
from typer.testing import CliRunner

from slipway.cli import app
from slipway.commands import reproduce as command
from slipway.errors import EvidenceError
from slipway.stages.reproduce.reproduction import written
from slipway.stages.reproduce.verdict import Compared, Judged, Scope, conclude

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
FACT = "tensor weight: 3 of 30 values differ, by at most 0.5"
DIFFERING = (Compared("models/train/f/model.safetensors", "a" * 64, "a" * 64, "b" * 64, (FACT,)),)


def judged(stage, outcome="identical", **more):
    return Judged(stage, "2013-01-01", "f" * 64, outcome, 2, **more)


def verdict(*found, scope=None):
    return conclude("flight_delay", "1", found, scope=scope or Scope(), started=NOON, finished=NOON)


@pytest.fixture
def run(monkeypatch):
    """Runs the command; what would be made again is given."""

    def invoke(outcome, *options):
        def made_again(model, version, scope, console):
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        monkeypatch.setattr(command, "_made_again", made_again)
        return CliRunner().invoke(app, ["reproduce", "flight_delay", "1", *options])

    return invoke


def test_an_identical_version_is_a_success_and_its_verdict_a_file(run, tmp_path):
    found = verdict(judged("ingest"), judged("train"))
    said = run(found, "--out", str(tmp_path / "verdict.json"))
    assert said.exit_code == 0, said.output
    assert "flight_delay version 1: identical: 4 outputs of 2 statements" in said.stdout
    assert (tmp_path / "verdict.json").read_bytes() == written(found)
    assert json.loads(written(found))["whole"] is True


def test_a_version_within_tolerance_is_a_success_with_its_numbers(run):
    close = judged("train", "within tolerance", numbers={"agreement": 0.999}, environment=("torch 2.12 → 2.13",))
    said = run(verdict(close))
    assert said.exit_code == 0
    assert "agreement 0.999, within another environment: torch 2.12 → 2.13" in said.stdout


def test_a_diverged_version_fails_and_names_the_first_stage_and_what_differs(run):
    said = run(verdict(judged("export", "diverged"), judged("train", "diverged", differing=DIFFERING)))
    assert said.exit_code == 1
    assert "diverged: train of 2013-01-01" in said.stdout and FACT in said.stdout


@pytest.mark.parametrize(
    "outcome",
    [verdict(judged("ingest"), judged("train", "inconclusive", reason="no torch")), EvidenceError("no statement")],
)
def test_what_could_not_be_judged_or_done_is_neither(run, outcome):
    said = run(outcome)
    assert said.exit_code == 2
    assert "no torch" in said.output or "no statement" in said.output


def test_nothing_judged_is_no_success(run):
    assert run(verdict()).exit_code == 2


def test_a_part_is_said_to_be_no_proof_of_the_whole(run):
    said = run(verdict(judged("train"), scope=Scope(("train",))))
    assert said.exit_code == 0 and "no proof of the whole version" in said.stdout


def test_an_unknown_stage_is_refused(run):
    said = CliRunner().invoke(app, ["reproduce", "flight_delay", "1", "--stages", "train,cook"])
    assert said.exit_code == 2 and "got cook" in said.output

"""A commit turns out to be bad: its devices are returned to the last clean version, once a person approves."""

import json

import pytest

from slipway.ledger.store import Ledger
from tests.e2e.test_operations import answer_approval, ended, ingest, start, states, wait_until
from tests.e2e.test_retries import DAYS

BAD = "2013-03-20"


def released(project) -> str:
    """The version of a new training, on every device."""
    train = start(project, "digit_reader.train", {"partitions": 5, "force": True})
    assert ended(project, "digit_reader.train", train).state == "success"
    registered = Ledger(project.local().ledger).statements("digit_reader", "register")
    (made,) = [one for one in registered if one.execution.run_id == train]
    assert ended(project, "digit_reader.release", f"release__{made.subject}").state == "success"
    wait_until("every device runs it", 60, lambda: project.versions_on_devices("digit_reader") == {made.subject})
    return made.subject


@pytest.mark.timeout(900)
def test_a_recall_waits_for_a_person_and_returns_every_device_to_the_last_clean_version(project):
    ingest(project, DAYS)
    clean = released(project)
    ingest(project, [BAD])
    bad = released(project)
    (features,) = Ledger(project.local().ledger).statements("digit_reader", "features", BAD)
    commit = features.commits["main"].partition("@")[2]

    asked = ("audit", "commit", commit, "--recall", "--yes", "--json")
    answer = json.loads(project.slipway(*asked).stdout)
    (recall,) = answer["recalls"]
    assert (recall["action"], recall["champion"], recall["clean"], recall["devices"]) == ("opened", bad, clean, 20)
    line, run_id = recall["run"]["dag"], recall["run"]["id"]
    assert json.loads(project.slipway(*asked).stdout)["recalls"][0]["action"] == "exists"

    answer_approval(project, line, run_id, "Approve", "approve_first")
    answer_approval(project, line, run_id, "Approve")
    run = ended(project, line, run_id)
    assert run.state == "success" and states(project, run)["complete"] == "success"
    wait_until("every device is back", 60, lambda: project.versions_on_devices("digit_reader") == {clean})
    assert json.loads(project.slipway(*asked).stdout)["recalls"] == []

"""A recall is a release that a person approves before anything changes."""

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from slipway.ledger.audit.recall import Recall
from slipway.pipeline.project import load_pipelines
from slipway.settings import settings
from slipway_airflow import rollouts

NAMES = list(load_pipelines(settings().pipelines))


@pytest.mark.parametrize("name", NAMES)
def test_whatever_changes_the_channel_or_the_fleet_waits_for_the_first_approval(dags, name):
    line = dags[f"{name}.release"]
    behind = line.get_task("approve_first").get_flat_relative_ids(upstream=False)
    assert set(line.task_ids) - behind == {"ask_first", "approve_first"}
    assert line.get_task("prepare").trigger_rule == "none_failed_min_one_success"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("asked", "next_task"), [(True, "approve_first"), (False, "prepare")])
def test_the_form_decides_whether_a_person_is_asked_first(dags, monkeypatch, name, asked, next_task):
    decide = dags[f"{name}.release"].get_task("ask_first").python_callable
    context = {"params": {"approve_first": asked}}
    monkeypatch.setitem(decide.__globals__, "get_current_context", lambda: context)
    assert decide() == next_task


@pytest.mark.parametrize("name", NAMES)
def test_the_conf_of_a_recall_is_what_the_release_line_takes(dags, name):
    conf = Recall(name, "c" * 64, devices=3, champion="8", clean="7").conf
    params = dags[f"{name}.release"].params
    assert {key: params.get_param(key).resolve(value) for key, value in conf.items()} == conf
    assert conf["version"] == "7" and conf["approve_first"] and conf["approval"]


@pytest.mark.parametrize("name", NAMES)
def test_a_recall_that_finds_the_fleet_on_the_clean_version_ends_well(dags, monkeypatch, name):
    line = dags[f"{name}.release"]
    prepare = line.get_task("prepare").python_callable
    monkeypatch.setattr(rollouts, "prepare", lambda _name: None)
    with pytest.raises(AirflowSkipException, match="nothing to release"):
        prepare(name)
    assert line.get_task("roll_back").trigger_rule == "one_failed"

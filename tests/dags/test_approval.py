"""What a person answered is kept with the run, a no as well, until the release is stated."""

import datetime as dt
from types import SimpleNamespace

import pytest
from airflow.providers.standard.exceptions import HITLRejectException

from slipway.pipeline.project import load_pipelines
from slipway.settings import settings
from slipway_airflow import approval, rollouts
from slipway_airflow.approval import answers

NAME = next(iter(load_pipelines(settings().pipelines)))
AT = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


class Memory:
    """The XCom of a run."""

    def __init__(self):
        self.kept = {}

    def of(self, task):
        def pull(task_ids, key="return_value"):
            return self.kept.get((task_ids, key))

        return SimpleNamespace(
            start_date=AT, xcom_push=lambda key, value: self.kept.__setitem__((task, key), value), xcom_pull=pull
        )


@pytest.fixture
def memory(monkeypatch):
    made = Memory()
    for module in (approval, rollouts):
        monkeypatch.setattr(module, "get_current_context", lambda: {"ti": made.of("complete")})
    return made


def answer(dags, memory, task, chosen, who):
    operator = dags[f"{NAME}.release"].get_task(task)
    event = {"chosen_options": [chosen], "params_input": {}, "responded_at": AT, "responded_by_user": who}
    return operator.execute_complete({"ti": memory.of(task), "task": operator}, event)


def test_both_answers_are_told_with_who_and_when(dags, memory):
    answer(dags, memory, "approve_first", "Approve", {"id": "7", "name": "ada"})
    with pytest.raises(HITLRejectException):
        answer(dags, memory, "approve", "Reject", {"id": "8", "name": ""})
    assert answers("approve_first", "approve") == [
        {"task": "approve_first", "by": "ada", "at": AT.isoformat(), "chosen": ["Approve"]},
        {"task": "approve", "by": "8", "at": AT.isoformat(), "chosen": ["Reject"]},
    ]


def test_who_was_not_asked_is_not_told(memory):
    assert answers("approve_first", "approve") == []


def test_a_release_began_when_its_preparation_did(memory):
    memory.of("prepare").xcom_push("began", "2026-03-01T11:00:00+00:00")
    assert rollouts.began() == AT - dt.timedelta(hours=1)

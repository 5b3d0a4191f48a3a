"""A task begun in the triggerer: what ends it, what goes on to a worker, and what one decision costs beside others."""

import asyncio
import sys
from types import SimpleNamespace

import pytest
from airflow.serialization.serialized_objects import DagSerialization
from airflow.triggers.base import TaskSkippedEvent

from slipway_airflow import reuse


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """A module with a function that decides: hit on even numbers; what it was asked, call by call."""
    (tmp_path / "even.py").write_text(
        "calls = []\n"
        "def decide(contexts):\n"
        "    calls.append(list(contexts))\n"
        "    return [(n % 2 == 0, {'reasons': [f'{n} of {len(contexts)}']})\n"
        "            for n in contexts]\n"
        "def unwell(contexts):\n"
        "    raise ValueError('the lake is away')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "even", raising=False)
    before = dict(sys.modules)
    yield lambda: sys.modules["even"].calls
    for name in [name for name in sys.modules if name.startswith("slipway")]:
        del sys.modules[name]
    sys.modules.update(before)  # the other tests go on with the modules they imported


def events(*numbers, decide="even.decide"):
    async def first(number):
        trigger = reuse.HitOrMiss(decide)
        trigger.task_instance = SimpleNamespace(
            dag_id="even.ingest", run_id="run 1", task_id="features", get_template_context=lambda: number
        )
        return [event async for event in trigger.run()]

    async def together():
        return await asyncio.gather(*(first(number) for number in numbers))

    return asyncio.run(together())


def test_a_hit_ends_the_task_as_skipped_with_the_decision_as_xcom(asked):
    ((event,),) = events(2)
    assert isinstance(event, TaskSkippedEvent)
    button = event.xcoms.pop("_link_hit_or_miss")
    assert button.endswith("/slipway/provenance/tasks/even.ingest/run%201/features")
    assert event.xcoms == {"hit_or_miss": {"reasons": ["2 of 1"]}}


def test_a_miss_goes_on_to_a_worker_with_the_decision(asked):
    ((event,),) = events(3)
    assert not isinstance(event, TaskSkippedEvent)
    assert event.payload == {"reasons": ["3 of 1"]}


def test_runs_that_begin_together_are_decided_in_one_call_each_with_its_own_answer(asked):
    found = events(*range(10))
    assert [isinstance(event, TaskSkippedEvent) for (event,) in found] == [True, False] * 5
    assert asked() == [list(range(10))]


def test_a_crowd_is_served_in_batches(asked):
    assert len(events(*range(100))) == 100
    assert sorted(number for call in asked() for number in call) == list(range(100))
    assert max(map(len, asked())) <= 16


def test_what_keeps_it_from_deciding_is_a_miss_that_says_so(asked):
    ((event,),) = events(2, decide="even.unwell")
    assert event.payload == {"reasons": ["not decided: ValueError: the lake is away"]}


def test_slipways_modules_are_imported_anew_once_a_file_was_edited(asked, monkeypatch):
    from slipway.stages import landing

    monkeypatch.setattr(reuse, "_code", {})
    events(1)
    assert "slipway.stages.landing" not in sys.modules
    sys.modules["slipway.stages.landing"] = landing
    events(1)
    assert sys.modules["slipway.stages.landing"] is landing


def test_the_scheduler_learns_that_features_begins_in_the_triggerer(dags):
    task = DagSerialization.from_dict(DagSerialization.to_dict(dags["flight_delay.ingest"])).get_task("features")
    assert task.start_from_trigger
    assert task.start_trigger_args.trigger_cls == "slipway_airflow.reuse.HitOrMiss"
    assert callable(getattr(dags["flight_delay.ingest"].get_task("features"), task.start_trigger_args.next_method))

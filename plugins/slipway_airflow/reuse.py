"""``@reusing``: a task that has ended before any worker starts when what it would make is there already.

The scheduler hands such a task to the triggerer first, a process that is there all the time. ``HitOrMiss`` decides in
it, for all the runs that wait at once: a hit ends as *skipped*, and with it the rest of its run, and costs no process;
a miss goes on to a worker. Either way the task's XCom ``hit_or_miss`` and its log say which it was and why.

The triggerer lives for days, and a decision must be made by the code that lies there when it is made. So this module
imports nothing of Slipway's library until then, and forgets what it imported when a file has changed since.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator, Mapping
from contextvars import Context
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk.bases.decorator import DecoratedOperator, task_decorator_factory
from airflow.triggers.base import BaseTrigger, StartTriggerArgs, TaskSkippedEvent, TriggerEvent

from slipway_airflow.addresses import decision
from slipway_airflow.reuse_note import KEY, LINK

if TYPE_CHECKING:
    from airflow.sdk import Context as TaskContext

Answer = tuple[bool, Mapping[str, Any]]
_AT_ONCE = 16
"""Decisions between two looks at who else has come to wait."""


class HitOrMiss(BaseTrigger):  # type: ignore[misc]  # Airflow carries no types
    """Ends its task as skipped on a hit; hands the decision on to a worker on a miss.

    ``decide`` is the dotted name of a function that takes contexts and returns for each whether it is a hit, and what
    to show of it (``Reuse.brief``).
    """

    def __init__(self, decide: str) -> None:
        super().__init__()
        self.decide = decide

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Where Airflow finds this again."""
        return f"{HitOrMiss.__module__}.{HitOrMiss.__qualname__}", {"decide": self.decide}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """One event, the decision."""
        task_instance: Any = self.task_instance
        hit, shown = await _DESK.ask(self.decide, task_instance.get_template_context())
        self.log.info("%s: %s", "hit" if hit else "miss", "; ".join(shown["reasons"]))
        if not hit:
            yield TriggerEvent(dict(shown))
            return
        # Of a task that ends here nobody asks its buttons where they lead.
        ran = (task_instance.dag_id, task_instance.run_id, task_instance.task_id)
        yield TaskSkippedEvent(xcoms={KEY: dict(shown), LINK: decision(*ran)})


class _Desk:
    """Where triggers wait; beside the event loop all who came meanwhile are decided for, in batches."""

    def __init__(self) -> None:
        self._waiting: list[tuple[str, TaskContext, asyncio.Future[Answer]]] = []
        self._work: asyncio.Task[None] | None = None

    async def ask(self, decide: str, context: TaskContext) -> Answer:
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((decide, context, answer))
        if self._work is None or self._work.done():
            # Not in the context of the one who came first, in whose log all would be written.
            self._work = asyncio.create_task(self._serve(), context=Context())
        return await answer

    async def _serve(self) -> None:
        await asyncio.sleep(0.05)  # Runs that begin together are asked for together.
        while self._waiting:
            self._waiting.sort(key=itemgetter(0))
            batch, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
            for decide, group in groupby(batch, key=itemgetter(0)):
                _, contexts, answers = zip(*group, strict=True)
                for answer, found in zip(answers, await asyncio.to_thread(_decided, decide, contexts), strict=True):
                    if not answer.done():
                        answer.set_result(found)


_DESK = _Desk()


def _decided(decide: str, contexts: tuple[TaskContext, ...]) -> list[Answer]:
    try:
        _forget_edited_code()
        module, _, name = decide.rpartition(".")
        found: list[Answer] = getattr(importlib.import_module(module), name)(contexts)
    except Exception as error:  # The task itself meets it again, and its retries and messages are for that.
        return [(False, {"reasons": [f"not decided: {type(error).__name__}: {error}"]})] * len(contexts)
    return found


_code: dict[Path, tuple[int, int]] = {}


def _forget_edited_code() -> None:
    """Let all of Slipway be imported anew once one of its files is not the one that was imported."""
    plugins = Path(__file__).resolve().parents[1]
    folders = (plugins, plugins.parent / "include")
    now = {path: (path.stat().st_mtime_ns, path.stat().st_size) for top in folders for path in top.rglob("*.py")}
    if now == _code:
        return
    for name in [
        name for name in sys.modules if name.startswith(("slipway.", "slipway_airflow.")) and name != __name__
    ]:
        del sys.modules[name]
    _code.clear()
    _code.update(now)


class ReusingOperator(DecoratedOperator, PythonOperator):  # type: ignore[misc]  # Airflow carries no types
    """Airflow's ``@task``, begun in the triggerer."""

    template_fields = ("templates_dict", "op_args", "op_kwargs")
    template_fields_renderers = {"templates_dict": "json", "op_args": "py", "op_kwargs": "py"}  # noqa: RUF012
    custom_operator_name = "@reusing"
    start_from_trigger = True

    def __init__(self, *, decide: str, python_callable: Any, op_args: Any, op_kwargs: Any, **kwargs: Any) -> None:
        called = {"python_callable": python_callable, "op_args": op_args, "op_kwargs": op_kwargs}
        super().__init__(kwargs_to_upstream=called, **called, **kwargs)
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls=f"{HitOrMiss.__module__}.{HitOrMiss.__qualname__}",
            trigger_kwargs={"decide": decide},
            next_method="execute_miss",
        )

    def execute_miss(self, context: TaskContext, event: Mapping[str, Any]) -> Any:
        """Do the work, which the triggerer found not to be done; the task decides once more, and notes that."""
        self.log.info("not skipped: %s", "; ".join(event["reasons"]))
        return self.execute(context)


def reusing(decide: str, **options: Any) -> Any:
    """``@task`` for what may be there already, which ``HitOrMiss`` asks ``decide``; ``options`` as of ``@task``."""
    return task_decorator_factory(decorated_operator_class=ReusingOperator, decide=decide, **options)

"""A task's effects: they begin when it first asks for them, and end with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context

from slipway.ledger.effects import Effects, Intents, Origin

if TYPE_CHECKING:
    from airflow.sdk import Context


class _Step:
    """One try of a task."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.intents: Intents | None = None


_STEP: ContextVar[_Step] = ContextVar("slipway_step")


@contextmanager
def step() -> Iterator[None]:
    """One try of a task: what it set out to do is closed when the block ends well."""
    with ExitStack() as stack:
        before = _STEP.set(_Step(stack))
        stack.callback(_STEP.reset, before)
        yield


def intents(effects: Effects) -> Intents:
    """What the task at work sets out to do; inside ``step``."""
    found = _STEP.get()
    if found.intents is None:
        context: Any = get_current_context()
        first = context["ti"].try_number == 1
        found.intents = found.stack.enter_context(effects.intents(origin_of(context), first=first))
    return found.intents


def origin_of(context: Context) -> Origin:
    """A task of a pipeline's line, as effects name it; a mapped one by its index."""
    ti: Any = context["ti"]
    pipeline, _, line = ti.dag_id.partition(".")
    mapped = f"[{ti.map_index}]" if ti.map_index is not None and ti.map_index >= 0 else ""
    return Origin(pipeline, line, ti.dag_id, ti.run_id, f"{ti.task_id}{mapped}")

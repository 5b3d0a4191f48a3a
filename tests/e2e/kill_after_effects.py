"""An Airflow plugin for a copy of the project: kills a task's worker after each of its effects, once for each.

So it does while a pod or a Spark job is at work, and after each object that is written.

Put into the copy's ``plugins/``. Nothing is killed before ``var/kills`` exists; every kill leaves a file there. After a
merge the whole worker goes, with the process that watches the task and would have told Airflow of its end.
"""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

_AT_WORK_S = 0.2
"""So long after it was begun, a pod or a job is at work."""
_TASK = ("dag_id", "run_id", "task_id", "map_index")


class KillAfterEffects:
    """Begins as a task does, in its own process."""

    @hookimpl
    def on_task_instance_running(self, previous_state: Any, task_instance: Any) -> None:
        """Watch what the task is about to do."""
        kills = Path(os.environ["SLIPWAY_VAR"]) / "kills"
        if kills.is_dir() and task_instance.dag_id.startswith("digit_reader."):
            _watch(_Killer(kills, " ".join(str(getattr(task_instance, part)) for part in _TASK)))


class _Killer:
    """Kills this process, once for each thing its task did."""

    def __init__(self, kills: Path, task: str) -> None:
        self.kills, self.task = kills, task

    def after(self, what: str) -> None:
        """Unless that was done already by an earlier try."""
        file = self.kills / hashlib.sha256(f"{self.task} {what}".encode()).hexdigest()
        if not file.exists():
            file.write_text(f"{self.task} {what}\n")
            if what.startswith("merge "):
                os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)

    def while_at_work(self, effects: Sequence[Any]) -> None:
        """A moment after pods and jobs were begun."""
        for effect in effects:
            if effect.kind in ("start_pod", "run_job"):
                threading.Timer(_AT_WORK_S, self.after, [f"during:{effect.kind} {effect.key}"]).start()


def _watch(killer: _Killer) -> None:
    from slipway.ledger.effects import Intents  # the checkout's, as it lies there when the task runs
    from slipway.ledger.store import Ledger
    from slipway.stages.recorded import _RecordedLake

    _follow(Intents, "open", lambda *effects: killer.while_at_work(effects))
    _follow(Intents, "done", lambda effect, _outcome="": killer.after(f"{effect.kind} {effect.key}"))
    _follow(Ledger, "record", lambda *statements: killer.after(f"record {[one.stage for one in statements]}"))
    _follow(_RecordedLake, "put", lambda uri, *_: killer.after(f"put {uri}"))
    _follow(_RecordedLake, "copy", lambda _source, uri: killer.after(f"copy {uri}"))
    _follow(_RecordedLake, "delete_many", lambda *named: killer.after(f"delete_many {named}"))


def _follow(kind: type, name: str, then: Callable[..., None]) -> None:
    does = getattr(kind, name)

    def followed(self: Any, *arguments: Any, **named: Any) -> Any:
        answer = does(self, *arguments, **named)
        then(*arguments)
        return answer

    setattr(kind, name, followed)


class KillAfterEffectsPlugin(AirflowPlugin):  # type: ignore[misc]  # Airflow carries no types
    """What Airflow finds."""

    name = "kill_after_effects"
    listeners = [KillAfterEffects()]  # noqa: RUF012

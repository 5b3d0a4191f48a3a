"""An Airflow plugin for a copy of the project: kills a task's worker after each of its effects, once for each.

Put into the copy's ``plugins/``. Nothing is killed before ``var/kills`` exists; every kill leaves a file there. After a
merge the whole worker goes, with the process that watches the task and would have told Airflow of its end.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

_TASK = ("dag_id", "run_id", "task_id", "map_index")


class KillAfterEffects:
    """Begins as a task does, in its own process."""

    @hookimpl
    def on_task_instance_running(self, previous_state: Any, task_instance: Any) -> None:
        """Watch what the task is about to do."""
        kills = Path(os.environ["SLIPWAY_VAR"]) / "kills"
        if kills.is_dir():
            _watch(kills, " ".join(str(getattr(task_instance, part)) for part in _TASK))


def _watch(kills: Path, task: str) -> None:
    from slipway.identity.digest import sha256_bytes  # the checkout's, as it lies there when the task runs
    from slipway.ledger.effects import Intents
    from slipway.ledger.store import Ledger

    def kill_once(what: str) -> None:
        file = kills / sha256_bytes(f"{task} {what}".encode())
        if not file.exists():
            file.write_text(f"{task} {what}\n")
            if what.startswith("merge "):
                os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)

    done, record = Intents.done, Ledger.record

    def done_and_killed(self: Any, effect: Any, outcome: str = "") -> None:
        done(self, effect, outcome)
        kill_once(f"{effect.kind} {effect.key}")

    def recorded_and_killed(self: Any, *statements: Any) -> None:
        record(self, *statements)
        kill_once(f"record {' '.join(one.stage for one in statements)}")

    Intents.done, Ledger.record = done_and_killed, recorded_and_killed  # type: ignore[method-assign]


class KillAfterEffectsPlugin(AirflowPlugin):  # type: ignore[misc]  # Airflow carries no types
    """What Airflow finds."""

    name = "kill_after_effects"
    listeners = [KillAfterEffects()]  # noqa: RUF012

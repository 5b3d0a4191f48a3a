"""A worker that the kernel kills: it runs a line's tasks in a process of its own, and SIGKILL comes at any moment."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.connections import LakeConnection, LedgerConnection, MlflowConnection
from slipway.lake.client import Lake
from slipway.ledger.database import database
from slipway.ledger.effects import Effects, Intents, Origin
from slipway.stages.recorded import recorded_lake

LAKE = ("create_branch", "put", "copy", "delete_many", "commit", "merge", "tag", "delete_branch")


class Fuse:
    """Kills its process right after moment number ``at``, from 1; ``None``: never. ``log`` has every moment's name."""

    def __init__(self, at: int | None, log: Path) -> None:
        self._at, self._log, self._passed = at, log, 0

    def passed(self, moment: str) -> None:
        with self._log.open("a") as stream:
            stream.write(f"{moment}\n")
        self._passed += 1
        if self._passed == self._at:
            os.kill(os.getpid(), signal.SIGKILL)

    def after(self, function: Callable[..., Any], moment: str) -> Callable[..., Any]:
        def done(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            self.passed(moment)
            return result

        return done

    def watch(self, target: Any, *effects: str) -> Any:
        """``target``, after whose methods ``effects`` the process may be killed."""
        return _Watched(self, target, frozenset(effects))


class _Watched:
    def __init__(self, fuse: Fuse, target: Any, effects: frozenset[str]) -> None:
        self._fuse, self._target, self._effects = fuse, target, effects

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        return self._fuse.after(found, name) if name in self._effects else found


@dataclass
class Worker:
    """What a line's tasks find; made anew in every process. ``folder`` outlives them, as Airflow's database does."""

    folder: Path
    fuse: Fuse
    lake_server: LakeConnection
    ledger_place: LedgerConnection
    mlflow: MlflowConnection

    def __post_init__(self) -> None:
        # A connection of the parent's must not be shared.
        database.cache_clear()
        self._effects = Effects(self.ledger_place)
        for step, moment in (("_open", "intents written"), ("_end", "intents closed")):
            setattr(self._effects, step, self.fuse.after(getattr(self._effects, step), moment))

    def task(self, origin: Origin, function: Callable[[Intents, Lake], Any]) -> Any:
        """Run a task and keep what it returns; one that ended is not run again."""
        kept = self.folder / f"{origin.task_id}.json"
        if kept.exists():
            return json.loads(kept.read_text())
        with self._effects.intents(origin) as intents:
            watched = self.fuse.watch(Lake(self.lake_server), *LAKE)
            result = function(intents, recorded_lake(watched, intents, self.folder / "locks"))
        kept.write_text(json.dumps(result))
        return result


@dataclass(frozen=True)
class Services:
    """Where the real services are that a line is run against."""

    lake: LakeConnection
    ledger: LedgerConnection
    mlflow: MlflowConnection

    def run(self, line: Callable[[Worker], Any], folder: Path, die_after: int | None = None) -> tuple[int, list[str]]:
        """Run a line in a process of its own; its exit code (-9: killed) and its moments."""
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / "moments"
        log.write_text("")

        def work() -> None:
            line(Worker(folder, Fuse(die_after, log), self.lake, self.ledger, self.mlflow))

        # Forked, so that it has its imports done.
        process = multiprocessing.get_context("fork").Process(target=work)
        process.start()
        process.join(120)
        assert process.exitcode is not None, f"{folder.name}: the worker hangs after {log.read_text()}"
        return process.exitcode, log.read_text().split("\n")[:-1]


@contextmanager
def settled(place: LedgerConnection) -> Iterator[Effects]:
    """The ledger's effects, for the parent to look at between two workers."""
    yield Effects(place)
    database(place).engine.dispose()

"""What stands before a branch moves: the action files on the source, their webhooks, and a record of each run."""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import BoundedSemaphore
from typing import Any

from slipway.embedded.lakefs_server import actions, webhooks
from slipway.embedded.lakefs_server.actions import Action, Event, Hook
from slipway.embedded.lakefs_server.history import Commit
from slipway.embedded.lakefs_server.refusal import RefusalError, missing
from slipway.embedded.lakefs_server.repository import Repository
from slipway.embedded.lakefs_server.staging import View

_TRIES = 10
_MAX_FILES = 50
_RUN_SECONDS = 120.0
_KEPT_RUNS = 1000
_AT_ONCE = 16
"""Each holds one of the server's 40 threads, and webhooks ask the server in their turn."""


@dataclass(frozen=True)
class Proposal:
    """A commit that ``branch`` is to move to; its record is written, the branch has not moved."""

    commit: Commit
    event: Event
    branch: str
    source: View
    """Where the action files are read."""
    source_ref: str


@dataclass(frozen=True)
class Gate:
    """Runs the webhooks of commits and merges; ``hosts`` are those they may go to besides this machine."""

    hosts: Set[str] = frozenset()
    places: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(_AT_ONCE), repr=False)

    def advance(
        self,
        repository: Repository,
        propose: Callable[[sqlite3.Connection, int | None], Proposal],
        move: Callable[[sqlite3.Connection, Proposal], None],
    ) -> Commit:
        """Propose a commit, run its webhooks without holding the repository, and move the branch.

        ``propose`` is called again after the webhooks, with the creation time it chose: an equal commit id shows that
        nothing has changed meanwhile. 412 if a webhook fails or an action file is wrong, 429 if the branch or its
        source keep changing or too many runs are under way.
        """
        passed: Commit | None = None
        for _ in range(_TRIES):
            with repository.database.writing() as connection:
                proposal = propose(connection, passed.created if passed else None)
                free = passed is not None and passed.id == proposal.commit.id
                concerned, wrong = ([], "") if free else _concerned(repository, proposal)
                if not (concerned or wrong):
                    move(connection, proposal)
                    return proposal.commit
            if not self.places.acquire(blocking=False):
                raise RefusalError(429, f"{_AT_ONCE} runs of hooks are under way; try again")
            try:
                self._require(repository, _Run(repository.id, proposal), concerned, wrong)
            finally:
                self.places.release()
            passed = proposal.commit
        raise RefusalError(429, f"{proposal.branch} or its source changed during {_TRIES} runs of hooks; try again")

    def _require(self, repository: Repository, run: _Run, concerned: list[Action], wrong: str) -> None:
        until = time.monotonic() + _RUN_SECONDS
        try:
            if wrong:
                raise run.aborted(wrong)
            for action in concerned:
                for hook in action.hooks:
                    run.note(action, hook, self.hosts, until - time.monotonic())
            run.status = "completed"
        finally:
            with repository.database.writing() as connection:
                run.store(connection)


def _concerned(repository: Repository, proposal: Proposal) -> tuple[list[Action], str]:
    """The actions before this proposal, or what is wrong with an action file, whatever it is about."""
    try:
        found = list(_actions(repository, proposal.source))
    except ValueError as error:
        return [], str(error)
    return [action for action in found if action.concerns(proposal.event, proposal.branch)], ""


def _actions(repository: Repository, source: View) -> Iterator[Action]:
    for number, stat in enumerate(source.walk(actions.FOLDER)):
        file = stat.path.decode()
        if not file.endswith((".yaml", ".yml")):
            continue
        if number >= _MAX_FILES or stat.entry.size > actions.MAX_FILE_BYTES:
            raise ValueError(f"{file}: expected {_MAX_FILES} files of {actions.MAX_FILE_BYTES} bytes at most")
        yield actions.parse(file, repository.blobs.path(stat.entry.sha256).read_bytes())


LOOPBACK_ONLY = Gate()


class _Run:
    """The webhooks of one proposal, as they go on."""

    def __init__(self, repository_id: str, proposal: Proposal) -> None:
        self._repository_id = repository_id
        self._proposal = proposal
        self.status = "failed"
        # ids sort by time, the newest first, as listings show them
        self.id = f"{10**19 - time.time_ns():020d}{uuid.uuid4().hex[:8]}"
        self._begin = _now()
        self._hooks: list[dict[str, Any]] = []

    def note(self, action: Action, hook: Hook, hosts: Set[str], seconds: float) -> None:
        """Send one webhook; 412 if it fails or no time is left."""
        begin = _now()
        good, output = webhooks.send(hook.properties, self._event(action, hook), hosts, max(seconds, 0.001))
        self._hooks.append({
            "hook_run_id": f"{len(self._hooks):04d}", "action": action.name, "hook_id": hook.id, "start_time": begin,
            "end_time": _now(), "status": "completed" if good else "failed", "output": output,
        })  # fmt: skip
        if not good:
            raise self.aborted(f"hook '{hook.id}' of action '{action.name}' failed: {output[:500]}")

    def aborted(self, reason: str) -> RefusalError:
        """The protocol's answer when an event may not go on."""
        return RefusalError(412, f"{self._proposal.event} hook aborted, run id '{self.id}': {reason}")

    def store(self, connection: sqlite3.Connection) -> None:
        """Keep what happened, and the latest runs only."""
        proposal = self._proposal
        record = {
            "run_id": self.id, "branch": proposal.branch, "start_time": self._begin, "end_time": _now(),
            "event_type": proposal.event, "status": self.status,
            "commit_id": proposal.commit.id, "hooks": self._hooks,
        }  # fmt: skip
        connection.execute("INSERT INTO runs VALUES (?, ?)", (self.id, json.dumps(record)))
        oldest = "DELETE FROM runs WHERE id NOT IN (SELECT id FROM runs ORDER BY id LIMIT ?)"
        connection.execute(oldest, (_KEPT_RUNS,))

    def _event(self, action: Action, hook: Hook) -> dict[str, object]:
        proposal, commit = self._proposal, self._proposal.commit
        event: dict[str, object] = {
            "event_type": proposal.event, "event_time": _now(), "action_name": action.name, "hook_id": hook.id,
            "repository_id": self._repository_id, "branch_id": proposal.branch, "source_ref": proposal.source_ref,
            "commit_message": commit.message, "committer": commit.committer, "commit_metadata": dict(commit.metadata),
        }  # fmt: skip
        # lakeFS names no commit before a commit, only before a merge
        return event | ({"commit_id": commit.id} if proposal.event == "pre-merge" else {})


def _now() -> str:
    return datetime.now(UTC).isoformat()


def runs(connection: sqlite3.Connection, after: str) -> Iterator[dict[str, Any]]:
    """The runs after the id ``after``, newest first."""
    for (record,) in connection.execute("SELECT record FROM runs WHERE id > ? ORDER BY id", (after,)):
        yield json.loads(record)


def run_of(connection: sqlite3.Connection, run_id: str) -> dict[str, Any]:
    """One run; 404 if there is none."""
    row = connection.execute("SELECT record FROM runs WHERE id = ?", (run_id,)).fetchone()
    if row is None:
        raise missing("run", run_id)
    found: dict[str, Any] = json.loads(row[0])
    return found

"""Effects: what a run is about to change outside itself, written down before it does.

Every effect has a key that follows from the work alone, so that a retry names it as the killed try did. Its record is
``open`` from before the effect is begun until its step ended; a kill leaves it open, which says no more than that
nobody knows. The operations behind adopt what is there, so the retry does the effect again and its end closes the
record. What no retry closes, ``slipway.stages.reconcile`` does, by looking.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import sqlalchemy as sa

from slipway.connections import LedgerConnection
from slipway.errors import SlipwayError, UnavailableError
from slipway.ledger.database import Insert, database
from slipway.ledger.schema import EFFECT

Kind = Literal[
    "create_branch", "upload", "commit", "merge", "tag", "delete_branch", "run_job", "start_pod", "register",
    "set_alias", "publish",
]  # fmt: skip
State = Literal["open", "done", "found", "abandoned"]
"""``done``: its step ended well; ``found``: somebody looked, and it had happened; ``abandoned``: it had not."""

_ERROR_LENGTH = 1000

_DONE = sa.update(EFFECT).where(EFFECT.c.kind == sa.bindparam("of_kind"), EFFECT.c.key == sa.bindparam("of_key"))
_REST = sa.update(EFFECT).where(
    EFFECT.c.state == "open",
    *(EFFECT.c[name] == sa.bindparam(f"of_{name}") for name in ("dag_id", "run_id", "task_id")),
)


@dataclass(frozen=True)
class Effect:
    """One change outside the run."""

    kind: Kind
    key: str
    """Follows from the work alone: the same in every try, and different for other work. At most 1024 characters."""
    target: str
    """What it changes: a URI of the lake, a model, a channel."""
    details: Mapping[str, str] = field(default_factory=dict, hash=False, compare=False)
    """By what one sees, looking at the target, whether it happened."""


@dataclass(frozen=True)
class Origin:
    """Whose effect it is: the task of a DAG's run, of one pipeline's stage."""

    pipeline: str
    stage: str
    dag_id: str
    run_id: str
    task_id: str


@dataclass(frozen=True)
class EffectRecord:
    """An effect as the ledger has it."""

    effect: Effect
    origin: Origin
    state: State
    attempts: int
    """Tries since it was last closed."""
    opened: dt.datetime
    """By the first of them; with a time zone, as ``closed``."""
    closed: dt.datetime | None
    outcome: str
    """What came out: a commit, a version."""
    error: str
    """What the last try that was not killed died of."""


class Effects:
    """The effects of one ledger.

    Every method raises ``UnavailableError`` when its database does not answer; nothing was written then.
    """

    def __init__(self, connection: LedgerConnection) -> None:
        self.connection = connection
        self._database = database(connection)

    @contextmanager
    def intents(self, origin: Origin, *, first: bool = False) -> Iterator[Intents]:
        """The intents of one try of a step; what it opens is closed when the block ends well.

        So is what an earlier try of the same task left open, since a step that comes to its end has adopted all that.
        On the ``first`` try there is no such thing, and a step that changes nothing does not ask the ledger. When the
        block raises, what is not known to be done stays open, with the error.
        """
        made = Intents(self, origin, ended=first)
        try:
            yield made
        except Exception as error:
            # The step's own error must arrive, whatever the ledger says.
            with suppress(UnavailableError):
                self._end(made, _told(error))
            raise
        self._end(made, None)

    def find(self, effect: Effect) -> EffectRecord | None:
        """What the ledger has about an effect; a caller that trusts ``done`` may skip it."""
        query = sa.select(EFFECT).where(EFFECT.c.kind == effect.kind, EFFECT.c.key == effect.key)
        return next(iter(self._read(query)), None)

    def records(
        self, *, state: State | None = None, pipeline: str | None = None, limit: int = 1000
    ) -> list[EffectRecord]:
        """The records in a state and of a pipeline, the newest ``limit`` of them, oldest first."""
        query = sa.select(EFFECT).order_by(EFFECT.c.opened.desc(), EFFECT.c.key).limit(limit)
        if state is not None:
            query = query.where(EFFECT.c.state == state)
        if pipeline is not None:
            query = query.where(EFFECT.c.pipeline == pipeline)
        return self._read(query)[::-1]

    def settle(self, record: EffectRecord, state: Literal["found", "abandoned"], outcome: str) -> bool:
        """Close a record by what was found; false, and nothing is changed, when it was opened or closed meanwhile."""
        same = (EFFECT.c.kind == record.effect.kind, EFFECT.c.key == record.effect.key, EFFECT.c.state == "open")
        unmoved = (EFFECT.c.attempts == record.attempts, EFFECT.c.run_id == record.origin.run_id)
        closing = sa.update(EFFECT).where(*same, *unmoved).values(state=state, outcome=outcome, closed=_now())
        with self._database.transaction() as connection:
            return bool(connection.execute(closing).rowcount)

    def _open(self, origin: Origin, effects: Sequence[Effect]) -> None:
        """Open records in one statement; an open one stays the record it is, tried once more."""
        common = {**vars(origin), "state": "open", "attempts": 1, "opened": _now(), "outcome": "", "error": ""}
        rows = [
            {**{name: getattr(effect, name) for name in ("kind", "key", "target")}, "details": dict(effect.details)}
            # Two steps that open the same effects in different orders would wait for each other.
            for effect in sorted(effects, key=_name)
        ]
        with self._database.transaction() as connection:
            connection.execute(self._opening, [row | common for row in rows])

    @cached_property
    def _opening(self) -> Insert:
        insertion = self._database.insert(EFFECT)
        new, open_ = insertion.excluded, EFFECT.c.state == "open"
        replaced = ("target", "details", *Origin.__dataclass_fields__, "state", "outcome")
        return insertion.on_conflict_do_update(
            index_elements=["kind", "key"],
            set_={
                **{name: new[name] for name in replaced},
                "attempts": sa.case((open_, EFFECT.c.attempts + 1), else_=1),
                "opened": sa.case((open_, EFFECT.c.opened), else_=new.opened),
                "error": sa.case((open_, EFFECT.c.error), else_=""),
                "closed": None,
            },
        )

    def _end(self, intents: Intents, error: str | None) -> None:
        """Close what is done; leave the rest open with ``error``, or close it too when there was none."""
        if intents.ended:
            return
        rows = [
            {"of_kind": effect.kind, "of_key": effect.key, "outcome": outcome}
            for effect, outcome in sorted(intents.outcomes.items(), key=lambda item: _name(item[0]))
        ]
        closed = {"state": "done", "closed": _now(), "error": ""}
        own = {f"of_{name}": getattr(intents.origin, name) for name in ("dag_id", "run_id", "task_id")}
        with self._database.transaction() as connection:
            if rows:
                connection.execute(_DONE, [row | closed for row in rows])
            connection.execute(_REST, own | (closed if error is None else {"error": error}))

    def _read(self, query: sa.Select[Any]) -> list[EffectRecord]:
        with self._database.transaction() as connection:
            return [_record(dict(row)) for row in connection.execute(query).mappings()]


class Intents:
    """What one try of a step sets out to do; made by ``Effects.intents``."""

    def __init__(self, effects: Effects, origin: Origin, *, ended: bool) -> None:
        self.origin = origin
        self.ended = ended
        """Whether the ledger has nothing open of this task."""
        self.ledger = effects.connection
        self.outcomes: dict[Effect, str] = {}
        """Effects known to be done, and what came out."""
        self._effects = effects
        self._opened: set[Effect] = set()

    def open(self, *effects: Effect) -> None:
        """Say, before they are begun, that these effects are about to be made: one round trip, however many.

        Raises:
            UnavailableError: the ledger does not answer; they must not be begun.
        """
        if unsaid := [effect for effect in dict.fromkeys(effects) if effect not in self._opened]:
            self.ended = False
            self._effects._open(self.origin, unsaid)
            self._opened.update(unsaid)

    def done(self, effect: Effect, outcome: str = "") -> None:
        """Remember what came out; it is written when the step ends, with all that ended by then."""
        self.outcomes[effect] = outcome

    @contextmanager
    def intended(self, effect: Effect) -> Iterator[None]:
        """Open an effect, and call it done when the block ends well. Raises as ``open`` does."""
        self.open(effect)
        yield
        self.done(effect)


def _name(effect: Effect) -> tuple[str, str]:
    return effect.kind, effect.key


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _told(error: Exception) -> str:
    # Only our own messages are known to hold no password.
    said = f"{type(error).__name__}: {error}" if isinstance(error, SlipwayError) else type(error).__name__
    return said[:_ERROR_LENGTH]


def _record(row: Mapping[str, Any]) -> EffectRecord:
    return EffectRecord(
        effect=Effect(row["kind"], row["key"], row["target"], row["details"]),
        origin=Origin(**{name: row[name] for name in Origin.__dataclass_fields__}),
        opened=_aware(row["opened"]),
        closed=_aware(row["closed"]) if row["closed"] else None,
        **{name: row[name] for name in ("state", "attempts", "outcome", "error")},
    )


def _aware(moment: dt.datetime) -> dt.datetime:
    # SQLite forgets the zone.
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)

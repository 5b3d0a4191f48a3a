"""What the ledger answers an audit: the tables' rows for what is listed, verified statements for what is shown."""

from __future__ import annotations

import datetime as dt
import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from slipway.ledger.audit.answers import Affected, FoundCommit, Making, Partition, Reign, Released, Step, artifacts_of
from slipway.ledger.rows import artifacts
from slipway.ledger.schema import COMMIT, LINK, OUTPUT, RELEASE, STATEMENT, VERSION
from slipway.ledger.store import Ledger

_FEW = 5
_COMPLETED = "completed"
_STAGES = ("ingest", "features", "train", "export", "compile", "register")
"""Those that name commits of the lake, in the order of the line."""


class LedgerRecords:
    """``slipway.ledger.audit.ask.Records`` over a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.database = ledger.database

    def pipelines(self) -> tuple[str, ...]:
        """Those with registered versions."""
        return tuple(self._column(sa.select(VERSION.c.pipeline).distinct().order_by(VERSION.c.pipeline)))

    def versions(self, pipeline: str) -> tuple[str, ...]:
        """Registered ones, oldest first."""
        of = sa.select(VERSION.c.version).where(VERSION.c.pipeline == pipeline)
        return tuple(dict.fromkeys(self._column(of.order_by(VERSION.c.statement))))

    def making(self, pipeline: str, version: str) -> Making | None:
        """How a version was made; ``None`` without a statement of it. Raises EvidenceError where one is no proof."""
        with self.database.transaction() as connection:
            registered = connection.execute(_of_version(VERSION, pipeline, version)).all()
            if not registered:
                return None
            number, trained = registered[-1].statement, registered[-1].trained
            works = connection.execute(sa.select(LINK.c.parent).where(LINK.c.child == number)).scalars().all()
            releases = [row.statement for row in connection.execute(_of_version(RELEASE, pipeline, version))]
            partitions = _partitions(connection, trained)
        found = self._ledger.numbered([number, *works, *releases])
        steps = {key: Step(key, one.statement, one.disputed) for key, one in found.items()}
        by_stage: dict[str, list[Step]] = {}
        for key in works:
            by_stage.setdefault(steps[key].statement.stage, []).append(steps[key])
        return Making(
            registered=steps[number],
            trained=next(iter(by_stage.get("train", ())), None),
            exported=next(iter(by_stage.get("export", ())), None),
            compiled={step.statement.subject: step for step in by_stage.get("compile", ())},
            partitions=partitions,
            artifacts=artifacts_of(artifacts(steps[number].statement)),
            releases=tuple(steps[key] for key in releases),
        )

    def releases(self, pipeline: str) -> tuple[Released, ...]:
        """Every release that ended, oldest first."""
        of = sa.select(RELEASE).where(RELEASE.c.pipeline == pipeline).order_by(RELEASE.c.finished, RELEASE.c.statement)
        with self.database.transaction() as connection:
            return tuple(_released(row) for row in connection.execute(of))

    def reigns(self, pipeline: str, version: str | None = None) -> tuple[Reign, ...]:
        """When versions, or one of them, were champion, as completed releases say, oldest first."""
        mine, later = RELEASE.alias(), RELEASE.alias()
        next_one = sa.select(sa.func.min(later.c.finished)).where(
            later.c.pipeline == pipeline, later.c.outcome == _COMPLETED, later.c.finished > mine.c.finished
        )
        of = sa.select(mine.c.version, mine.c.release, mine.c.finished, next_one.scalar_subquery()).where(
            mine.c.pipeline == pipeline, mine.c.outcome == _COMPLETED
        )
        if version is not None:
            of = of.where(mine.c.version == version)
        with self.database.transaction() as connection:
            rows = connection.execute(of.order_by(mine.c.finished, mine.c.statement)).tuples().all()
        return tuple(
            Reign(number, release, _utc(since), until and _utc(until)) for number, release, since, until in rows
        )

    def commits(self, prefix: str) -> tuple[FoundCommit, ...]:
        """The commits whose id begins so, two at most."""
        # As a range, since the index serves that under every collation of hex digits.
        begins = sa.and_(COMMIT.c.commit >= prefix, COMMIT.c.commit < f"{prefix}g")
        with self.database.transaction() as connection:
            ends = connection.execute(
                sa.select(sa.func.min(COMMIT.c.commit), sa.func.max(COMMIT.c.commit)).where(begins)
            )
            found = [one for one in dict.fromkeys(ends.one()) if one is not None]
            return tuple(_found(connection, one) for one in found)

    def made_of(self, commit: str) -> tuple[Affected, ...]:
        """Every version that was made of a commit (in full), oldest first."""
        with self.database.transaction() as connection:
            result = connection.execute(_AFFECTED, _made_of(connection, commit))
            with _nothing_collected():
                return _versions(result.tuples().all())

    def _column(self, query: sa.Select[tuple[str]]) -> list[str]:
        with self.database.transaction() as connection:
            return [*connection.execute(query).scalars()]


def _versions(rows: Iterable[Any]) -> tuple[Affected, ...]:
    """Of rows of ``_AFFECTED``."""
    found: dict[int, Affected] = {}
    for number, pipeline, version, registered, files, release, outcome, ended in rows:
        releases = () if release is None else (Released(version, release, outcome, _utc(ended)),)
        earlier = found[number].releases if number in found else ()
        found[number] = Affected(pipeline, version, _utc(registered), files, earlier + releases)
    return tuple(found.values())


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Of 10,000 rows none is garbage, and to look for some takes longer than to read them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _made_of(connection: sa.Connection, commit: str) -> dict[str, Any]:
    """What ``_AFFECTED`` is asked by: a commit, and what it had to do with data and works.

    Asked for beforehand: the database would guess that a commit of thousands of trainings has thousands of these, too.
    """

    def named(*stages: str) -> sa.Select[tuple[int]]:
        return sa.select(COMMIT.c.statement).where(COMMIT.c.commit == commit, COMMIT.c.stage.in_(stages))

    data = _twins(connection, [*connection.execute(named("ingest", "features")).scalars()])
    works = connection.execute(named("export", "compile").where(COMMIT.c.role == "model")).scalars().all()
    line = connection.execute(_LINE, {"data": data}).scalars().all() if data else []
    return {"of_commit": commit, "line": line, "works": works}


def _line() -> sa.Select[tuple[int]]:
    """Statements of data, and all that was made of it short of trainings.

    Followed on from a training, links would lead through every export, compilation and release of thousands of
    versions.
    """
    trained = sa.select(VERSION.c.trained).where(VERSION.c.trained.is_not(None))
    line = sa.select(STATEMENT.c.id).where(STATEMENT.c.id.in_(_some("data"))).cte("line", recursive=True)
    line = line.union(
        sa.select(LINK.c.child).join(line, LINK.c.parent == line.c.id).where(LINK.c.child.not_in(trained))
    )
    return sa.select(line.c.id)


def _affected() -> sa.Select[Any]:
    """Versions that were made of a commit, a row for each release of theirs.

    Data leads to trainings by links, and a training to its versions by their rows. What a training was pinned to, its
    versions name too. A work of which the commit holds the outputs is a material of its versions' registrations.
    """

    def named(stage: str) -> sa.Select[tuple[int]]:
        return sa.select(COMMIT.c.statement).where(
            COMMIT.c.commit == sa.bindparam("of_commit"), COMMIT.c.stage == stage
        )

    registered = sa.select(VERSION.c.statement)
    these = sa.union_all(
        registered.join(LINK, LINK.c.child == VERSION.c.trained).where(LINK.c.parent.in_(_some("line"))),
        registered.where(VERSION.c.trained.in_(named("train"))),
        registered.where(VERSION.c.statement.in_(named("register"))),
        registered.join(LINK, LINK.c.child == VERSION.c.statement).where(LINK.c.parent.in_(_some("works"))),
    )
    # Artifacts stay text: reading 10,000 of them as JSON takes as long as finding them.
    files = sa.type_coerce(sa.cast(VERSION.c.artifacts, sa.Text), sa.Text)
    ended = sa.and_(RELEASE.c.pipeline == VERSION.c.pipeline, RELEASE.c.version == VERSION.c.version)
    return (
        sa.select(
            VERSION.c.statement, VERSION.c.pipeline, VERSION.c.version, VERSION.c.finished, files,
            RELEASE.c.release, RELEASE.c.outcome, RELEASE.c.finished.label("ended"),
        )
        .join(RELEASE, ended, isouter=True)
        .where(VERSION.c.statement.in_(these))
        .order_by(VERSION.c.statement, RELEASE.c.statement)
    )  # fmt: skip


def _some(name: str) -> sa.BindParameter[Any]:
    return sa.bindparam(name, expanding=True)


# Made once: to build them takes as long as a question about a model.
_LINE, _AFFECTED = _line(), _affected()


def _twins(connection: sa.Connection, made: Sequence[int]) -> Sequence[int]:
    """Statements that made data, and those of their pipelines that made the same bytes elsewhere.

    Whoever read those bytes is linked to the maker that was the newest then.
    """
    own, same, maker, other = OUTPUT.alias(), OUTPUT.alias(), STATEMENT.alias(), STATEMENT.alias()
    of = (
        sa.select(same.c.statement)
        .select_from(own)
        .join(same, sa.and_(same.c.sha256 == own.c.sha256, same.c.name == own.c.name))
        .join(maker, maker.c.id == own.c.statement)
        .join(other, sa.and_(other.c.id == same.c.statement, other.c.pipeline == maker.c.pipeline))
        .where(own.c.statement.in_(made))
    )
    return connection.execute(of.distinct()).scalars().all()


def _of_version(table: sa.Table, pipeline: str, version: str) -> sa.Select[tuple[object, ...]]:
    return sa.select(table).where(table.c.pipeline == pipeline, table.c.version == version).order_by(table.c.statement)


def _found(connection: sa.Connection, commit: str) -> FoundCommit:
    here = COMMIT.c.commit == commit
    # One row of each stage is enough: thousands of trainings may be pinned to one commit.
    of = [sa.select(COMMIT).where(here, COMMIT.c.stage == stage).limit(1).subquery() for stage in _STAGES]
    named = connection.execute(sa.union_all(*(sa.select(one.c.repository, one.c.role) for one in of))).all()
    about = sa.select(STATEMENT.c.stage, STATEMENT.c.subject).join(COMMIT, COMMIT.c.statement == STATEMENT.c.id)
    few = connection.execute(about.where(here).order_by(STATEMENT.c.id).limit(_FEW))
    subjects = tuple(dict.fromkeys(f"{row.stage} {row.subject}" for row in few))
    return FoundCommit(commit, named[0].repository, tuple(dict.fromkeys(row.role for row in named)), subjects)


def _partitions(connection: sa.Connection, trained: int | None) -> tuple[Partition, ...]:
    """The days that a training read, in order."""
    read = sa.select(LINK.c.parent).where(LINK.c.child == trained)
    of_days = sa.select(STATEMENT.c.id, STATEMENT.c.subject).where(
        STATEMENT.c.id.in_(read), STATEMENT.c.stage == "features"
    )
    days = dict(connection.execute(of_days.order_by(STATEMENT.c.subject)).tuples().all())
    sources: dict[int, list[int]] = {}
    for child, parent in connection.execute(sa.select(LINK).where(LINK.c.child.in_(read))).tuples():
        sources.setdefault(child, []).append(parent)
    # By number, and in two halves: behind a subquery, or for all of them, the database reads every output there is.
    features, raw = (
        _grouped(connection.execute(sa.select(OUTPUT).where(OUTPUT.c.statement.in_(made))).tuples())
        for made in ([*days], sorted({source for some in sources.values() for source in some}))
    )
    places = sa.select(COMMIT.c.statement, COMMIT.c.role, COMMIT.c.repository + "@" + COMMIT.c.commit)
    commits = _grouped(connection.execute(places.where(COMMIT.c.statement.in_([*days]))).tuples())
    return tuple(
        Partition(
            day=day,
            features=features.get(number, {}),
            raw={name: sha for source in sources.get(number, ()) for name, sha in raw.get(source, {}).items()},
            commits=commits.get(number, {}),
        )
        for number, day in days.items()
    )


def _grouped(rows: Iterable[tuple[int, str, str]]) -> dict[int, dict[str, str]]:
    found: dict[int, dict[str, str]] = {}
    for number, name, value in rows:
        found.setdefault(number, {})[name] = value
    return found


def _released(row: sa.Row[tuple[object, ...]]) -> Released:
    return Released(row.version, row.release, row.outcome, _utc(row.finished))


def _utc(moment: dt.datetime) -> dt.datetime:
    """SQLite forgets the zone, which is UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)

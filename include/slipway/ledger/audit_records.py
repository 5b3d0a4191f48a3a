"""What the ledger answers an audit: the tables' rows for what is listed, verified statements for what is shown."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from slipway.ledger.audit_answers import Affected, Artifact, FoundCommit, Making, Partition, Released, Step
from slipway.ledger.rows import artifacts
from slipway.ledger.schema import COMMIT, LINK, OUTPUT, RELEASE, STATEMENT, VERSION
from slipway.ledger.store import Ledger

_FEW = 5
_DATA_ROLES = ("raw", "main")
"""Of statements that made data; a commit of another role was read, or made, by what is beyond them."""


class LedgerRecords:
    """``slipway.ledger.audit.Records`` over a ledger."""

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
            artifacts=_artifacts(artifacts(steps[number].statement)),
            releases=tuple(steps[key] for key in releases),
        )

    def releases(self, pipeline: str) -> tuple[Released, ...]:
        """Every release that ended, oldest first."""
        of = sa.select(RELEASE).where(RELEASE.c.pipeline == pipeline).order_by(RELEASE.c.finished, RELEASE.c.statement)
        with self.database.transaction() as connection:
            return tuple(_released(row) for row in connection.execute(of))

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
        ended = sa.and_(RELEASE.c.pipeline == VERSION.c.pipeline, RELEASE.c.version == VERSION.c.version)
        of = (
            sa.select(
                VERSION.c.statement, VERSION.c.pipeline, VERSION.c.version, VERSION.c.finished, VERSION.c.artifacts,
                RELEASE.c.release, RELEASE.c.outcome, RELEASE.c.finished.label("ended"),
            )
            .join(RELEASE, ended, isouter=True)
            .where(VERSION.c.statement.in_(_made_of(commit)))
            .order_by(VERSION.c.statement, RELEASE.c.statement)
        )  # fmt: skip
        with self.database.transaction() as connection:
            rows = connection.execute(of).all()
        return tuple(_affected([*same]) for _, same in groupby(rows, key=lambda row: row[0]))

    def _column(self, query: sa.Select[tuple[str]]) -> list[str]:
        with self.database.transaction() as connection:
            return [*connection.execute(query).scalars()]


def _made_of(commit: str) -> sa.CompoundSelect[tuple[int]]:
    """The statements of registration of what was made of a commit.

    Data leads to trainings by links, and a training to its versions by their rows: followed on from a training, links
    would lead through every export, compilation and release of thousands of versions. A work that names the commit is
    a material of its versions' registrations.
    """
    named = sa.select(COMMIT.c.statement, COMMIT.c.role).where(COMMIT.c.commit == commit).cte("named")
    seeds = sa.select(named.c.statement)
    line = _twins(named).cte("line", recursive=True)
    trained = sa.select(VERSION.c.trained).where(VERSION.c.trained.is_not(None))
    line = line.union(
        sa.select(LINK.c.child).join(line, LINK.c.parent == line.c.statement).where(line.c.statement.not_in(trained))
    )
    return sa.union(
        sa.select(VERSION.c.statement).where(VERSION.c.statement.in_(seeds)),
        sa.select(VERSION.c.statement).where(VERSION.c.trained.in_(seeds)),
        sa.select(VERSION.c.statement).where(VERSION.c.trained.in_(sa.select(line.c.statement))),
        sa.select(VERSION.c.statement).join(LINK, LINK.c.child == VERSION.c.statement).where(LINK.c.parent.in_(seeds)),
    )


def _twins(named: sa.CTE) -> sa.Select[tuple[int]]:
    """The statements that made data in the commit, and those that made the same bytes elsewhere.

    Whoever read those bytes is linked to the maker that was the newest then.
    """
    own, same, maker, other = OUTPUT.alias(), OUTPUT.alias(), STATEMENT.alias(), STATEMENT.alias()
    return (
        sa.select(same.c.statement)
        .select_from(named)
        .join(own, own.c.statement == named.c.statement)
        .join(same, sa.and_(same.c.sha256 == own.c.sha256, same.c.name == own.c.name))
        .join(maker, maker.c.id == own.c.statement)
        .join(other, sa.and_(other.c.id == same.c.statement, other.c.pipeline == maker.c.pipeline))
        .where(named.c.role.in_(_DATA_ROLES))
    )


def _of_version(table: sa.Table, pipeline: str, version: str) -> sa.Select[tuple[object, ...]]:
    return sa.select(table).where(table.c.pipeline == pipeline, table.c.version == version).order_by(table.c.statement)


def _found(connection: sa.Connection, commit: str) -> FoundCommit:
    here = COMMIT.c.commit == commit
    places = sa.select(COMMIT.c.repository, COMMIT.c.role).distinct().where(here)
    named = connection.execute(places.order_by(COMMIT.c.role)).all()
    about = sa.select(STATEMENT.c.stage, STATEMENT.c.subject).join(COMMIT, COMMIT.c.statement == STATEMENT.c.id)
    few = connection.execute(about.where(here).order_by(STATEMENT.c.id).limit(_FEW))
    subjects = tuple(dict.fromkeys(f"{row.stage} {row.subject}" for row in few))
    return FoundCommit(commit, named[0].repository, tuple(dict.fromkeys(row.role for row in named)), subjects)


def _partitions(connection: sa.Connection, trained: int | None) -> tuple[Partition, ...]:
    """The days that a training read, in order."""
    read = sa.select(LINK.c.parent).where(LINK.c.child == trained)
    made = sa.select(STATEMENT.c.id, STATEMENT.c.subject).where(STATEMENT.c.id.in_(read))
    days = dict(
        connection.execute(made.where(STATEMENT.c.stage == "features").order_by(STATEMENT.c.subject)).tuples().all()
    )
    sources: dict[int, list[int]] = {}
    for child, parent in connection.execute(sa.select(LINK).where(LINK.c.child.in_(read))).tuples():
        sources.setdefault(child, []).append(parent)
    behind = sa.union(read, sa.select(LINK.c.parent).where(LINK.c.child.in_(read)))
    outputs = _grouped(connection.execute(sa.select(OUTPUT).where(OUTPUT.c.statement.in_(behind))).tuples())
    places = sa.select(COMMIT.c.statement, COMMIT.c.role, COMMIT.c.repository + "@" + COMMIT.c.commit)
    commits = _grouped(connection.execute(places.where(COMMIT.c.statement.in_(read))).tuples())
    return tuple(
        Partition(
            day=day,
            features=outputs.get(number, {}),
            raw={name: sha for source in sources.get(number, ()) for name, sha in outputs.get(source, {}).items()},
            commits=commits.get(number, {}),
        )
        for number, day in days.items()
    )


def _grouped(rows: Iterable[tuple[int, str, str]]) -> dict[int, dict[str, str]]:
    found: dict[int, dict[str, str]] = {}
    for number, name, value in rows:
        found.setdefault(number, {})[name] = value
    return found


def _affected(rows: Sequence[Any]) -> Affected:
    _, pipeline, version, registered, made, *_ = rows[0]
    releases = tuple(Released(version, row[5], row[6], _utc(row[7])) for row in rows if row[5] is not None)
    return Affected(pipeline, version, _utc(registered), _artifacts(made), releases)


def _artifacts(made: Mapping[str, str]) -> tuple[Artifact, ...]:
    return tuple(Artifact(path.split("/", 2)[1], path, sha) for path, sha in made.items())


def _released(row: sa.Row[tuple[object, ...]]) -> Released:
    return Released(row.version, row.release, row.outcome, _utc(row.finished))


def _utc(moment: dt.datetime) -> dt.datetime:
    """SQLite forgets the zone, which is UTC."""
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)

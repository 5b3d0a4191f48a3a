"""The gateway's memory: devices, what they reported, and what that adds up to."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError

from slipway.errors import UnavailableError, UnknownDeviceError
from slipway.gateway import history
from slipway.gateway.aggregate import Key, Running, Totals, add_events, versions_in
from slipway.gateway.history import Page
from slipway.gateway.tables import BATCHES, DEVICES, EVIDENCE, METADATA
from slipway.gateway.wire import Batch, Enrolment

Enrolled = Literal["new", "known", "other_key"]

_TOTALS = tuple(field.name for field in fields(Totals))


@dataclass(frozen=True)
class Receipt:
    """How many events of a batch were counted, and the device's last counted sequence number."""

    accepted: int
    sequence: int
    repeated: bool = False


class Store:
    """Devices and evidence in a SQL database; thread-safe, one transaction per call.

    ``url`` is a SQLAlchemy URL. Raises UnavailableError when the database does not answer.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        self._engine = _engine(url)
        self._clock = clock
        try:
            METADATA.create_all(self._engine)
        except OperationalError as error:
            raise UnavailableError(f"the gateway's database does not answer: {error.orig}; is it running?") from error

    def close(self) -> None:
        self._engine.dispose()

    def check(self) -> None:
        """Ask the database for nothing, to see that it answers."""
        with self._engine.connect() as connection:
            connection.execute(sa.select(sa.literal(1)))

    def enrol(self, enrolment: Enrolment) -> Enrolled:
        """Remember a device. A known device's first key stays; its target and pipeline may change with that key."""
        place = {"target": enrolment.target, "architecture": enrolment.architecture, "pipeline": enrolment.pipeline}
        row = {
            "device_id": enrolment.device_id,
            "public_key": enrolment.public_key,
            "enrolled_at": self._clock(),
            "release": "",
            "sequence": -1,
            **place,
        }
        with self._engine.begin() as connection:
            added = connection.execute(self._insert(DEVICES).values(row).on_conflict_do_nothing()).rowcount
            if added == 1:
                return "new"
            key = connection.execute(
                sa.select(DEVICES.c.public_key).where(DEVICES.c.device_id == enrolment.device_id)
            ).scalar_one()
            if key != enrolment.public_key:
                return "other_key"
            connection.execute(DEVICES.update().where(DEVICES.c.device_id == enrolment.device_id).values(place))
        return "known"

    def public_key(self, device_id: str) -> str | None:
        """The device's key in hex, ``None`` for a device that never enrolled."""
        with self._engine.connect() as connection:
            found = connection.execute(sa.select(DEVICES.c.public_key).where(DEVICES.c.device_id == device_id))
            key: str | None = found.scalar_one_or_none()
        return key

    def accept(self, batch: Batch, body: str) -> Receipt:
        """Count a verified batch once: a sequence number that is not above the device's last one changes nothing.

        Raises ``LookupError`` for a device that never enrolled.
        """
        with self._engine.begin() as connection:
            device = self._locked(connection, batch.device_id)
            if batch.sequence <= device["sequence"]:
                return Receipt(0, device["sequence"], repeated=True)
            now = self._clock()
            known = _known(connection, batch)
            change = add_events(Running(device["version"], device["release"], device["target"]), known, batch.events)
            shared = {"device_id": batch.device_id, "pipeline": device["pipeline"]}
            connection.execute(BATCHES.insert().values(sequence=batch.sequence, received_at=now, body=body, **shared))
            self._upsert(connection, shared, change.totals, now)
            history.record(connection, device, batch, now)
            connection.execute(
                DEVICES.update()
                .where(DEVICES.c.device_id == batch.device_id)
                .values(sequence=batch.sequence, last_seen=now, **asdict(change.running))
            )
        return Receipt(len(batch.events), batch.sequence)

    def devices(self, pipeline: str) -> list[dict[str, Any]]:
        """The pipeline's devices, ordered by id: ``device_id``, ``target``, ``version``, ``last_seen``."""
        columns = (DEVICES.c.device_id, DEVICES.c.target, DEVICES.c.version, DEVICES.c.last_seen)
        asked = sa.select(*columns).where(DEVICES.c.pipeline == pipeline).order_by(DEVICES.c.device_id)
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(asked).mappings()]

    def remove(self, pipeline: str, device_id: str) -> bool:
        """Forget a device and what it reported, so that its id may enrol with another key; whether it was there.

        Which version it ran when stays known. A batch that is being counted meanwhile counts as before the removal,
        or finds the device gone.
        """
        with self._engine.begin() as connection:
            try:
                device = self._locked(connection, device_id)
            except LookupError:
                return False
            if device["pipeline"] != pipeline:
                return False
            history.end(connection, device, self._clock())
            for table in (DEVICES, EVIDENCE, BATCHES):
                connection.execute(table.delete().where(table.c.device_id == device_id))
        return True

    def running(self, device_id: str, at: float) -> dict[str, Any] | None:
        """What the device ran ``at`` (Unix seconds), as a stretch of ``Page``; ``None`` if that is not known.

        Raises UnknownDeviceError for a device that never enrolled.
        """
        with self._engine.connect() as connection:
            self._require_known(connection, device_id)
            return history.running(connection, device_id, at)

    def history(self, device_id: str, after: int = -1) -> Page:
        """Everything the device is known to have run, oldest first, behind the change number ``after``.

        Raises UnknownDeviceError for a device that never enrolled.
        """
        with self._engine.connect() as connection:
            self._require_known(connection, device_id)
            return history.of_device(connection, device_id, after)

    def devices_of(self, pipeline: str, versions: Sequence[str], after: tuple[str, int] | None = None) -> Page:
        """Every stretch of any device, removed ones too, on one of the versions; behind ``after``, if it is given."""
        with self._engine.connect() as connection:
            return history.of_versions(connection, pipeline, versions, after)

    def evidence(self, pipeline: str, release: str, version: str) -> list[dict[str, Any]]:
        """What each device reported about that version within that release, ordered by device id."""
        table = EVIDENCE.c
        asked = (
            sa.select(EVIDENCE)
            .where(table.pipeline == pipeline, table.release == release, table.version == version)
            .order_by(table.device_id)
        )
        with self._engine.connect() as connection:
            return [_reported(row) for row in connection.execute(asked).mappings()]

    def _require_known(self, connection: sa.Connection, device_id: str) -> None:
        if not history.known(connection, device_id):
            raise UnknownDeviceError(f"expected a device that enrolled, got {device_id!r}; see slipway fleet")

    def _locked(self, connection: sa.Connection, device_id: str) -> sa.RowMapping:
        # The device's row is the lock under which its totals change; SQLite's write lock does the same for all.
        found = connection.execute(sa.select(DEVICES).where(DEVICES.c.device_id == device_id).with_for_update())
        device = found.mappings().one_or_none()
        if device is None:
            raise LookupError(device_id)
        return device

    def _upsert(
        self, connection: sa.Connection, shared: Mapping[str, str], totals: Mapping[Key, Totals], now: float
    ) -> None:
        if not totals:
            return
        rows = [
            {**shared, "release": release, "version": version, "updated_at": now, **asdict(total)}
            for (release, version), total in totals.items()
        ]
        statement = self._insert(EVIDENCE)
        fresh = {name: statement.excluded[name] for name in (*_TOTALS, "updated_at")}
        connection.execute(
            statement.on_conflict_do_update(index_elements=list(EVIDENCE.primary_key.columns), set_=fresh), rows
        )

    def _insert(self, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
        return postgresql.insert(table) if self._engine.dialect.name == "postgresql" else sqlite.insert(table)


def _known(connection: sa.Connection, batch: Batch) -> dict[Key, Totals]:
    versions = sorted(versions_in(batch.events))
    if not versions:
        return {}
    asked = (
        sa.select(EVIDENCE)
        .where(EVIDENCE.c.device_id == batch.device_id, EVIDENCE.c.version.in_(versions))
        .order_by(EVIDENCE.c.updated_at)
    )
    return {
        (row["release"], row["version"]): Totals(**{name: row[name] for name in _TOTALS})
        for row in connection.execute(asked).mappings()
    }


def _reported(row: sa.RowMapping) -> dict[str, Any]:
    names = ("device_id", "version", "outcome", "reason", "golden_agreement", "inferences", "errors", "predictions")
    p95 = row["p95_weighted"] / row["answered"] if row["answered"] else None
    return {**{name: row[name] for name in names}, "p95_ms": p95}


def _engine(url: str) -> sa.Engine:
    if not url.startswith("sqlite"):
        return sa.create_engine(url, pool_size=8, max_overflow=8, pool_pre_ping=True)
    engine = sa.create_engine(url, connect_args={"timeout": 30})
    sa.event.listen(engine, "connect", _configure_sqlite)
    sa.event.listen(engine, "begin", _begin_immediate)
    return engine


def _configure_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def _begin_immediate(connection: sa.Connection) -> None:
    # A reader that becomes a writer half way fails at once in SQLite; taking the write lock first makes it wait.
    connection.exec_driver_sql("BEGIN IMMEDIATE")

"""Which version every device ran when: rows that are only ever added, in the transaction of the batch that says so.

What lies between two rows of a device is a stretch, ``since`` <= time < ``until``. A removed device's rows stay, since
what drove a car must be answerable after the car has left the fleet; its last row says that nothing is known from then
on. The rows hold ids, versions and times, and nothing about a person.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from slipway.gateway.changes import Brought, changes, moment
from slipway.gateway.tables import DEVICES, RUNNING
from slipway.gateway.wire import Batch

PAGE = 1000
"""The most stretches in one answer."""
_ROW = RUNNING.c
_TOLD = (
    *("device_id", "pipeline", "version", "release", "since"),
    *("until", "clock", "received_at", "removed", "seen"),
)


@dataclass(frozen=True)
class Page:
    """Stretches, and the ``(device id, change)`` of the last one if there are more after it.

    A stretch has ``device_id``, ``pipeline``, ``version`` (``None``: it ran nothing), ``release`` (``None``: not
    known), ``since`` and ``until`` (Unix seconds; ``None``: it still runs), ``clock`` (whose ``since`` is, see
    ``changes.moment``), ``received_at``, ``removed`` (the device's removal ended it) and ``seen`` (when the gateway
    last heard of the device; what still runs is known up to then).
    """

    stretches: tuple[dict[str, Any], ...]
    next: tuple[str, int] | None


def record(connection: sa.Connection, device: sa.RowMapping, batch: Batch, now: float) -> None:
    """Add what the batch changes; ``device`` is its locked row, as it was before the batch."""
    last = _last(connection, device)
    before = None
    if last is not None and not last["removed"] and last["pipeline"] == device["pipeline"]:
        before = Brought(last["version"], last["release"])
    since, clock = moment(batch.sent_at, now, last["since"] if last else 0.0)
    told = {"since": since, "clock": clock, "received_at": now, "removed": False}
    _append(connection, device, last["change"] + 1 if last else 0, changes(before, batch.events), told)


def end(connection: sa.Connection, device: sa.RowMapping, now: float) -> None:
    """Say that nothing is known of a device from now on; ``device`` is its locked row."""
    last = _last(connection, device)
    if last is not None:
        told = {"since": max(now, last["since"]), "clock": "gateway", "received_at": now, "removed": True}
        _append(connection, device, last["change"] + 1, [Brought(None, None)], told)


def known(connection: sa.Connection, device_id: str) -> bool:
    """Whether the device is enrolled or ever said what it ran."""
    enrolled = sa.select(DEVICES.c.device_id).where(DEVICES.c.device_id == device_id)
    reported = sa.select(_ROW.device_id).where(_ROW.device_id == device_id)
    return bool(connection.execute(sa.select(sa.or_(enrolled.exists(), reported.exists()))).scalar_one())


def running(connection: sa.Connection, device_id: str, at: float) -> dict[str, Any] | None:
    """The stretch that holds ``at`` (Unix seconds); ``None`` if nothing is known of that time."""
    rows = sa.select(RUNNING).where(_ROW.device_id == device_id, _ROW.since <= at)
    last = rows.order_by(_ROW.since.desc(), _ROW.change.desc()).limit(1)
    found = connection.execute(_stretches(last)).one_or_none()
    return None if found is None else _said(found)


def of_device(connection: sa.Connection, device_id: str, after: int) -> Page:
    """A device's stretches, oldest first, behind the change ``after`` (-1: from the first)."""
    return _page(connection, _ROW.device_id == device_id, _ROW.change > after)


def of_versions(
    connection: sa.Connection, pipeline: str, versions: Sequence[str], after: tuple[str, int] | None
) -> Page:
    """Every stretch of every device on one of the versions, ordered by device and time."""
    asked = [_ROW.pipeline == pipeline, _one_of(connection, _ROW.version, versions)]
    if after is not None:
        asked.append(sa.tuple_(_ROW.device_id, _ROW.change) > sa.tuple_(*map(sa.literal, after)))
    return _page(connection, *asked)


def _last(connection: sa.Connection, device: sa.RowMapping) -> dict[str, Any] | None:
    """The device's last row; the first is made of what was known of it before there was a history."""
    asked = sa.select(RUNNING).where(_ROW.device_id == device["device_id"]).order_by(_ROW.change.desc()).limit(1)
    found = connection.execute(asked).mappings().one_or_none()
    if found is not None:
        return dict(found)
    if device["version"] is None or device["last_seen"] is None:
        return None
    seen = device["last_seen"]
    told = {"since": seen, "clock": "gateway", "received_at": seen, "removed": False}
    brought = Brought(device["version"], device["release"] or None)
    return _append(connection, device, 0, [brought], told)[0]


def _append(
    connection: sa.Connection, device: sa.RowMapping, first: int, brought: Sequence[Brought], told: Mapping[str, Any]
) -> list[dict[str, Any]]:
    whose = {"device_id": device["device_id"], "pipeline": device["pipeline"]}
    rows = [{**whose, **told, "change": first + number, **asdict(each)} for number, each in enumerate(brought)]
    if rows:
        connection.execute(RUNNING.insert(), rows)
    return rows


def _page(connection: sa.Connection, *asked: sa.ColumnElement[bool]) -> Page:
    rows = sa.select(RUNNING).where(~_ROW.removed, *asked).order_by(_ROW.device_id, _ROW.change).limit(PAGE + 1)
    found = connection.execute(_stretches(rows)).all()
    last = found[PAGE - 1] if len(found) > PAGE else None
    return Page(tuple(map(_said, found[:PAGE])), (last.device_id, last.change) if last else None)


def _stretches(rows: sa.Select[Any]) -> sa.Select[Any]:
    # Only the page's own rows are joined: thousands may match where a thousand are answered.
    row, later = rows.subquery().c, RUNNING.alias("later").c
    next_row = sa.and_(later.device_id == row.device_id, later.change == row.change + 1)
    told = (row.device_id, row.pipeline, row.version, row.release, row.since, later.since.label("until"))
    removed = sa.func.coalesce(later.removed, sa.false()).label("removed")
    how = (row.clock, row.received_at, removed, DEVICES.c.last_seen.label("seen"), row.change)
    asked = sa.select(*told, *how).select_from(row.device_id.table).where(~row.removed)
    return (
        asked.outerjoin(later.device_id.table, next_row)
        .outerjoin(DEVICES, DEVICES.c.device_id == row.device_id)
        .order_by(row.device_id, row.change)
    )


def _said(row: sa.Row[Any]) -> dict[str, Any]:
    return dict(zip(_TOLD, row, strict=False))


def _one_of(connection: sa.Connection, column: sa.ColumnElement[str], values: Sequence[str]) -> sa.ColumnElement[bool]:
    # One parameter however many values, and one whose length PostgreSQL sees: it takes the index for a few, and does
    # not plan with each of ten thousand.
    if connection.dialect.name == "postgresql":
        quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
        text = sa.literal("{" + ",".join(f'"{value}"' for value in quoted) + "}", sa.Text)
        return column.in_(sa.select(sa.func.unnest(sa.cast(text, postgresql.ARRAY(sa.Text)))))
    listed = sa.func.json_each(sa.literal(json.dumps(list(values)), sa.Text)).table_valued("value")
    return column.in_(sa.select(listed.c.value))

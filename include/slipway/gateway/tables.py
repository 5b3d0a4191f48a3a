"""The gateway's tables; PostgreSQL in production, SQLite in tests."""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()

DEVICES = sa.Table(
    "gateway_device",
    METADATA,
    sa.Column("device_id", sa.String(128), primary_key=True),
    sa.Column("public_key", sa.String(64), nullable=False),
    sa.Column("pipeline", sa.String(64), nullable=False),
    sa.Column("target", sa.String(200), nullable=False),
    sa.Column("architecture", sa.String(200), nullable=False),
    sa.Column("enrolled_at", sa.Double, nullable=False),
    sa.Column("version", sa.String(200)),
    sa.Column("release", sa.String(200), nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("last_seen", sa.Double),
    sa.Index("gateway_device_of_pipeline", "pipeline", "device_id"),
)

EVIDENCE = sa.Table(
    "gateway_evidence",
    METADATA,
    sa.Column("device_id", sa.String(128), primary_key=True),
    sa.Column("release", sa.String(200), primary_key=True),
    sa.Column("version", sa.String(200), primary_key=True),
    sa.Column("pipeline", sa.String(64), nullable=False),
    sa.Column("outcome", sa.String(20)),
    sa.Column("reason", sa.Text),
    sa.Column("golden_agreement", sa.Double),
    sa.Column("inferences", sa.BigInteger, nullable=False),
    sa.Column("errors", sa.BigInteger, nullable=False),
    sa.Column("answered", sa.BigInteger, nullable=False),
    sa.Column("p95_weighted", sa.Double, nullable=False),
    sa.Column("max_ms", sa.Double, nullable=False),
    sa.Column("predictions", sa.JSON, nullable=False),
    sa.Column("updated_at", sa.Double, nullable=False),
    sa.Index("gateway_evidence_of_release", "pipeline", "release", "version", "device_id"),
)

BATCHES = sa.Table(
    "gateway_batch",
    METADATA,
    sa.Column("device_id", sa.String(128), primary_key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("pipeline", sa.String(64), nullable=False),
    sa.Column("received_at", sa.Double, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Index("gateway_batch_by_time", "pipeline", "received_at"),
)
"""Every accepted batch as it was signed, for what the totals do not answer (drift over time)."""

RUNNING = sa.Table(
    "gateway_running",
    METADATA,
    sa.Column("device_id", sa.String(128), primary_key=True),
    sa.Column("change", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("since", sa.Double, nullable=False),
    sa.Column("clock", sa.String(10), nullable=False),
    sa.Column("received_at", sa.Double, nullable=False),
    sa.Column("pipeline", sa.String(64), nullable=False),
    sa.Column("version", sa.String(200)),
    sa.Column("release", sa.String(200)),
    sa.Column("removed", sa.Boolean, nullable=False),
    sa.Index("gateway_running_by_time", "device_id", "since", "change"),
    sa.Index("gateway_running_of_version", "pipeline", "version", "device_id", "change"),
)
"""What each device ran from ``since`` on: a row per change, counted by ``change`` from 0 without gaps, never changed.

``removed`` says that the device left the fleet and nothing is known of it until its next row.
"""

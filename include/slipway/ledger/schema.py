"""The ledger's tables: PostgreSQL in the stack, SQLite in unit tests.

A statement is kept as its signed envelope, and beside it what questions are asked by: its outputs, the statements its
materials came from, and the commits it read and made; of a registration and a release also what whole fleets are asked
by. Those rows say nothing the envelope does not.
"""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()
# SQLite counts rowids in INTEGER columns alone.
_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")

STATEMENT = sa.Table(
    "slipway_statement",
    METADATA,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("outputs_digest", sa.String(64), nullable=False),
    sa.Column("stable_digest", sa.String(64), nullable=False),
    sa.Column("pipeline", sa.String(64), nullable=False),
    sa.Column("stage", sa.String(64), nullable=False),
    sa.Column("subject", sa.String(200), nullable=False),
    sa.Column("finished", sa.DateTime(timezone=True), nullable=False),
    sa.Column("disputed", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("envelope", sa.Text, nullable=False),
    sa.UniqueConstraint("fingerprint", "outputs_digest", name="slipway_statement_once"),
    sa.Index("slipway_statement_subject", "pipeline", "stage", "subject", "id"),
)
"""``disputed``, for people who look: another statement has the same fingerprint and another digest over its stable
outputs, and this one was not kept in a settlement. Stages ask the signed statements."""

OUTPUT = sa.Table(
    "slipway_output",
    METADATA,
    sa.Column("statement", _ID, sa.ForeignKey("slipway_statement.id"), primary_key=True),
    sa.Column("name", sa.String(1024), primary_key=True),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Index("slipway_output_digest", "sha256", "statement"),
)

LINK = sa.Table(
    "slipway_link",
    METADATA,
    sa.Column("child", _ID, sa.ForeignKey("slipway_statement.id"), primary_key=True),
    sa.Column("parent", _ID, sa.ForeignKey("slipway_statement.id"), primary_key=True),
    sa.Index("slipway_link_parent", "parent", "child"),
)
"""A material of ``child`` is an output of ``parent``."""

COMMIT = sa.Table(
    "slipway_commit",
    METADATA,
    sa.Column("statement", _ID, sa.ForeignKey("slipway_statement.id"), primary_key=True),
    sa.Column("role", sa.String(32), primary_key=True),
    sa.Column("repository", sa.String(64), nullable=False),
    sa.Column("commit", sa.String(64), nullable=False),
    sa.Column("stage", sa.String(64), nullable=False),
    sa.Index("slipway_commit_id", "commit", "stage", "role", "statement"),
)
"""A commit of lakeFS that a statement of a stage read or made, by its role in the statement.

``stage`` is the statement's: thousands of trainings are pinned to one commit, and each makes statements of many stages.
"""

EFFECT = sa.Table(
    "slipway_effect",
    METADATA,
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("key", sa.String(1024), primary_key=True),
    sa.Column("target", sa.String(1024), nullable=False),
    sa.Column("details", sa.JSON, nullable=False),
    sa.Column("pipeline", sa.String(64), nullable=False),
    sa.Column("stage", sa.String(64), nullable=False),
    sa.Column("dag_id", sa.String(250), nullable=False),
    sa.Column("run_id", sa.String(250), nullable=False),
    sa.Column("task_id", sa.String(250), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("opened", sa.DateTime(timezone=True), nullable=False),
    sa.Column("closed", sa.DateTime(timezone=True)),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
)
sa.Index(
    "slipway_effect_open",
    EFFECT.c.dag_id,
    EFFECT.c.run_id,
    postgresql_where=EFFECT.c.state == "open",
    sqlite_where=EFFECT.c.state == "open",
)
"""What a run is about to change outside itself; see ``slipway.ledger.effects``."""

VERSION = sa.Table(
    "slipway_version",
    METADATA,
    sa.Column("statement", _ID, sa.ForeignKey("slipway_statement.id"), primary_key=True),
    sa.Column("pipeline", sa.String(64), nullable=False),
    sa.Column("version", sa.String(200), nullable=False),
    sa.Column("trained", _ID, sa.ForeignKey("slipway_statement.id")),
    sa.Column("finished", sa.DateTime(timezone=True), nullable=False),
    sa.Column("artifacts", sa.JSON, nullable=False),
    sa.Index("slipway_version_number", "pipeline", "version"),
    sa.Index("slipway_version_trained", "trained"),
)
"""A registered model version: the statement of its training, and path in the version -> sha256 of its artifacts.

One commit may have made 10,000 versions; without these they would be looked for among millions of links and outputs.
"""

RELEASE = sa.Table(
    "slipway_release",
    METADATA,
    sa.Column("statement", _ID, sa.ForeignKey("slipway_statement.id"), primary_key=True),
    sa.Column("pipeline", sa.String(64), nullable=False),
    sa.Column("version", sa.String(200), nullable=False),
    sa.Column("release", sa.String(200), nullable=False),
    sa.Column("outcome", sa.String(32), nullable=False),
    sa.Column("finished", sa.DateTime(timezone=True), nullable=False),
    sa.Index("slipway_release_version", "pipeline", "version"),
    sa.Index("slipway_release_time", "pipeline", "outcome", "finished"),
)
"""A release that ended: ``completed`` or ``rolled_back``."""

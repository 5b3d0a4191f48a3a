"""A statement: this stage, made of these ingredients, turned these materials into these outputs; who ran it, on what.

A value only. ``slipway.ledger.intoto`` spells it as an in-toto Statement, ``slipway.ledger.store`` keeps it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from slipway.identity.canonical import canonical_json
from slipway.identity.digest import sha256_bytes
from slipway.identity.fingerprint import Ingredients


@dataclass(frozen=True)
class Execution:
    """Who ran a stage, from which checkout, on what, and when; none of it decides the outputs."""

    dag_id: str
    run_id: str
    run_url: str
    started: dt.datetime
    finished: dt.datetime
    """Both with a time zone."""
    git_commit: str | None = None
    """40 hex digits; ``None`` where the project is no git checkout."""
    git_dirty: bool | None = None
    """Whether tracked files differed from that commit."""
    machine: Mapping[str, str] = field(default_factory=dict)
    """What it ran on, by part: ``cpu``, ``gpu``, ``driver``."""


@dataclass(frozen=True)
class Statement:
    """What one stage did, once."""

    ingredients: Ingredients
    subject: str
    """What the stage was about: a partition, a model version, a release."""
    outputs: Mapping[str, str]
    """Output name -> sha256: objects of the lake by path, files of a version or of the channel by theirs."""
    materials: Mapping[str, str]
    """The same of what was read. A material of one statement is an output of another, down to the feed."""
    execution: Execution
    varying: Collection[str] = ()
    """Outputs that differ from one making to the next and dispute nothing: measured times, an engine whose kernels were
    chosen by timing them."""
    commits: Mapping[str, str] = field(default_factory=dict)
    """Role (``raw``, ``branch``, ``main``, ``data``, ``model``) -> ``repository@commit`` of lakeFS."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What people want to read beside it: metrics, phases, reasons."""

    @property
    def stage(self) -> str:
        return self.ingredients.stage

    @property
    def pipeline(self) -> str:
        return self.ingredients.pipeline

    @property
    def fingerprint(self) -> str:
        return self.ingredients.fingerprint()

    @property
    def outputs_digest(self) -> str:
        """One digest over all outputs."""
        return sha256_bytes(canonical_json(dict(self.outputs)))

    @property
    def stable_digest(self) -> str:
        """One digest over the outputs that must be the same whenever the stage is run again."""
        return sha256_bytes(canonical_json({n: sha for n, sha in self.outputs.items() if n not in self.varying}))

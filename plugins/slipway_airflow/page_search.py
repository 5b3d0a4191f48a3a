"""What somebody who typed a few characters may have meant."""

from __future__ import annotations

import re
from collections.abc import Sequence

from slipway.ledger.audit.records import LedgerRecords
from slipway.ledger.inspection import SHORTEST_PREFIX, Inspection
from slipway.ledger.pages.links import Links
from slipway.pipeline.spec import Pipeline

_HEX = re.compile(rf"[0-9a-f]{{{SHORTEST_PREFIX},64}}")


def meant(asked: str, pipelines: Sequence[Pipeline], ledger: Inspection, links: Links) -> list[tuple[str, str]]:
    """Statements and commits whose ids begin so, and versions of that number, of these pipelines: text and address."""
    found = []
    if _HEX.fullmatch(asked):
        names, repositories = {one.name for one in pipelines}, {one.repository for one in pipelines}
        found += [
            (f"{one.stage} of {one.subject}", links.statement(one.fingerprint))
            for one in ledger.begins(asked)
            if one.pipeline in names
        ]
        found += [
            (f"commit {one.commit} of {one.repository}", links.commit(one.commit))
            for one in LedgerRecords(ledger.ledger).commits(asked)
            if one.repository in repositories
        ]
    for pipeline in pipelines:
        number = asked.removeprefix(pipeline.name).lstrip(" ,/:@").removeprefix("version ")
        if number and ledger.about(pipeline.name, "register", [number]):
            found.append((f"version {number} of {pipeline.name}", links.version(pipeline.name, number)))
    return found

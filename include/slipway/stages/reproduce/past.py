"""What made a version: its statements by stage, from the ledger, and where what they name is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from slipway.errors import EvidenceError, LakeNotFoundError, UnrecordedError
from slipway.identity.digest import sha256_bytes
from slipway.lake.client import Lake
from slipway.lake.uri import LakeUri
from slipway.ledger.statement import Statement
from slipway.ledger.store import Ledger
from slipway.stages.landing import INGEST
from slipway.stages.landing import STAGE as FEATURES
from slipway.stages.pod_work import MODEL
from slipway.stages.register import STAGE as REGISTER
from slipway.stages.works import COMPILE, EXPORT, TRAIN


@dataclass(frozen=True)
class Past:
    """The statements a version was made by."""

    registered: Statement
    ingested: Mapping[str, Statement]
    """By day; likewise ``features``."""
    features: Mapping[str, Statement]
    works: Mapping[str, Statement]
    """By work: ``train``, ``export``, and each target that was built."""

    @property
    def pipeline(self) -> str:
        return self.registered.pipeline

    @property
    def version(self) -> str:
        return self.registered.subject

    def place(self, statement: Statement, name: str) -> LakeUri:
        """Where an output is kept: at the commit from which the next stage read it."""
        if statement.stage == INGEST:
            return _at(self.features[statement.subject].commits["raw"], name)
        if statement.stage == FEATURES:
            return _at(self.works[TRAIN].commits["data"], name)
        return _at(statement.commits[MODEL], name)

    def makers(self, statement: Statement) -> list[Statement]:
        """The statements among whose outputs are a statement's materials."""
        if statement.stage == FEATURES:
            return [self.ingested[statement.subject]] if statement.subject in self.ingested else []
        if statement.stage == TRAIN:
            return list(self.features.values())
        return [self.works[TRAIN], self.works[EXPORT]]


def past_of(ledger: Ledger, pipeline: str, version: str) -> Past:
    """The statements of a version, each verified.

    Raises:
        UnrecordedError: the ledger has no statement of that version.
        EvidenceError: one does not verify, or the chain has a gap.
        UnavailableError: the ledger does not answer.
    """
    stated = ledger.statements(pipeline, REGISTER, version)
    if not stated:
        raise UnrecordedError(
            f"expected a statement of how version {version} of {pipeline} was made, the ledger has none; "
            "name another version, or another model"
        )
    chain = [recorded.statement for recorded in ledger.chain(stated[-1].fingerprint)]
    by_stage: dict[str, list[Statement]] = {}
    for statement in chain:
        by_stage.setdefault(statement.stage, []).append(statement)
    works = {one.stage: one for one in chain if one.stage in (TRAIN, EXPORT)}
    works |= {
        str(one.ingredients.parameters["target"]): one for one in sorted(by_stage.get(COMPILE, []), key=_by_subject)
    }
    past = Past(
        registered=stated[-1],
        ingested={one.subject: one for one in sorted(by_stage.get(INGEST, []), key=_by_subject)},
        features={one.subject: one for one in sorted(by_stage.get(FEATURES, []), key=_by_subject)},
        works=works,
    )
    _require_whole(past)
    return past


@dataclass
class Shelf:
    """What is kept, read once each."""

    lake: Lake
    past: Past
    _digests: dict[LakeUri, str | None] = field(default_factory=dict)

    def digest(self, statement: Statement, name: str) -> str | None:
        """sha256 of a kept output; ``None``: it is gone."""
        place = self.past.place(statement, name)
        if place not in self._digests:
            content = self.content(statement, name)
            self._digests[place] = None if content is None else sha256_bytes(content)
        return self._digests[place]

    def content(self, statement: Statement, name: str) -> bytes | None:
        """A kept output's bytes; ``None``: it is gone."""
        try:
            return self.lake.get(self.past.place(statement, name))
        except LakeNotFoundError:
            return None

    def changed(self, statement: Statement) -> list[str]:
        """Outputs that are not kept as they were stated."""
        return [name for name, sha256 in statement.outputs.items() if self.digest(statement, name) != sha256]

    def changed_materials(self, statement: Statement) -> list[str]:
        """The same of what a statement's work reads."""
        makers = {name: one for one in self.past.makers(statement) for name in one.outputs}
        return [name for name, sha in statement.materials.items() if self.digest(makers[name], name) != sha]


def _require_whole(past: Past) -> None:
    if lacking := [work for work in (TRAIN, EXPORT) if work not in past.works]:
        raise EvidenceError(
            f"expected statements of every stage of version {past.version}, none of {', '.join(lacking)}; "
            "`slipway verify` on its release's bundle names the broken link"
        )
    for statement in (*past.features.values(), *past.works.values()):
        made = {name for one in past.makers(statement) for name in one.outputs}
        if wanted := [name for name in statement.materials if name not in made]:
            raise EvidenceError(
                f"expected a statement of what made {wanted[0]}, of which {statement.stage} of {statement.subject} is "
                "made; the ledger has none: restore its backup"
            )


def _by_subject(statement: Statement) -> str:
    return statement.subject


def _at(commit: str, path: str) -> LakeUri:
    repository, _, name = commit.partition("@")
    return LakeUri(repository, name, path)

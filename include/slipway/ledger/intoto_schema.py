"""The form of the in-toto Statements that ``slipway.ledger.intoto`` writes; anything else is refused."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

TYPE: Literal["https://in-toto.io/Statement/v1"] = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Literal["https://slsa.dev/provenance/v1"] = "https://slsa.dev/provenance/v1"
BUILD_TYPE: Literal["slipway:stage/v1"] = "slipway:stage/v1"
BUILDER: Literal["slipway:airflow/v1"] = "slipway:airflow/v1"
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")


def _moment(text: object) -> dt.datetime:
    if not isinstance(text, str) or not _RFC3339.fullmatch(text):
        raise ValueError("expected a time in UTC, as RFC 3339 writes it")
    return dt.datetime.fromisoformat(text)


_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{7,64}$")]
_Git = Annotated[str, Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]
_Time = Annotated[dt.datetime, BeforeValidator(_moment)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class _Digest(_Strict):
    sha256: _Sha256


class File(_Strict):
    """A file by name and digest: a material."""

    name: str
    digest: _Digest


class _Varying(_Strict):
    varying: Literal[True]


class Output(File):
    """An output; ``varying`` where another making may give other bytes."""

    annotations: _Varying | None = None


class _LakeDigest(_Strict):
    commit: _Commit = Field(alias="lakefsCommit")


class LakeCommit(_Strict):
    """A commit of lakeFS, by what it was to the stage."""

    name: str
    uri: str
    digest: _LakeDigest

    @property
    def repository(self) -> str:
        return self.uri.removeprefix("lakefs://").removesuffix(f"/{self.digest.commit}")

    @model_validator(mode="after")
    def _one_commit(self) -> LakeCommit:
        if not self.repository or self.uri != f"lakefs://{self.repository}/{self.digest.commit}":
            raise ValueError("expected a uri lakefs://repository/commit that names the commit of the digest")
        return self


class _GitDigest(_Strict):
    commit: _Git = Field(alias="gitCommit")


class _Annotations(_Strict):
    dirty: bool | None


class Checkout(_Strict):
    """The git commit whose checkout ran, and whether files differed from it."""

    name: Literal["git"]
    digest: _GitDigest
    annotations: _Annotations


def _kind(dependency: object) -> str:
    """A dependency is told by what its digest is one of."""
    digest = dependency.get("digest") if isinstance(dependency, dict) else None
    return next(iter(digest), "") if isinstance(digest, dict) else ""


Dependency = Annotated[
    Annotated[File, Tag("sha256")] | Annotated[LakeCommit, Tag("lakefsCommit")] | Annotated[Checkout, Tag("gitCommit")],
    Discriminator(_kind),
]


def _distinct(named: list[Any]) -> list[Any]:
    if len({(type(one), one.name) for one in named}) != len(named):
        raise ValueError("expected every name once")
    return named


class External(_Strict):
    """What was asked for."""

    stage: Annotated[str, Field(min_length=1)]
    pipeline: Annotated[str, Field(min_length=1)]
    subject: str
    parameters: dict[str, Any]


class _BuildDefinition(_Strict):
    build_type: Literal["slipway:stage/v1"] = Field(alias="buildType")
    external: External = Field(alias="externalParameters")
    internal: dict[str, Any] = Field(alias="internalParameters")
    dependencies: Annotated[list[Dependency], AfterValidator(_distinct)] = Field(alias="resolvedDependencies")


class _Builder(_Strict):
    id: Literal["slipway:airflow/v1"]


class _Metadata(_Strict):
    invocation_id: str = Field(alias="invocationId")
    started_on: _Time = Field(alias="startedOn")
    finished_on: _Time = Field(alias="finishedOn")


class _Execution(_Strict):
    dag_id: str
    run_id: str
    machine: dict[str, str]


class _RunDetails(_Strict):
    builder: _Builder
    metadata: _Metadata
    execution: _Execution = Field(alias="slipway_execution")
    details: dict[str, Any] = Field(alias="slipway_details")


class _Provenance(_Strict):
    build_definition: _BuildDefinition = Field(alias="buildDefinition")
    run_details: _RunDetails = Field(alias="runDetails")


class Document(_Strict):
    """The whole Statement."""

    type: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: Annotated[list[Output], Field(min_length=1), AfterValidator(_distinct)]
    predicate_type: Literal["https://slsa.dev/provenance/v1"] = Field(alias="predicateType")
    predicate: _Provenance

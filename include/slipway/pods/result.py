"""The result file: how a pod says what it made.

A pod uploads its outputs below one lake prefix and writes ``result.json`` there last. Success of a pod is this
file, verified against the outputs' bytes, never the pod's exit code or phase alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from slipway.errors import LakeNotFoundError, PodResultError
from slipway.identity.canonical import canonical_json
from slipway.identity.digest import sha256_bytes
from slipway.lake.uri import LakeUri

RESULT = "result.json"
CLASSES = "classes.json"
"""An export's output: the names of a model's classes, a JSON list in the order of its logits."""


class ObjectStore(Protocol):
    """The part of a lake a pod's report needs."""

    def put(self, uri: LakeUri, data: bytes, content_type: str = ...) -> None: ...

    def get(self, uri: LakeUri) -> bytes: ...


class Reading:
    """An object store that notes what is read through it, for a result's ``inputs``."""

    def __init__(self, lake: ObjectStore) -> None:
        self._lake = lake
        self.read: dict[str, str] = {}
        """Path -> sha256."""

    def get(self, uri: LakeUri) -> bytes:
        data = self._lake.get(uri)
        self.read[uri.path] = sha256_bytes(data)
        return data

    def put(self, uri: LakeUri, data: bytes, content_type: str = "application/octet-stream") -> None:
        self._lake.put(uri, data, content_type)


class Output(BaseModel):
    """One object a pod made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    size: int


class PodResult(BaseModel):
    """What a pod made, from which fingerprint, and on what."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    fingerprint: str
    status: Literal["built", "skipped"]
    reason: str | None = None
    """Why a stage was skipped."""
    run: str = ""
    """The run it was made for, by which a retry knows its own."""
    code: str = ""
    """Digest over the code that made it, as the pod's own checkout has it (``slipway.pods.entries.own_code``)."""
    inputs: dict[str, str] = {}
    """Path in the lake -> sha256 of every object the pod read."""
    outputs: dict[str, Output] = {}
    """Object name below the output prefix -> digest and size in bytes."""
    varying: list[str] = []
    """Outputs that differ from one making to the next: measured times, an engine whose kernels were chosen by time."""
    report: dict[str, Any] = {}
    environment: dict[str, Any] = {}
    hardware: str

    @model_validator(mode="after")
    def _skipped_says_why(self) -> PodResult:
        if (self.status == "skipped") != bool(self.reason):
            raise ValueError("a skipped result needs a reason, a built one has none")
        return self


def upload(lake: ObjectStore, output: LakeUri, files: Mapping[str, bytes]) -> dict[str, Output]:
    """Put files below ``output`` and return what ``PodResult.outputs`` says of them."""
    outputs = {}
    for name, data in files.items():
        lake.put(output / name, data)
        outputs[name] = Output(sha256=sha256_bytes(data), size=len(data))
    return outputs


def write_result(lake: ObjectStore, output: LakeUri, result: PodResult) -> None:
    """Write the result file; the last thing a pod does."""
    lake.put(output / RESULT, canonical_json(result.model_dump()), content_type="application/json")


def made_of(output: LakeUri) -> str:
    """The fingerprint of what lies in a pod's folder: the folder's name."""
    return output.path.rstrip("/").rsplit("/", 1)[-1]


def read_result(lake: ObjectStore, output: LakeUri, fingerprint: str) -> PodResult:
    """Read a pod's result file and verify every output it names.

    Raises:
        PodResultError: the file is missing, malformed, of another fingerprint, or an output's bytes differ.
    """
    try:
        raw = lake.get(output / RESULT)
    except LakeNotFoundError as error:
        raise PodResultError(
            f"expected the pod's report at {output / RESULT}, but there is none: the pod ended without finishing its "
            "work; read the pod's log, then clear the task, or the run from `plan` if code or settings are changed"
        ) from error
    try:
        result = PodResult.model_validate_json(raw)
    except ValidationError as error:
        raise PodResultError(f"{output / RESULT} is not a result file: {error}") from error
    if result.fingerprint != fingerprint:
        raise PodResultError(
            f"{output / RESULT} reports fingerprint {result.fingerprint[:12]}, expected {fingerprint[:12]}: "
            "it is the report of other work"
        )
    for name, expected in result.outputs.items():
        _verify(lake, output / name, expected)
    return result


def _verify(lake: ObjectStore, uri: LakeUri, expected: Output) -> None:
    try:
        data = lake.get(uri)
    except LakeNotFoundError as error:
        raise PodResultError(f"the result file names {uri}, but there is no such object") from error
    actual = sha256_bytes(data)
    if actual != expected.sha256:
        raise PodResultError(f"{uri} has sha256 {actual}, its result file says {expected.sha256}: it was changed")

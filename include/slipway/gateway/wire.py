"""What devices send, as strict types. Whatever does not fit is refused as a whole; nothing is half accepted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from slipway.pipeline.spec import Name

MAX_BODY_BYTES = 256 * 1024
MAX_QUESTION_BYTES = 4 * 1024 * 1024
MAX_VERSIONS = 10_000
NO_VERSION = "none"
_MOST = 10**9
_REASON_CHARACTERS = 500


def _storable(text: str) -> str:
    # PostgreSQL cannot store a NUL in text; a device must not be able to make the database fail.
    if "\x00" in text:
        raise ValueError("a NUL character is not allowed")
    return text


def _shortened(text: str) -> str:
    return text[:_REASON_CHARACTERS]


Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")]
Word = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_storable)]
_Asked = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
Label = Annotated[str, Field(max_length=100), AfterValidator(_storable)]
Reason = Annotated[str, AfterValidator(_storable), AfterValidator(_shortened)]
Count = Annotated[int, Field(ge=0, le=_MOST)]
Milliseconds = Annotated[float, Field(ge=0, le=_MOST)]
Share = Annotated[float, Field(ge=0, le=1)]


class Wire(BaseModel):
    """Base of everything on the wire: strict, frozen, finite numbers, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Enrolment(Wire):
    """A device introduces itself. ``public_key`` is 32 bytes of Ed25519 in hex."""

    device_id: Id
    public_key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    target: Word
    architecture: Word
    pipeline: Name


class UpdateEvent(Wire):
    """How an attempt to change to ``version`` ended; ``from`` is what the device ran before.

    ``installed`` and ``rolled_back`` (the device went back to an earlier version) mean it runs ``version`` now;
    the version ``none`` stands for running nothing.
    """

    kind: Literal["update"]
    version: Word | None
    previous: Annotated[Word | None, Field(alias="from")] = None
    outcome: Literal["installed", "refused", "failed", "rolled_back"]
    reason: Reason | None = None
    golden_agreement: Share | None = None
    release: Word | None = None

    @property
    def moved(self) -> bool:
        """Whether the device now runs ``runs``; else it runs what it ran before."""
        return self.outcome in ("installed", "rolled_back")

    @property
    def runs(self) -> str | None:
        """The version it moved to, ``None`` for nothing."""
        return None if self.version == NO_VERSION else self.version


class Latency(Wire):
    """Milliseconds of one batch's inferences; zeros when none was answered."""

    p50: Milliseconds
    p95: Milliseconds
    max: Milliseconds


class InferenceEvent(Wire):
    """Inferences on one version since the last such event: ``count`` tried, ``errors`` of them failed."""

    kind: Literal["inference"]
    version: Word
    count: Count
    errors: Count
    latency_ms: Latency
    predictions: Annotated[dict[Label, Count], Field(max_length=1000)]

    @model_validator(mode="after")
    def _adds_up(self) -> InferenceEvent:
        if self.errors > self.count:
            raise ValueError(f"errors ({self.errors}) must be part of count ({self.count})")
        if sum(self.predictions.values()) > self.count - self.errors:
            raise ValueError("more predictions than inferences that did not fail")
        return self


class StatusEvent(Wire):
    """What the device runs now; ``None`` for nothing."""

    kind: Literal["status"]
    version: Word | None
    target: Word


Event = Annotated[UpdateEvent | InferenceEvent | StatusEvent, Field(discriminator="kind")]


class Batch(Wire):
    """Events in the order they happened. ``sequence`` rises with every batch; ``sent_at`` is Unix seconds."""

    device_id: Id
    sequence: Annotated[int, Field(ge=0, lt=2**53)]
    sent_at: Annotated[float, Field(ge=0)]
    events: Annotated[tuple[Event, ...], Field(max_length=1000)]


class VersionsAsked(Wire):
    """Which devices ran one of the versions? ``after`` is the ``next`` of the answer before."""

    pipeline: Name
    versions: Annotated[tuple[_Asked, ...], Field(min_length=1, max_length=MAX_VERSIONS)]
    after: tuple[Id, Count] | None = None

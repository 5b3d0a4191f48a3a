"""What a channel says: the values behind ``<pipeline>/channel.json`` and the artifacts beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slipway.errors import ChannelError
from slipway.pipeline.spec import Name
from slipway.release.plan import in_cohort

Text = Annotated[str, Field(min_length=1, max_length=200)]


class ChannelState(BaseModel):
    """Which version each cohort of a pipeline's fleet gets; exactly the content of ``channel.json``.

    ``serial`` is given by the channel when the state is published; it rises with every change and is never used
    twice. ``percent`` of the fleet gets ``next``, the others ``current``; ``None`` means run nothing.

    ============  =======  ========  ===========
    moment        percent  current   next
    ============  =======  ========  ===========
    prepared      0        previous  version
    in a phase    1..100   previous  version
    completed     100      version   ``None``
    rolled back   0        previous  ``None``
    ============  =======  ========  ===========
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    pipeline: Name
    release: Text
    serial: Annotated[int, Field(ge=0)] = 0
    salt: Text
    percent: Annotated[int, Field(ge=0, le=100)]
    current: Text | None
    next: Text | None

    def content(self) -> bytes:
        """The bytes of ``channel.json``: one line of JSON with sorted keys."""
        return json.dumps(self.model_dump(), sort_keys=True, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def parse(cls, content: bytes) -> ChannelState:
        """The state in ``channel.json``; raises ChannelError when it is none."""
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            raise ChannelError(f"channel.json is not a channel state: {error.errors(include_url=False)}") from error

    @property
    def completed(self) -> bool:
        """Whether the release ended with its version being everybody's."""
        return self.next is None and self.percent == 100

    def says_the_same_as(self, other: ChannelState) -> bool:
        """Equal in everything but the serial."""
        return self.model_copy(update={"serial": other.serial}) == other

    def wanted(self, device_id: str) -> str | None:
        """The version this device should run."""
        if self.next is not None and in_cohort(self.salt, device_id, self.percent):
            return self.next
        return self.current


@dataclass(frozen=True)
class Artifact:
    """One file devices may download. ``custom`` is signed with it and read before the download; it must name the
    ``version`` the file belongs to."""

    content: bytes = field(repr=False)
    custom: Mapping[str, str]


@dataclass(frozen=True)
class Publication:
    """A published state, when it was published (Unix seconds) and why."""

    state: ChannelState
    published_at: float
    reason: str


class ReleaseChannel(Protocol):
    """What a release needs of the channel; ``Channel`` signs files, the simulator in the tests keeps values."""

    def publication(self, pipeline: str) -> Publication | None:
        """What is published for the pipeline now."""
        ...

    def publish(self, state: ChannelState, artifacts: Mapping[str, Artifact] = ..., reason: str = ...) -> ChannelState:
        """Make it what devices obey; returns the state with its serial."""
        ...

    def rollback(self, pipeline: str, release: str, reason: str) -> ChannelState:
        """Send every device of the pipeline back to the version before the release."""
        ...

    def read(self, path: str) -> bytes:
        """A published file's verified content."""
        ...

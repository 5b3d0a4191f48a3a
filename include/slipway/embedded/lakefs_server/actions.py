"""Action files, as lakeFS reads them: which webhooks stand before a commit or a merge."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

Event = Literal["pre-commit", "pre-merge"]
FOLDER = b"_lakefs_actions/"
MAX_FILE_BYTES = 64 * 2**10
MAX_SECONDS = 60.0
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def _seconds(text: Any) -> float:
    """Seconds of a duration as Go writes it, such as ``1m30s``."""
    parts = _DURATION.findall(str(text))
    if "".join(number + unit for number, unit in parts) != str(text) or not parts:
        raise ValueError("expected a duration such as 30s or 1m30s")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WebhookProperties(_Part):
    """Where a webhook is sent; ``timeout`` in seconds, at most a minute."""

    url: Annotated[str, Field(pattern="^https?://")]
    timeout: Annotated[float, BeforeValidator(_seconds), Field(gt=0, le=MAX_SECONDS)] = MAX_SECONDS
    query_params: Mapping[str, str | list[str]] = {}
    headers: Mapping[str, str] = {}


class Hook(_Part):
    """One webhook."""

    id: Annotated[str, Field(pattern=r"^[_a-zA-Z][-_a-zA-Z0-9]{1,255}$")]
    type: Literal["webhook"]
    description: str = ""
    properties: WebhookProperties


class _On(_Part):
    branches: list[str] = []


class Action(_Part):
    """One file of ``_lakefs_actions/``: after its hooks succeeded, in their order, the event may go on."""

    name: Annotated[str, Field(min_length=1)]
    description: str = ""
    on: Annotated[Mapping[Event, Annotated[_On, BeforeValidator(lambda value: value or {})]], Field(min_length=1)]
    hooks: Annotated[list[Hook], Field(min_length=1, max_length=20)]

    def concerns(self, event: Event, branch: str) -> bool:
        """Whether this action stands before ``event`` on ``branch``; no branch patterns: on every branch."""
        rule = self.on.get(event)
        if rule is None:
            return False
        return not rule.branches or any(fnmatchcase(branch, pattern) for pattern in rule.branches)


def parse(file: str, text: bytes) -> Action:
    """The action in a file; ValueError says what is wrong.

    What this server would not do (other events, other kinds of hooks, ``if``) is wrong too: no gate is left out
    without a word.
    """
    try:
        # every scalar as it is written: YAML 1.1 would read the key ``on`` as true
        found = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - makes strings, lists and mappings only
        found = {"name": file, **found} if isinstance(found, dict) else found
        action = Action.model_validate(found)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{file}: expected YAML: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"{file}: {'.'.join(map(str, first['loc'])) or 'its top'}: {first['msg']}") from error
    names = [hook.id for hook in action.hooks]
    if len(set(names)) < len(names):
        raise ValueError(f"{file}: hooks: expected every id once, got {names}")
    return action

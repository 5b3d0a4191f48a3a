"""``airflow_settings.yaml`` as strict, frozen values.

The format is Astro's: https://www.astronomer.io/docs/astro/cli/develop-project (``airflow_settings.yaml``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from slipway.errors import ConfigurationError


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _blank(value: Any) -> Any:
    """A key without a value, as Astro writes it, means the empty text."""
    return "" if value is None else value


def _mapping(value: Any) -> Any:
    """``conn_extra`` is a mapping or, as in Airflow's own form, a text holding one as JSON."""
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        try:
            return json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError(f"expected a mapping or JSON text, got text that is not JSON ({error})") from error
    return value


Text = Annotated[str, BeforeValidator(_blank)]


class ConnectionEntry(_Entry):
    """One connection; blank fields are empty texts."""

    conn_id: str = Field(min_length=1)
    conn_type: str = Field(min_length=1)
    conn_host: Text = ""
    conn_schema: Text = ""
    conn_login: Text = ""
    conn_password: Text = Field(default="", repr=False)
    conn_port: int | None = Field(default=None, ge=1, le=65535)
    conn_extra: Annotated[dict[str, Any], BeforeValidator(_mapping)] = Field(default_factory=dict)

    @property
    def host(self) -> str:
        """The bare host name: ``http://127.0.0.1`` is ``127.0.0.1``."""
        return self.conn_host.rpartition("//")[2].strip("/")

    @property
    def local(self) -> bool:
        """Whether the service is one the local stack runs."""
        return self.host in {"127.0.0.1", "localhost"}

    @property
    def url(self) -> str:
        """The service's base URL with its port."""
        return f"{self.conn_host.rstrip('/')}:{self.conn_port}" if self.conn_port else self.conn_host.rstrip("/")


class PoolEntry(_Entry):
    """One pool: how many of its tasks run at once."""

    pool_name: str = Field(min_length=1)
    pool_slot: int = Field(ge=0)
    pool_description: Text = ""


class VariableEntry(_Entry):
    """One variable; its value is text."""

    variable_name: str = Field(min_length=1)
    variable_value: Text = ""


class _Sections(_Entry):
    connections: Annotated[tuple[ConnectionEntry, ...], BeforeValidator(lambda value: value or ())] = ()
    pools: Annotated[tuple[PoolEntry, ...], BeforeValidator(lambda value: value or ())] = ()
    variables: Annotated[tuple[VariableEntry, ...], BeforeValidator(lambda value: value or ())] = ()

    @model_validator(mode="after")
    def _names_are_unique(self) -> _Sections:
        for names in (
            [entry.conn_id for entry in self.connections],
            [entry.pool_name for entry in self.pools],
            [entry.variable_name for entry in self.variables],
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"expected every name once, got {', '.join(twice)} more than once")
        return self


class _Document(_Entry):
    airflow: _Sections


class SettingsFile(BaseModel):
    """The parsed file and where it was read, so that messages can name it."""

    model_config = ConfigDict(frozen=True)

    path: Path
    connections: tuple[ConnectionEntry, ...]
    pools: tuple[PoolEntry, ...]
    variables: tuple[VariableEntry, ...]

    def connection(self, conn_id: str) -> ConnectionEntry:
        """The connection of that id. Raises ConfigurationError when the file has none."""
        for entry in self.connections:
            if entry.conn_id == conn_id:
                return entry
        raise ConfigurationError(f"{self.path}: expected a connection `{conn_id}`, found none; add it to the file")


def load_settings_file(path: Path) -> SettingsFile:
    """Read and check the file.

    Raises ConfigurationError naming file, key, what came and what was expected.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: expected the environment's settings, could not read it: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: expected YAML, got something else: {error}") from error
    try:
        sections = _Document.model_validate(document).airflow
    except ValidationError as error:
        problems = "; ".join(_problem(document, detail) for detail in error.errors(include_url=False))
        raise ConfigurationError(f"{path}: {problems}; correct the file and try again") from error
    return SettingsFile(path=path, **{name: getattr(sections, name) for name in _Sections.model_fields})


def _problem(document: Any, detail: Any) -> str:
    """One message; an entry is named by its id instead of its place. Passwords never appear in it."""
    node, names = document, []
    for part in detail["loc"]:
        node = node[part] if isinstance(node, (dict, list)) and _holds(node, part) else None
        names.append(_label(node) if isinstance(part, int) else str(part))
    where = ".".join(names) or "document"
    came = "" if "password" in where or isinstance(node, (dict, list)) else f", got {node!r}"
    return f"`{where}`: {detail['msg']}{came}"


def _holds(node: dict[Any, Any] | list[Any], part: Any) -> bool:
    return part in node if isinstance(node, dict) else isinstance(part, int) and part < len(node)


def _label(entry: Any) -> str:
    if isinstance(entry, dict):
        for key in ("conn_id", "pool_name", "variable_name"):
            if entry.get(key):
                return str(entry[key])
    return "entry"

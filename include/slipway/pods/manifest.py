"""A pod manifest: Kubernetes' own YAML, and the part of it that every runtime needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slipway.errors import ConfigurationError

Secrets = Mapping[str, Mapping[str, str]]
"""Secret name -> key -> value, what a cluster keeps as Secret objects."""


class _Part(BaseModel):
    # Kubernetes knows many more fields than the other runtimes use; the cluster validates those.
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class SecretKey(_Part):
    """One key of a Secret."""

    name: str
    key: str


class ValueFrom(_Part):
    """Where an environment variable's value comes from; only secrets are supported outside a cluster."""

    secret: Annotated[SecretKey, Field(alias="secretKeyRef")]


class Variable(_Part):
    """One environment variable."""

    name: str
    value: str | None = None
    value_from: Annotated[ValueFrom | None, Field(alias="valueFrom")] = None

    def resolve(self, secrets: Secrets) -> str:
        """The variable's value.

        Raises:
            ConfigurationError: it refers to a secret or key that is not there.
        """
        if self.value_from is None:
            return self.value or ""
        wanted = self.value_from.secret
        try:
            return secrets[wanted.name][wanted.key]
        except KeyError as error:
            known = sorted(f"{name}/{key}" for name, keys in secrets.items() for key in keys)
            raise ConfigurationError(
                f"variable {self.name} refers to secret {wanted.name}/{wanted.key}, which does not exist; "
                f"there are: {', '.join(known) or 'none'}"
            ) from error


class Resources(_Part):
    """Kubernetes quantities by resource name."""

    requests: Mapping[str, str | int | float] = {}
    limits: Mapping[str, str | int | float] = {}


class SecurityContext(_Part):
    """Which user and group a container's processes are."""

    user: Annotated[int | None, Field(alias="runAsUser", ge=0)] = None
    group: Annotated[int | None, Field(alias="runAsGroup", ge=0)] = None


class Container(_Part):
    """The pod's one working container."""

    name: str
    image: str
    command: Annotated[tuple[str, ...], Field(min_length=1)]
    args: tuple[str, ...] = ()
    env: tuple[Variable, ...] = ()
    resources: Resources = Resources()
    security: Annotated[SecurityContext, Field(alias="securityContext")] = SecurityContext()


class PodSpec(_Part):
    """What a pod runs and for how long, in seconds."""

    deadline: Annotated[int, Field(alias="activeDeadlineSeconds", gt=0)]
    containers: Annotated[tuple[Container, ...], Field(min_length=1, max_length=1)]
    selector: Annotated[Mapping[str, str], Field(alias="nodeSelector")] = {}
    security: Annotated[SecurityContext, Field(alias="securityContext")] = SecurityContext()


class PodManifest(_Part):
    """A manifest of kind ``Pod`` with exactly one container, named ``base``."""

    kind: Annotated[str, Field(pattern="^Pod$")]
    spec: PodSpec

    @property
    def container(self) -> Container:
        return self.spec.containers[0]

    @property
    def user(self) -> int | None:
        """``runAsUser``, where the container's own goes before the pod's; ``None``: the image decides."""
        own = self.container.security.user
        return self.spec.security.user if own is None else own

    @property
    def group(self) -> int | None:
        """``runAsGroup``, as ``user``."""
        own = self.container.security.group
        return self.spec.security.group if own is None else own

    def with_command(self, command: Sequence[str] | None) -> PodManifest:
        """The same manifest with another container command; itself when ``None``."""
        if not command:
            return self
        container = self.container.model_copy(update={"command": tuple(command)})
        return self.model_copy(update={"spec": self.spec.model_copy(update={"containers": (container,)})})

    def environment(self, secrets: Secrets) -> dict[str, str]:
        """Every environment variable of the container with its value."""
        return {variable.name: variable.resolve(secrets) for variable in self.container.env}


def load_manifest(path: Path) -> PodManifest:
    """Read a manifest.

    Raises:
        ConfigurationError: it is missing, not YAML, or lacks what every runtime needs (a deadline, one container).
    """
    try:
        raw: Any = yaml.safe_load(path.read_text())
        manifest = PodManifest.model_validate(raw)
    except OSError as error:
        raise ConfigurationError(f"{path}: expected a pod manifest, but it cannot be read: {error}") from error
    except (yaml.YAMLError, ValidationError) as error:
        raise ConfigurationError(f"{path}: not a usable pod manifest: {error}") from error
    if manifest.container.name != "base":
        raise ConfigurationError(f"{path}: the container must be named 'base', got {manifest.container.name!r}")
    return manifest

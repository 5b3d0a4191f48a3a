"""Model versions in MLflow's registry.

A version is one folder: MLflow's ONNX flavour, every target's artifact, and an index with the digest of each file.
The fingerprint is the key of every effect: a run and a version that carry it as a tag are adopted, so a registration
that was killed at any point, or runs twice at once, ends in exactly one version.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.connections import LedgerConnection, MlflowConnection
from slipway.errors import RegistryError
from slipway.identity.digest import sha256_bytes
from slipway.ledger.lock import exclusive
from slipway.registry.aliases import CHALLENGER, CHAMPION
from slipway.registry.client import code_of, connect, translated
from slipway.registry.model_folder import model_folder
from slipway.registry.registration import (
    FINGERPRINT_TAG,
    INDEX,
    INDEX_TAG,
    Registration,
    read_index,
    require_fingerprint,
    require_name,
    verify,
)
from slipway.settings import settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

_AWAIT_SECONDS = 60


def register(connection: MlflowConnection, registration: Registration, ledger: LedgerConnection | None = None) -> str:
    """Register a model version and make it the challenger; returns its number.

    ``ledger`` names the database whose advisory lock keeps callers on several machines apart.

    Raises:
        UnavailableError: MLflow or the lock cannot be reached; call again, nothing is made twice.
        RegistryError: MLflow refused, or ``run_id`` does not exist.
    """
    lock = exclusive(f"register-{registration.name}", ledger, settings().var / "locks")
    with lock, translated(connection):
        client = connect(connection)
        version = _find(client, registration.name, registration.fingerprint)
        if version is None:
            version = _create(client, registration)
        _challenge(client, version)
        return str(version.version)


def find(connection: MlflowConnection, name: str, fingerprint: str) -> str | None:
    """The version made from a fingerprint, if there is one."""
    with translated(connection):
        version = _find(connect(connection), name, fingerprint)
        return None if version is None else str(version.version)


def champion(connection: MlflowConnection, name: str) -> str | None:
    """The version that completed its release last, if there is one."""
    return aliased(connection, name, CHAMPION)


def challenger(connection: MlflowConnection, name: str) -> str | None:
    """The version that was registered last, if there is one."""
    return aliased(connection, name, CHALLENGER)


def aliased(connection: MlflowConnection, name: str, alias: str) -> str | None:
    """The version an alias points at, if it points at one."""
    with translated(connection):
        version = _by_alias(connect(connection), name, alias)
        return None if version is None else str(version.version)


def set_alias(connection: MlflowConnection, name: str, alias: str, version: str) -> None:
    """Point an alias at a version; it points at no other afterwards."""
    with translated(connection):
        connect(connection).set_registered_model_alias(name, alias, version)


def version_tags(connection: MlflowConnection, name: str, version: str) -> dict[str, str]:
    """The tags of a version.

    Raises:
        RegistryError: there is no such version.
    """
    with translated(connection):
        return dict(connect(connection).get_model_version(name, version).tags)


def versions_by_tag(connection: MlflowConnection, name: str, tag: str) -> dict[str, str]:
    """Value of ``tag`` -> version, of every version that has the tag; the oldest where several share a value."""
    require_name(name)
    with translated(connection):
        client = connect(connection)
        page = client.search_model_versions(f"name = '{name}'")
        found = list(page)
        while page.token:
            page = client.search_model_versions(f"name = '{name}'", page_token=page.token)
            found += page
    newest_first = sorted(found, key=lambda version: int(version.version), reverse=True)
    return {version.tags[tag]: str(version.version) for version in newest_first if tag in version.tags}


def download(
    connection: MlflowConnection, name: str, version: str, paths: Collection[str] | None = None
) -> dict[str, bytes]:
    """Files of a version by path, all of them or those named, each verified against the version's index.

    Raises:
        RegistryError: no such version or path, a version not made by ``register``, or files that were changed.
        UnavailableError: MLflow or its artifact store cannot be reached.
    """
    title = f"{name} version {version}"
    with translated(connection), tempfile.TemporaryDirectory() as folder:
        source, index = _open(connection, name, version, Path(folder))
        unknown = sorted(set(paths or ()) - set(index))
        if unknown:
            raise RegistryError(f"{title} has no {', '.join(unknown)}; it has: {', '.join(sorted(index))}")
        files = {}
        for path in sorted(index if paths is None else set(paths)):
            files[path] = source.read(path)
            verify(path, files[path], index[path], title)
        return files


def digests(connection: MlflowConnection, name: str, version: str) -> dict[str, str]:
    """Path -> sha256 of every file of a version, as it was registered; reads its index alone.

    Raises:
        RegistryError: no such version, a version not made by ``register``, or an index that was changed.
        UnavailableError: MLflow or its artifact store cannot be reached.
    """
    with translated(connection), tempfile.TemporaryDirectory() as folder:
        return _open(connection, name, version, Path(folder))[1]


def _open(connection: MlflowConnection, name: str, version: str, folder: Path) -> tuple[_Artifacts, dict[str, str]]:
    title = f"{name} version {version}"
    found = connect(connection).get_model_version(name, version)
    if INDEX_TAG not in found.tags:
        raise RegistryError(f"{title} has no tag {INDEX_TAG}: it was not registered by Slipway; register it again")
    source = _Artifacts(connection, str(found.source), folder)
    return source, read_index(source.read(INDEX), found.tags[INDEX_TAG], title)


class _Artifacts:
    """Single files of a version's folder."""

    def __init__(self, connection: MlflowConnection, source: str, folder: Path) -> None:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        self._repository = get_artifact_repository(source, tracking_uri=connection.tracking_uri)
        self._folder = folder

    def read(self, path: str) -> bytes:
        return Path(self._repository.download_artifacts(path, str(self._folder))).read_bytes()


def _find(client: MlflowClient, name: str, fingerprint: str) -> ModelVersion | None:
    require_name(name)
    require_fingerprint(fingerprint)
    found = client.search_model_versions(f"name = '{name}' and tags.`{FINGERPRINT_TAG}` = '{fingerprint}'")
    return min(found, key=lambda version: int(version.version), default=None)


def _by_alias(client: MlflowClient, name: str, alias: str) -> ModelVersion | None:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        # An alias nobody has set is reported as a wrong parameter, an unknown model as missing.
        if code_of(error) in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _create(client: MlflowClient, registration: Registration) -> ModelVersion:
    _ensure_model(client, registration.name)
    run = _adopt_run(client, registration)
    created = dt.datetime.fromtimestamp(run.info.start_time / 1000, tz=dt.UTC).replace(tzinfo=None)
    files = model_folder(registration, created)
    # Several versions may be made of one training, hence of one run.
    folder = f"model-{registration.fingerprint[:16]}"
    _upload(client, run.info.run_id, files, folder)
    return client.create_model_version(
        name=registration.name,
        source=f"{run.info.artifact_uri}/{folder}",
        run_id=run.info.run_id,
        tags={
            **registration.tags,
            FINGERPRINT_TAG: registration.fingerprint,
            INDEX_TAG: sha256_bytes(files[INDEX]),
        },
        await_creation_for=_AWAIT_SECONDS,
    )


def _ensure_model(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if code_of(error) != "RESOURCE_ALREADY_EXISTS":
            raise


def _adopt_run(client: MlflowClient, registration: Registration) -> Run:
    """The run the version belongs to: the given one, else the one with the fingerprint, else a new one."""
    if registration.run_id is not None:
        return client.get_run(registration.run_id)
    experiment = _experiment(client, registration.name)
    fingerprint = registration.run_fingerprint or registration.fingerprint
    wanted = f"tags.`{FINGERPRINT_TAG}` = '{fingerprint}'"
    found = client.search_runs([experiment], wanted, order_by=["attributes.start_time ASC"], max_results=1)
    run = next(iter(found), None) or client.create_run(
        experiment,
        tags={FINGERPRINT_TAG: fingerprint},
        run_name=f"{registration.name}-{fingerprint[:12]}",
    )
    for key in sorted(set(registration.metrics) - set(run.data.metrics)):
        client.log_metric(run.info.run_id, key, registration.metrics[key])
    if run.info.status == "RUNNING":
        client.set_terminated(run.info.run_id)
    return run


def _experiment(client: MlflowClient, name: str) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    try:
        return str(client.create_experiment(name))
    except MlflowException as error:
        if code_of(error) != "RESOURCE_ALREADY_EXISTS":
            raise
    return str(client.get_experiment_by_name(name).experiment_id)


def _upload(client: MlflowClient, run_id: str, files: Mapping[str, bytes], place: str) -> None:
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent)
        for path, data in files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        client.log_artifacts(run_id, str(folder), place)


def _challenge(client: MlflowClient, version: ModelVersion) -> None:
    """Make a version the challenger unless a later one is: a late retry must not move the alias back."""
    current = _by_alias(client, version.name, CHALLENGER)
    if current is None or int(current.version) < int(version.version):
        client.set_registered_model_alias(version.name, CHALLENGER, version.version)

"""``RegistrySimulator``: model versions in memory, the twin of ``slipway.registry.mlflow_registry``'s functions.

``tests/integration/test_registry.py`` asks the same of it and of MLflow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from slipway.connections import LedgerConnection, MlflowConnection
from slipway.errors import RegistryError, UnavailableError
from slipway.identity.digest import sha256_bytes
from slipway.registry.aliases import CHALLENGER, CHAMPION
from slipway.registry.registration import FINGERPRINT_TAG, Registration


@dataclass(frozen=True)
class Version:
    name: str
    fingerprint: str
    files: dict[str, bytes]
    tags: dict[str, str]


class RegistrySimulator:
    """An empty registry; ``reachable = False`` makes every call fail as an unreachable server does."""

    def __init__(self) -> None:
        self.reachable = True
        self.versions: list[Version] = []
        self._aliases: dict[tuple[str, str], str] = {}

    def register(
        self, connection: MlflowConnection, registration: Registration, ledger: LedgerConnection | None = None
    ) -> str:
        with self._reached():
            name, fingerprint = registration.name, registration.fingerprint
            version = self._find(name, fingerprint)
            if version is None:
                files = {"MLmodel": b"flavors: {}", "model.onnx": registration.onnx, **registration.artifacts}
                tags = {**registration.tags, FINGERPRINT_TAG: fingerprint}
                self.versions.append(Version(name, fingerprint, files, tags))
                version = str(len(self._of(name)))
            if int(self._aliases.get((name, CHALLENGER), 0)) < int(version):
                self._aliases[name, CHALLENGER] = version
            return version

    def find(self, connection: MlflowConnection, name: str, fingerprint: str) -> str | None:
        with self._reached():
            return self._find(name, fingerprint)

    def champion(self, connection: MlflowConnection, name: str) -> str | None:
        return self.aliased(connection, name, CHAMPION)

    def challenger(self, connection: MlflowConnection, name: str) -> str | None:
        return self.aliased(connection, name, CHALLENGER)

    def aliased(self, connection: MlflowConnection, name: str, alias: str) -> str | None:
        with self._reached():
            return self._aliases.get((name, alias))

    def set_alias(self, connection: MlflowConnection, name: str, alias: str, version: str) -> None:
        with self._reached():
            self._version(name, version)
            self._aliases[name, alias] = version

    def version_tags(self, connection: MlflowConnection, name: str, version: str) -> dict[str, str]:
        with self._reached():
            return dict(self._version(name, version).tags)

    def versions_by_tag(self, connection: MlflowConnection, name: str, tag: str) -> dict[str, str]:
        with self._reached():
            numbered = reversed(list(enumerate(self._of(name), start=1)))
            return {version.tags[tag]: str(number) for number, version in numbered if tag in version.tags}

    def download(
        self, connection: MlflowConnection, name: str, version: str, paths: Collection[str] | None = None
    ) -> dict[str, bytes]:
        with self._reached():
            files = self._version(name, version).files
            unknown = sorted(set(paths or ()) - set(files))
            if unknown:
                raise RegistryError(f"{name} version {version} has no {', '.join(unknown)}; it has: {sorted(files)}")
            return {path: files[path] for path in sorted(files if paths is None else set(paths))}

    def digests(self, connection: MlflowConnection, name: str, version: str) -> dict[str, str]:
        with self._reached():
            return {path: sha256_bytes(data) for path, data in self._version(name, version).files.items()}

    @contextmanager
    def _reached(self) -> Iterator[None]:
        if not self.reachable:
            raise UnavailableError("the simulated MLflow did not answer")
        yield

    def _of(self, name: str) -> list[Version]:
        return [version for version in self.versions if version.name == name]

    def _find(self, name: str, fingerprint: str) -> str | None:
        fingerprints = [version.fingerprint for version in self._of(name)]
        return str(fingerprints.index(fingerprint) + 1) if fingerprint in fingerprints else None

    def _version(self, name: str, version: str) -> Version:
        if not version.isdecimal() or not 1 <= int(version) <= len(self._of(name)):
            raise RegistryError(f"{name} has no version {version}")
        return self._of(name)[int(version) - 1]

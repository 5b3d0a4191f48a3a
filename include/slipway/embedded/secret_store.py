"""``var/secrets.json``: every password and token of the local stack, generated once, readable by its owner alone."""

from __future__ import annotations

import base64
import json
import os
import secrets
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from slipway.errors import ConfigurationError

Generator = Callable[[], str]


def _token() -> str:
    return secrets.token_urlsafe(32)


def _password() -> str:
    return secrets.token_urlsafe(15)


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def _access_key() -> str:
    return f"AKIA{secrets.token_hex(8).upper()}"


def _fixed(value: str) -> Generator:
    return lambda: value


_LAYOUT: Mapping[str, Mapping[str, Generator]] = {
    "lakefs_default": {"conn_login": _access_key, "conn_password": _token},
    "spark_default": {"conn_password": _token},
    "mlflow_default": {"conn_login": _fixed("slipway"), "conn_password": _password},
    "slipway_ledger": {"conn_login": _fixed("ledger"), "conn_password": _token},
    "slipway_channel": {"conn_password": _token, "enrolment_token": _token},
    "slipway_airflow": {"conn_login": _fixed("admin"), "conn_password": _password},
    "internal": {
        "postgres_password": _token,
        "airflow_database_password": _token,
        "mlflow_database_password": _token,
        "gateway_database_password": _token,
        "airflow_fernet_key": _fernet_key,
        "airflow_jwt_secret": _token,
        "airflow_api_secret": _token,
        "mlflow_flask_secret": _token,
    },
}
"""Section (a conn_id, or `internal` for what no connection carries) -> name -> how it is made."""


@dataclass(frozen=True)
class Secrets:
    """The generated values by section and name."""

    path: Path
    values: Mapping[str, Mapping[str, str]] = field(repr=False)

    def get(self, section: str, name: str) -> str:
        """One value. Raises ConfigurationError when the file lacks it."""
        try:
            return self.values[section][name]
        except KeyError as error:
            raise ConfigurationError(
                f"{self.path}: expected `{section}.{name}`, found nothing; run `make up`, which adds what is missing"
            ) from error


def load_secrets(path: Path) -> Secrets:
    """Read the file. Raises ConfigurationError when it is missing, unreadable or not what was generated."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"{path}: expected the stack's generated secrets, found no file; run `make up` first"
        ) from error
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: expected the stack's generated secrets, could not read them") from error
    if not isinstance(values, dict) or not all(_is_section(section) for section in values.values()):
        raise ConfigurationError(f"{path}: expected sections of texts, got something else; restore the file")
    return Secrets(path, values)


def ensure_secrets(path: Path) -> Secrets:
    """Read the file, generating what is missing; the file is replaced as a whole, mode 0600."""
    known = load_secrets(path).values if path.exists() else {}
    complete = {
        section: {**known.get(section, {}), **_missing(known.get(section, {}), names)}
        for section, names in _LAYOUT.items()
    }
    if complete != known:
        write_private(path, json.dumps({**known, **complete}, indent=2) + "\n")
    return load_secrets(path)


def write_private(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace a file atomically; at no moment can another user read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _missing(known: Mapping[str, str], names: Mapping[str, Generator]) -> dict[str, str]:
    return {name: make() for name, make in names.items() if not known.get(name)}


def _is_section(section: object) -> bool:
    return isinstance(section, dict) and all(isinstance(value, str) for value in section.values())

"""Users of the embedded lake besides the stack's own, which is an admin: a file written by hand."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from slipway.embedded.environment import Environment
from slipway.embedded.lakefs_server.signing import Credentials
from slipway.embedded.lakefs_server.users import User, problems
from slipway.errors import ConfigurationError

_USERS = TypeAdapter(tuple[User, ...])
_FORM = '[{"id": "notebook", "access_key": "…", "secret_key": "…", "role": "read"}]'
_HELP = "docs/local-stack.md has the other roles"


def lake_users(environment: Environment) -> tuple[User, ...]:
    """The users in the file; none where there is no file, or the lake is on another machine.

    Raises:
        ConfigurationError: others may read the file, it is no list of users, or two users share an id or access key.
    """
    path, lake = environment.layout.lake_users, environment.local.lake
    if not environment.file.connection("lakefs_default").local:
        return ()
    users = _read(path)
    if twice := Credentials(lake.access_key, lake.secret_key, users).repeated():
        raise ConfigurationError(
            f"{path}: expected every id and access key once, those of the stack's own user `admin` included, got "
            f"{', '.join(twice)} again; choose others"
        )
    return users


def _read(path: Path) -> tuple[User, ...]:
    try:
        mode, text = path.stat().st_mode, path.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ConfigurationError(f"{path}: expected a file of users, it cannot be read: {error}") from error
    if mode & 0o077:
        raise ConfigurationError(f"{path} holds secret keys, but others may read it; run: chmod 600 {path}")
    try:
        return _USERS.validate_json(text)
    except ValidationError as error:
        raise ConfigurationError(f"{path}: expected a list like {_FORM}; {problems(error)}; {_HELP}") from None

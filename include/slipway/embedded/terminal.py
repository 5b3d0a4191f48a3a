"""The stack as a terminal shows it: how it starts, and where it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from textwrap import indent

from rich.console import Console
from rich.status import Status

from slipway.embedded.local_settings import LocalSettings
from slipway.embedded.stack import Stack


class TerminalProgress:
    """Prints what works, and behind it shows what is still awaited."""

    def __init__(self, console: Console, status: Status) -> None:
        self._console = console
        self._status = status

    def ready(self, title: str, seconds: float, problems: Sequence[str] = ()) -> None:
        self._console.print(f"[green]ready[/] {title:<24} {seconds:5.1f} s")
        for problem in problems:
            self._console.print(indent(problem, " " * 6), style="yellow", soft_wrap=True, markup=False)

    def waiting(self, titles: tuple[str, ...]) -> None:
        if titles:
            self._status.update(f"waiting for {', '.join(titles)}")


@contextmanager
def terminal_progress(console: Console, title: str) -> Iterator[TerminalProgress]:
    """Progress for ``Stack.up`` on a console."""
    with console.status(title) as status:
        yield TerminalProgress(console, status)


def print_addresses(stack: Stack, local: LocalSettings, console: Console) -> None:
    """Where the services are, and where to find their logins."""
    secrets = stack.layout.secrets
    airflow, mlflow = local.airflow_login.name, local.mlflow_login.name
    for title, value, note in (
        ("Airflow", local.airflow_url, f"  user {airflow}, password: slipway_airflow.conn_password in {secrets}"),
        # MLflow opens in a mode for prompts and traces, whose menu has no models.
        (
            "MLflow",
            f"{local.mlflow_url}/#/models",
            f"  user {mlflow}, password: mlflow_default.conn_password in the same file",
        ),
        ("Fleet gateway", local.channel.gateway, ""),
        ("lakeFS API", local.lake.endpoint, ""),
        ("Airflow CLI", f"{stack.layout.airflow_command} dags list", ""),
        ("Logs", str(stack.layout.logs), ""),
    ):
        console.print(f"{title:<14} {value}{note}", soft_wrap=True, markup=False)

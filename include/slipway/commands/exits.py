"""How a command ends: 0 well, 1 not as it should be, 2 it could not be asked."""

from __future__ import annotations

from typing import NoReturn

import typer

from slipway.errors import ConfigurationError, SlipwayError, UnavailableError

FAILED, WRONG = 1, 2


def fail(error: SlipwayError) -> NoReturn:
    """Say what happened on stderr and leave with the exit code that belongs to it."""
    typer.secho(f"{type(error).__name__}: {error}", err=True, fg="red")
    raise typer.Exit(WRONG if isinstance(error, ConfigurationError | UnavailableError) else FAILED)

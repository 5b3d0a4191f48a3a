"""``python -m slipway``."""

from slipway.cli import app

app(prog_name="slipway")

"""``python -m slipway.gateway``: serve one channel and its fleet."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TypeGuard

import uvicorn

from slipway.errors import ConfigurationError
from slipway.gateway.app import Tokens, create_app
from slipway.gateway.store import Store


def main(arguments: list[str] | None = None) -> None:
    """Serve until a signal ends it. Secrets come from files, never from the command line."""
    parser = argparse.ArgumentParser(prog="slipway.gateway", description="The fleet gateway.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=18080)
    parser.add_argument("--database-url-file", type=Path, required=True, help="file with a SQLAlchemy URL")
    parser.add_argument("--repository", type=Path, required=True, help="the channel's folder")
    parser.add_argument("--secrets", type=Path, required=True, help="JSON with the gateway's two tokens")
    given = parser.parse_args(arguments)
    store = Store(_text(given.database_url_file))
    app = create_app(store, given.repository, read_tokens(given.secrets))
    try:
        uvicorn.run(
            app, host=given.host, port=given.port, log_level="warning", server_header=False, timeout_graceful_shutdown=5
        )
    finally:
        store.close()


def read_tokens(path: Path) -> Tokens:
    """``gateway_enrolment_token`` and ``gateway_operator_token`` of a JSON file; ConfigurationError without them."""
    try:
        secrets = json.loads(_text(path))
    except ValueError as error:
        raise ConfigurationError(f"{path} must be a JSON object with the stack's secrets; make it again") from error
    if not isinstance(secrets, dict):
        secrets = {}
    enrolment, operator = secrets.get("gateway_enrolment_token"), secrets.get("gateway_operator_token")
    if not (_long_enough(enrolment) and _long_enough(operator)):
        raise ConfigurationError(
            f"{path} must hold gateway_enrolment_token and gateway_operator_token, 16 characters or more each"
        )
    return Tokens(enrolment=enrolment, operator=operator)


def _long_enough(token: object) -> TypeGuard[str]:
    return isinstance(token, str) and len(token) >= 16


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise ConfigurationError(f"expected a readable file {path}: {error.strerror}") from error


if __name__ == "__main__":
    main()

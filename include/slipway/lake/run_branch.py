"""Names of run branches: derived from what a run makes, never random, so that a retry finds its own branch."""

from __future__ import annotations

import re

from slipway.errors import ConfigurationError

_NOT_IN_A_BRANCH = re.compile(r"[^A-Za-z0-9_-]+")
_FINGERPRINT = re.compile(r"[0-9a-f]{12,}")


def ingest_branch(pipeline: str, partition: str, fingerprint: str) -> str:
    """The branch one partition of a pipeline is made on; ``fingerprint`` is lower-case hex."""
    return _slug(f"run-{pipeline}-{partition}-{_short(fingerprint)}")


def train_branch(pipeline: str, fingerprint: str) -> str:
    """The branch one training of a pipeline's model is made on; ``fingerprint`` is lower-case hex."""
    return _slug(f"train-{pipeline}-{_short(fingerprint)}")


def _slug(text: str) -> str:
    # lakeFS branch names are \w[-\w]*: no '/', '.', ':' or '+'.
    return _NOT_IN_A_BRANCH.sub("-", text)


def _short(fingerprint: str) -> str:
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise ConfigurationError(f"expected a fingerprint of at least 12 lower-case hex digits, came {fingerprint!r}")
    return fingerprint[:12]

"""Making a repository where this server stores data, and protecting its main branch."""

from __future__ import annotations

import lakefs_sdk

from slipway.errors import ConfigurationError, LakeConflictError
from slipway.lake.session import Session


def create_repository(session: Session, name: str, default_branch: str) -> None:
    """Make a repository; one that appeared meanwhile is adopted.

    Raises ``ConfigurationError`` when the server has no default place for its data: then an operator decides.
    """
    creation = lakefs_sdk.RepositoryCreation(
        name=name, storage_namespace=_namespace(session, name), default_branch=default_branch
    )
    doing = f"creating repository {name}"
    try:
        session.call(doing, session.sdk.repositories_api.create_repository, creation)
    except LakeConflictError:
        session.call(f"looking up repository {name}", session.sdk.repositories_api.get_repository, name)


def protect(session: Session, name: str, branch: str) -> None:
    """Refuse direct writes and commits to a branch; rules that exist stay."""
    api = session.sdk.repositories_api
    rules = list(session.call(f"reading branch protection of {name}", api.get_branch_protection_rules, name))
    if any(rule.pattern == branch for rule in rules):
        return
    rules.append(lakefs_sdk.BranchProtectionRule(pattern=branch))
    session.call(f"protecting {branch} of {name}", api.set_branch_protection_rules, name, rules)


def _namespace(session: Session, name: str) -> str:
    config = session.call("reading the server's configuration", session.sdk.config_api.get_config)
    storage = config.storage_config
    if storage is not None and storage.default_namespace_prefix:
        return f"{storage.default_namespace_prefix.rstrip('/')}/{name}"
    if storage is not None and storage.blockstore_type in {"local", "mem"}:
        return f"{storage.blockstore_type}://{name}"
    raise ConfigurationError(
        f"expected a repository {name} or a default storage namespace on lakeFS at {session.endpoint}, found neither; "
        f"run lakectl repo create lakefs://{name} <its bucket>, or set the server's blockstore.default_namespace_prefix"
    )

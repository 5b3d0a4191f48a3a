"""What changes branches and tags: create, delete, commit, merge."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping

from slipway.embedded.lakefs_server import history, references, staging
from slipway.embedded.lakefs_server.compare import Difference, Strategy, differences, merge
from slipway.embedded.lakefs_server.gate import LOOPBACK_ONLY, Gate, Proposal
from slipway.embedded.lakefs_server.history import COMMITTER, Commit
from slipway.embedded.lakefs_server.names import check_branch, check_tag
from slipway.embedded.lakefs_server.references import Kind
from slipway.embedded.lakefs_server.refusal import RefusalError, denied, dirty_branch, missing, no_changes
from slipway.embedded.lakefs_server.repository import Repository
from slipway.embedded.lakefs_server.staging import View
from slipway.embedded.lakefs_server.trees import Trees


def create_branch(repository: Repository, name: str, source: str, hidden: bool = False) -> str:
    """Create a branch at what ``source`` names (committed state only); the commit id. 409 if the name is in use."""
    check_branch(name)
    with repository.database.writing() as connection:
        references.require_free(connection, "branch", name)
        commit = references.resolve(connection, source).commit
        connection.execute("INSERT INTO branches VALUES (?, ?, ?)", (name, commit.id, int(hidden)))
    return commit.id


def delete_branch(repository: Repository, name: str) -> None:
    """Delete a branch with its uncommitted changes; 403 for the default branch, 404 if there is none."""
    if name == repository.default_branch:
        raise denied(f"cannot delete the default branch {name}")
    with repository.database.writing() as connection:
        if connection.execute("DELETE FROM branches WHERE name = ?", (name,)).rowcount == 0:
            raise missing("branch", name)
        connection.execute("DELETE FROM staging WHERE branch = ?", (name,))


def create_tag(repository: Repository, name: str, ref: str) -> str:
    """Create a tag; the commit id. 409 if the name is in use."""
    check_tag(name)
    with repository.database.writing() as connection:
        references.require_free(connection, "tag", name)
        commit = references.resolve(connection, ref).commit
        connection.execute("INSERT INTO tags VALUES (?, ?)", (name, commit.id))
    return commit.id


def delete_tag(repository: Repository, name: str) -> None:
    """Delete a tag; 404 if there is none."""
    with repository.database.writing() as connection:
        if connection.execute("DELETE FROM tags WHERE name = ?", (name,)).rowcount == 0:
            raise missing("tag", name)


def find(repository: Repository, kind: Kind, name: str) -> str:
    """The commit id of a branch or tag; 404 if there is none."""
    with repository.database.reading() as connection:
        commit_id = references.target(connection, kind, name)
    if commit_id is None:
        raise missing(kind, name)
    return commit_id


def commit(
    repository: Repository,
    branch: str,
    message: str,
    metadata: Mapping[str, str],
    *,
    created: int | None = None,
    allow_empty: bool = False,
    committer: str = COMMITTER,
    gate: Gate = LOOPBACK_ONLY,
) -> Commit:
    """Commit the branch's staging when its pre-commit webhooks agree.

    400 "no changes", 403 on a protected branch, 404 without the branch, 412 if a webhook fails.
    """

    def propose(connection: sqlite3.Connection, chosen: int | None) -> Proposal:
        staging.require_writable(connection, branch)
        parent = references.head(connection, branch)
        rows = list(staging.staged_rows(connection, branch))
        if not rows and not allow_empty:
            raise no_changes("commit")
        changes = {path: None if entry is None else (entry, mtime) for path, entry, mtime in rows}
        tree = repository.trees(connection).apply(parent.tree, changes)
        when = created if chosen is None else chosen
        made = history.record(connection, tree, [parent], message, metadata, created=when, committer=committer)
        return Proposal(made, "pre-commit", branch, View.of(repository, connection, branch), branch)

    def move(connection: sqlite3.Connection, proposal: Proposal) -> None:
        _move(connection, proposal)
        connection.execute("DELETE FROM staging WHERE branch = ?", (branch,))

    return gate.advance(repository, propose, move)


def merge_into(
    repository: Repository,
    source: str,
    destination: str,
    message: str | None,
    metadata: Mapping[str, str],
    *,
    strategy: Strategy = "",
    allow_empty: bool = False,
    squash: bool = False,
    committer: str = COMMITTER,
    gate: Gate = LOOPBACK_ONLY,
) -> Commit:
    """Merge what ``source`` has committed into the branch ``destination`` when its pre-merge webhooks agree.

    400 if the destination has uncommitted changes or the source changed nothing since the common ancestor, 409 on
    conflicts, 412 if a webhook fails. Protection does not forbid merges.
    """
    notes = {**metadata, ".lakefs.merge.strategy": strategy or "default"}
    text = message or f"Merge '{source}' into '{destination}'"

    def propose(connection: sqlite3.Connection, chosen: int | None) -> Proposal:
        trees = repository.trees(connection)
        ours = references.head(connection, destination)
        theirs = references.resolve(connection, source).commit
        if staging.is_dirty(connection, destination):
            raise dirty_branch(destination)
        base = history.merge_base(connection, ours, theirs)
        if theirs.tree == base.tree and not allow_empty:
            raise no_changes("merge")
        merged = merge(trees, base.tree, ours.tree, theirs.tree, strategy)
        if merged.conflicts:
            # the protocol's answer names no paths: clients find them in the three-dot diff
            raise RefusalError(409, "merge: conflict", {"reference": ""})
        parents = [ours] if squash else [ours, theirs]
        made = history.record(connection, merged.tree, parents, text, notes, created=chosen, committer=committer)
        return Proposal(made, "pre-merge", destination, View(connection, trees, theirs.tree, None), theirs.id)

    return gate.advance(repository, propose, _move)


def _move(connection: sqlite3.Connection, proposal: Proposal) -> None:
    values = (proposal.commit.id, proposal.branch)
    connection.execute("UPDATE branches SET commit_id = ? WHERE name = ?", values)


def changes_between(
    trees: Trees, left: Commit, right: Commit, base: Commit | None, *, prefix: bytes = b"", after: bytes = b""
) -> Iterator[tuple[str, Difference]]:
    """(kind, difference) in byte order from left to right, or with ``base`` what right changed since then.

    With ``base`` a path left changed too is a ``conflict``, unless both now hold the same.
    """
    if base is None:
        for change in differences(trees, left.tree, right.tree, prefix=prefix, after=after):
            yield change.kind, change
        return
    for change in differences(trees, base.tree, right.tree, prefix=prefix, after=after):
        ours = trees.identity(left.tree, change.path)
        if ours != change.right:
            yield change.kind if ours == change.left else "conflict", change

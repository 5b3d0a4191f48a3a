"""One commit's change, applied to a branch again or taken back, and a branch moved to another commit.

As merges, these are not forbidden by branch protection; moving a branch is (as in lakeFS).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from slipway.embedded.lakefs_server import history, references, staging
from slipway.embedded.lakefs_server.compare import merge
from slipway.embedded.lakefs_server.history import COMMITTER, Commit
from slipway.embedded.lakefs_server.refusal import RefusalError, dirty_branch, invalid, no_changes
from slipway.embedded.lakefs_server.repository import Repository
from slipway.embedded.lakefs_server.trees import NO_ENTRIES, Trees


@dataclass(frozen=True)
class Says:
    """Who makes a commit, and what it says instead of what the operation would write."""

    committer: str = COMMITTER
    message: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


def revert(
    repository: Repository,
    branch: str,
    ref: str,
    parent_number: int = 0,
    says: Says = Says(),
    *,
    allow_empty: bool = False,
) -> Commit:
    """Commit the reverse of what ``ref`` changed since its parent (1 is the first; 0 for "its only one").

    400 if the branch has uncommitted changes, there is no such parent, or nothing would change; 409 if a later commit
    changed the same paths, or ``ref`` is a merge and no parent was named.
    """
    with repository.database.writing() as connection:
        head = _clean_head(connection, branch)
        commit = references.resolve(connection, ref).commit
        if len(commit.parents) > 1 and parent_number == 0:
            raise RefusalError(409, "must specify 1-based parent number for reverting merge commit")
        before = _parent_tree(connection, commit, parent_number)
        tree = _applied(repository.trees(connection), "revert", commit.tree, head.tree, before)
        if tree == head.tree and not allow_empty:
            raise no_changes("revert")
        text = says.message or f"Revert {ref}"
        return _advance(connection, branch, head, tree, replace(says, message=text))


def cherry_pick(
    repository: Repository, branch: str, ref: str, parent_number: int | None = None, says: Says = Says()
) -> Commit:
    """Commit what ``ref`` changed since its parent, with its message and metadata and where they come from.

    400 if the branch has uncommitted changes, there is no such parent, ``ref`` changed nothing, or ``ref`` is a merge
    and no parent was named; 409 if both changed the same paths.
    """
    with repository.database.writing() as connection:
        head = _clean_head(connection, branch)
        commit = references.resolve(connection, ref).commit
        if len(commit.parents) > 1 and parent_number is None:
            raise invalid("must specify 1-based parent number for cherry-picking merge commit")
        number = 1 if parent_number is None else parent_number
        if number == 0 or not commit.parents:
            raise _no_such_parent(commit, number)
        before = _parent_tree(connection, commit, number)
        if before == commit.tree:
            raise no_changes("cherry-pick")
        tree = _applied(repository.trees(connection), "cherry-pick", before, head.tree, commit.tree)
        origin = {"cherry-pick-origin": commit.id, "cherry-pick-committer": commit.committer}
        notes = {**commit.metadata, **says.metadata, **origin}
        wording = Says(says.committer, says.message or commit.message, notes)
        return _advance(connection, branch, head, tree, wording)


def hard_reset(repository: Repository, branch: str, ref: str) -> None:
    """Move the branch to what ``ref`` names; 400 if it has uncommitted changes, 403 if it is protected."""
    with repository.database.writing() as connection:
        staging.require_writable(connection, branch)
        _clean_head(connection, branch)
        commit = references.resolve(connection, ref).commit
        connection.execute("UPDATE branches SET commit_id = ? WHERE name = ?", (commit.id, branch))


def _clean_head(connection: sqlite3.Connection, branch: str) -> Commit:
    head = references.head(connection, branch)
    if staging.is_dirty(connection, branch):
        raise dirty_branch(branch)
    return head


def _parent_tree(connection: sqlite3.Connection, commit: Commit, number: int) -> bytes:
    if not 0 <= number <= len(commit.parents):
        raise _no_such_parent(commit, number)
    if not commit.parents:
        return NO_ENTRIES
    return history.load(connection, commit.parents[max(number, 1) - 1]).tree


def _no_such_parent(commit: Commit, number: int) -> RefusalError:
    return invalid(f"parent {number}: given commit does not have the given parent number; it has {len(commit.parents)}")


def _applied(trees: Trees, action: str, base: bytes, head: bytes, wanted: bytes) -> bytes:
    merged = merge(trees, base, head, wanted)
    if merged.conflicts:
        paths = ", ".join(path.decode() for path in merged.conflicts[:3])
        raise RefusalError(409, f"{action}: conflict found: {len(merged.conflicts)} paths, first {paths}")
    return merged.tree


def _advance(connection: sqlite3.Connection, branch: str, head: Commit, tree: bytes, says: Says) -> Commit:
    made = history.record(connection, tree, [head], says.message or "", says.metadata, committer=says.committer)
    connection.execute("UPDATE branches SET commit_id = ? WHERE name = ?", (made.id, branch))
    return made

"""What a reference expression names: ``main``, ``v1~2``, ``main@``, a commit id or a unique prefix of one."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from typing import Literal

from slipway.embedded.lakefs_server import history
from slipway.embedded.lakefs_server.history import Commit
from slipway.embedded.lakefs_server.refusal import RefusalError, invalid, missing, taken

_EXPRESSION = re.compile(r"([^~^@$]+)((?:[~^]\d{0,6}|[@$])*)")
_STEP = re.compile(r"([~^])(\d*)|([@$])")
_HASH = re.compile(r"[0-9a-f]{4,64}")

Kind = Literal["branch", "tag"]
_TABLE = {"branch": "branches", "tag": "tags"}


@dataclass(frozen=True)
class Resolved:
    """A commit; ``branch`` is set when the expression also shows that branch's uncommitted changes."""

    commit: Commit
    branch: str | None = None


def target(connection: sqlite3.Connection, kind: Kind, name: str) -> str | None:
    """The commit id a branch or tag names, or None."""
    row = connection.execute(f"SELECT commit_id FROM {_TABLE[kind]} WHERE name = ?", (name,)).fetchone()  # noqa: S608
    return None if row is None else str(row[0])


def head(connection: sqlite3.Connection, branch: str) -> Commit:
    """The branch's head; 404 if there is no such branch."""
    commit_id = target(connection, "branch", branch)
    if commit_id is None:
        raise missing("branch", branch)
    return history.load(connection, commit_id)


def resolve(connection: sqlite3.Connection, expression: str) -> Resolved:
    """Resolve in lakeFS's order: full commit id, branch, tag, id prefix; then the modifiers from left to right."""
    match = _EXPRESSION.fullmatch(expression)
    if match is None:
        raise invalid(f"invalid reference {expression!r}")
    found = _base(connection, match[1])
    for step in _STEP.finditer(match[2]):
        found = _step(connection, found, expression, step)
    return found


def _base(connection: sqlite3.Connection, name: str) -> Resolved:
    if len(name) == 64 and _HASH.fullmatch(name):
        try:
            return Resolved(history.load(connection, name))
        except RefusalError:
            pass  # a branch may have such a name
    if target(connection, "branch", name) is not None:
        return Resolved(head(connection, name), branch=name)
    if (tagged := target(connection, "tag", name)) is not None:
        return Resolved(history.load(connection, tagged))
    if _HASH.fullmatch(name):
        # 'g' follows every hex digit
        between = (name, name + "g")
        rows = connection.execute("SELECT id FROM commits WHERE id >= ? AND id < ? LIMIT 2", between).fetchall()
        if len(rows) > 1:
            raise invalid(f"ambiguous reference {name!r}: more than one commit id begins with it")
        if rows:
            return Resolved(history.load(connection, rows[0][0]))
    raise missing("reference", name)


def _step(connection: sqlite3.Connection, found: Resolved, expression: str, step: re.Match[str]) -> Resolved:
    if step[3] == "$":
        if found.branch is None:
            raise invalid(f"invalid reference {expression!r}: $ follows a branch name only")
        return found
    commit = found.commit
    count = int(step[2] or "1") if step[1] else 0
    if step[1] == "^":
        if count > len(commit.parents):
            raise missing("reference", expression)
        return Resolved(history.load(connection, commit.parents[count - 1]) if count else commit)
    for _ in range(count):
        if not commit.parents:
            raise missing("reference", expression)
        commit = history.load(connection, commit.parents[0])
    return Resolved(commit)


def require_free(connection: sqlite3.Connection, kind: Kind, name: str) -> None:
    """409 if a branch, a tag or a commit has that name already."""
    if target(connection, kind, name) is not None:
        raise taken(kind, name)
    other: Kind = "tag" if kind == "branch" else "branch"
    commit = connection.execute("SELECT 1 FROM commits WHERE id = ?", (name,)).fetchone()
    if target(connection, other, name) is not None or commit is not None:
        raise taken("reference", name)


def names(
    connection: sqlite3.Connection, kind: Kind, *, prefix: str, after: str, amount: int, hidden: bool = True
) -> list[tuple[str, str]]:
    """Up to ``amount`` (name, commit id), ordered by name, after ``after``; hidden branches only when asked for."""
    condition = " AND hidden = 0" if kind == "branch" and not hidden else ""
    rows = connection.execute(
        f"SELECT name, commit_id FROM {_TABLE[kind]} WHERE name > ? AND substr(name, 1, ?) = ?{condition}"  # noqa: S608
        " ORDER BY name LIMIT ?",
        (after, len(prefix), prefix, amount),
    )
    return rows.fetchall()

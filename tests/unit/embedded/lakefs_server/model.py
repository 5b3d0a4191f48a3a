"""What a repository should show: dictionaries of paths to versions, and the parents of commits.

Paths are sorted as text or as bytes, which is the same: code points sort as their UTF-8 does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from slipway.embedded.lakefs_server.compare import Strategy

Path = TypeVar("Path", str, bytes)
Content = Mapping[str, int]
"""The version of the object at each path."""


@dataclass(frozen=True)
class Made:
    """A commit as it should be."""

    parents: tuple[str, ...]
    content: Content
    created: int


Commits = Mapping[str, Made]


def without_deleted(content: Mapping[Path, int | None]) -> dict[Path, int]:
    return {path: version for path, version in content.items() if version is not None}


def differences(left: Content, right: Content) -> dict[str, str]:
    """What the protocol calls each path that differs."""
    paths = sorted(path for path in left.keys() | right.keys() if left.get(path) != right.get(path))
    return {path: "added" if path not in left else "changed" if path in right else "removed" for path in paths}


def merged(
    base: Mapping[Path, int], ours: Mapping[Path, int], theirs: Mapping[Path, int], strategy: Strategy
) -> tuple[dict[Path, int], list[Path]]:
    """The three-way merge, and the paths that are in conflict."""
    result: dict[Path, int | None] = {**ours}
    conflicts = []
    for path in sorted(base.keys() | theirs.keys() | ours.keys()):
        was, mine, other = base.get(path), ours.get(path), theirs.get(path)
        if other == was or mine == other:
            continue
        if mine == was or strategy == "source-wins":
            result[path] = other
        elif not strategy:
            conflicts.append(path)
    return without_deleted(result), conflicts


def grouped(paths: Collection[str], prefix: str, delimiter: str, after: str) -> list[tuple[str, bool]]:
    """What a listing shows of these paths: each name, and whether it is a common prefix."""
    shown = {}
    for path in paths:
        if path.startswith(prefix):
            head, found, _ = path[len(prefix) :].partition(delimiter) if delimiter else (path[len(prefix) :], "", "")
            shown[prefix + head + found] = bool(found)
    return sorted((name, group) for name, group in shown.items() if name > after)


def ancestors(commits: Commits, start: str) -> set[str]:
    """``start`` and all it is built on."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        if (commit := waiting.pop()) not in found:
            found.add(commit)
            waiting += commits[commit].parents
    return found


def first_parents(commits: Commits, start: str) -> Iterator[str]:
    yield start
    while parents := commits[start].parents:
        start = parents[0]
        yield start


def best_common_ancestors(commits: Commits, one: str, other: str) -> set[str]:
    """The common ancestors that no other common ancestor is built on."""
    common = ancestors(commits, one) & ancestors(commits, other)
    return common - {older for commit in common for older in ancestors(commits, commit) - {commit}}


def changed_paths(commits: Commits, commit: str) -> Collection[str]:
    """The paths a commit changed since its first parent."""
    made = commits[commit]
    return differences(commits[made.parents[0]].content if made.parents else {}, made.content)

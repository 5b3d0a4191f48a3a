"""``LakeSimulator``: a lake in memory, the twin of ``slipway.lake.client.Lake``.

It keeps lakeFS's rules that callers depend on: uncommitted changes belong to a branch and are not merged, an upload of
the same bytes is no change, a merge needs a common ancestor and refuses paths both sides changed, ``main`` is protected
once ``ensure_repository`` made it. ``tests/contract/lake`` runs the same suite on it and on a server.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from slipway.errors import LakeConflictError, LakeDeniedError, LakeError, LakeNotFoundError, UnavailableError
from slipway.lake.client import conflict_message, tag_message
from slipway.lake.records import CommitInfo, ObjectInfo
from slipway.lake.uri import LakeUri

_BRANCH = re.compile(r"\w[-\w]*", re.ASCII)
_ANCESTOR = re.compile(r"(?P<ref>[^~@]+)(~(?P<steps>\d*))?@?")


@dataclass(frozen=True)
class Entry:
    data: bytes
    content_type: str


Tree = dict[str, Entry]


@dataclass
class Branch:
    head: str
    staged: dict[str, Entry | None] = field(default_factory=dict)
    written: dict[str, int] = field(default_factory=dict)


@dataclass
class Repository:
    commits: dict[str, CommitInfo] = field(default_factory=dict)
    trees: dict[str, Tree] = field(default_factory=dict)
    order: dict[str, int] = field(default_factory=dict)
    branches: dict[str, Branch] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    protected: set[str] = field(default_factory=set)


class LakeSimulator:
    """An empty lake; ``reachable = False`` makes every call fail as an unreachable server does."""

    def __init__(self) -> None:
        self.reachable = True
        self._repositories: dict[str, Repository] = {}
        self._lock = threading.RLock()
        self._clock = itertools.count(1_700_000_000)

    def ensure_repository(self, name: str) -> None:
        with self._reached():
            if name not in self._repositories:
                self._repositories[name] = Repository()
                head = self._record(self._repositories[name], "Repository created", {}, (), {})
                self._repositories[name].branches["main"] = Branch(head)
            self._repositories[name].protected.add("main")

    def resolve(self, repository: str, ref: str) -> str:
        with self._reached():
            return self._resolve(self._repository(repository), ref)

    def create_branch(self, repository: str, name: str, source: str) -> str:
        with self._reached():
            repo = self._repository(repository)
            if not _BRANCH.fullmatch(name):
                raise LakeError(f"creating branch {name}: invalid branch name")
            if name in repo.tags or name in repo.commits:
                raise LakeConflictError(f"creating branch {name}: the name is taken")
            if name not in repo.branches:
                repo.branches[name] = Branch(self._resolve(repo, source))
            return repo.branches[name].head

    def delete_branch(self, repository: str, name: str) -> None:
        with self._reached():
            if name == "main":
                raise LakeDeniedError("deleting main: it is the default branch")
            self._repository(repository).branches.pop(name, None)

    def branches(self, repository: str, prefix: str = "") -> list[str]:
        with self._reached():
            return sorted(name for name in self._repository(repository).branches if name.startswith(prefix))

    def put(self, uri: LakeUri, data: bytes, content_type: str = "application/octet-stream") -> None:
        with self._reached():
            branch = self._writable(uri.repository, uri.ref)
            branch.staged[uri.path] = Entry(data, content_type)
            branch.written[uri.path] = next(self._clock)

    def get(self, uri: LakeUri) -> bytes:
        with self._reached():
            tree = self._view(self._repository(uri.repository), uri.ref)
            if uri.path not in tree:
                raise LakeNotFoundError(f"reading {uri}: there is no such object")
            return tree[uri.path].data

    def copy(self, source: LakeUri, destination: LakeUri) -> None:
        with self._reached():
            self.put(destination, self.get(source))

    def get_range(self, uri: LakeUri, start: int, end: int) -> bytes:
        return self.get(uri)[start:end]

    def exists(self, uri: LakeUri) -> bool:
        with self._reached():
            try:
                return uri.path in self._view(self._repository(uri.repository), uri.ref)
            except LakeNotFoundError:
                return False

    def list(self, uri: LakeUri) -> list[ObjectInfo]:
        with self._reached():
            tree = self._view(self._repository(uri.repository), uri.ref)
            found = sorted((path for path in tree if path.startswith(uri.folder)), key=str.encode)
            return [ObjectInfo(path, len(tree[path].data), _md5(tree[path].data)) for path in found]

    def delete(self, uri: LakeUri) -> None:
        self.delete_many(uri.repository, uri.ref, [uri.path])

    def delete_many(self, repository: str, branch: str, paths: Sequence[str]) -> None:
        with self._reached():
            if paths:
                self._writable(repository, branch).staged.update(dict.fromkeys(paths))

    def uncommitted(self, repository: str, branch: str, prefix: str = "", limit: int = 1000) -> tuple[str, ...]:
        with self._reached():
            repo = self._repository(repository)
            if branch not in repo.branches:
                raise LakeNotFoundError(f"listing changes on {branch}: there is no such branch")
            return tuple(path for path in self._changed(repo, branch) if path.startswith(prefix))[:limit]

    def changed_since(self, repository: str, parted: str, ref: str, prefix: str) -> bool:
        with self._reached():
            repo = self._repository(repository)
            left, right = self._resolve(repo, parted), self._resolve(repo, ref)
            base, theirs, ours = (repo.trees[one] for one in (self._base(repo, left, right), right, left))
            paths = (path for path in base.keys() | theirs.keys() if path.startswith(prefix))
            return any(theirs.get(path) not in (base.get(path), ours.get(path)) for path in paths)

    def last_write(self, repository: str, branch: str) -> int | None:
        with self._reached():
            changed = self.uncommitted(repository, branch)
            found = self._repository(repository).branches[branch]
            return max((found.written[path] for path in changed if found.staged.get(path)), default=None)

    def commit(self, repository: str, branch: str, message: str, metadata: Mapping[str, str]) -> str:
        with self._reached():
            repo = self._repository(repository)
            found = self._writable(repository, branch)
            if self._changed(repo, branch):
                tree = self._view(repo, branch)
                found.head = self._record(repo, message, metadata, (found.head,), tree)
            found.staged.clear()
            return found.head

    def merge(self, repository: str, source: str, destination: str, message: str, metadata: Mapping[str, str]) -> str:
        with self._reached():
            repo = self._repository(repository)
            head = self._resolve(repo, source)
            if destination not in repo.branches:
                raise LakeNotFoundError(f"merging into {destination}: there is no such branch")
            into = repo.branches[destination]
            if self._changed(repo, destination):
                raise LakeError(f"merging into {destination}: dirty branch")
            base = self._base(repo, head, into.head)
            if base == head:
                return into.head
            tree, conflicts = _merged(repo.trees[base], repo.trees[head], repo.trees[into.head])
            if conflicts:
                raise LakeConflictError(conflict_message(f"merging {source} into {destination}", conflicts), conflicts)
            into.head = self._record(repo, message, metadata, (into.head, head), tree)
            return into.head

    def tag(self, repository: str, name: str, ref: str) -> None:
        with self._reached():
            repo = self._repository(repository)
            commit = self._resolve(repo, ref)
            named = repo.tags.setdefault(name, commit)
            if named != commit:
                raise LakeConflictError(tag_message(repository, name, commit, named))

    def tags(self, repository: str) -> dict[str, str]:
        with self._reached():
            return dict(sorted(self._repository(repository).tags.items()))

    def commit_info(self, repository: str, ref: str) -> CommitInfo:
        with self._reached():
            repo = self._repository(repository)
            return repo.commits[self._resolve(repo, ref)]

    def changed(self, repository: str, base: str, ref: str) -> tuple[str, ...]:
        with self._reached():
            repo = self._repository(repository)
            head = self._resolve(repo, ref)
            before, after = repo.trees[self._base(repo, head, self._resolve(repo, base))], repo.trees[head]
            paths = (path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
            return tuple(sorted(paths, key=str.encode))

    def log(self, repository: str, ref: str, limit: int) -> tuple[CommitInfo, ...]:
        with self._reached():
            repo = self._repository(repository)
            reachable = self._ancestors(repo, self._resolve(repo, ref))
            newest = sorted(reachable, key=lambda commit: repo.order[commit], reverse=True)
            return tuple(repo.commits[commit] for commit in newest[:limit])

    @contextmanager
    def _reached(self) -> Iterator[None]:
        if not self.reachable:
            raise UnavailableError("the simulated lakeFS did not answer")
        with self._lock:
            yield

    def _repository(self, name: str) -> Repository:
        if name not in self._repositories:
            raise LakeNotFoundError(f"there is no repository {name}")
        return self._repositories[name]

    def _writable(self, repository: str, branch: str) -> Branch:
        repo = self._repository(repository)
        if branch not in repo.branches:
            raise LakeNotFoundError(f"writing to {branch}: there is no such branch of {repository}")
        if branch in repo.protected:
            raise LakeDeniedError(f"writing to {branch}: it is protected; write to a run branch")
        return repo.branches[branch]

    def _resolve(self, repo: Repository, expression: str) -> str:
        match = _ANCESTOR.fullmatch(expression)
        commit = self._named(repo, match["ref"]) if match else None
        if match is None or commit is None:
            raise LakeNotFoundError(f"resolving {expression}: there is no such reference")
        steps = 0 if match["steps"] is None else int(match["steps"] or 1)
        for _ in range(steps):
            if not repo.commits[commit].parents:
                raise LakeNotFoundError(f"resolving {expression}: the history is shorter")
            commit = repo.commits[commit].parents[0]
        return commit

    def _named(self, repo: Repository, ref: str) -> str | None:
        if ref in repo.commits:
            return ref
        if ref in repo.branches:
            return repo.branches[ref].head
        if ref in repo.tags:
            return repo.tags[ref]
        matches = [commit for commit in repo.commits if len(ref) >= 6 and commit.startswith(ref)]
        return matches[0] if len(matches) == 1 else None

    def _view(self, repo: Repository, ref: str) -> Tree:
        """The tree a reference shows: with what is uncommitted when it is a branch's plain name."""
        tree = dict(repo.trees[self._resolve(repo, ref)])
        for path, entry in (repo.branches[ref].staged if ref in repo.branches else {}).items():
            if entry is None:
                tree.pop(path, None)
            else:
                tree[path] = entry
        return tree

    def _changed(self, repo: Repository, branch: str) -> Sequence[str]:
        committed, now = repo.trees[repo.branches[branch].head], self._view(repo, branch)
        return sorted(path for path in committed.keys() | now.keys() if committed.get(path) != now.get(path))

    def _record(
        self, repo: Repository, message: str, metadata: Mapping[str, str], parents: tuple[str, ...], tree: Tree
    ) -> str:
        order = next(self._clock)
        commit = hashlib.sha256(repr((message, sorted(metadata.items()), parents, order)).encode()).hexdigest()
        repo.commits[commit] = CommitInfo(commit, message, dict(metadata), parents, order)
        repo.trees[commit], repo.order[commit] = tree, order
        return commit

    def _ancestors(self, repo: Repository, commit: str) -> set[str]:
        found, open_ = set(), [commit]
        while open_:
            current = open_.pop()
            if current not in found:
                found.add(current)
                open_ += repo.commits[current].parents
        return found

    def _base(self, repo: Repository, left: str, right: str) -> str:
        common = self._ancestors(repo, left) & self._ancestors(repo, right)
        return max(common, key=lambda commit: repo.order[commit])


def _merged(base: Tree, source: Tree, destination: Tree) -> tuple[Tree, tuple[str, ...]]:
    """The three-way merge by path, and the paths both sides changed differently."""
    tree, conflicts = dict(destination), []
    for path in sorted(base.keys() | source.keys(), key=str.encode):
        before, theirs, ours = base.get(path), source.get(path), destination.get(path)
        if theirs in (before, ours):
            continue
        if ours != before:
            conflicts.append(path)
        elif theirs is None:
            tree.pop(path)
        else:
            tree[path] = theirs
    return tree, tuple(conflicts)


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()

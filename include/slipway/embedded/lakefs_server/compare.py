"""Differences of two trees and the three-way merge; both skip subtrees that are equal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from slipway.embedded.lakefs_server.trees import Tree, TreeStore

Strategy = Literal["", "source-wins", "dest-wins"]


@dataclass(frozen=True)
class Difference:
    """A path whose entry ids differ; None is absence."""

    path: bytes
    left: bytes | None
    right: bytes | None

    @property
    def kind(self) -> str:
        """The protocol's word for what happened going from left to right."""
        if self.left is None:
            return "added"
        return "removed" if self.right is None else "changed"


@dataclass(frozen=True)
class Merged:
    """The merged tree and the paths both sides changed differently (in byte order)."""

    tree: bytes
    conflicts: tuple[bytes, ...]


def _differing(left: Tree, right: Tree) -> list[bytes]:
    return sorted({key for key, _ in left.children.items() ^ right.children.items()})


def differences(
    store: TreeStore,
    left: bytes | None,
    right: bytes | None,
    *,
    prefix: bytes = b"",
    after: bytes = b"",
    at: bytes = b"",
) -> Iterator[Difference]:
    """Yield what differs, in byte order, for paths > ``after`` that begin with ``prefix``."""
    if left == right:
        return
    one, other = store.tree(left), store.tree(right)
    for key in _differing(one, other):
        path = at + key
        ids = one.children.get(key), other.children.get(key)
        if key.endswith(b"/"):
            wanted = path.startswith(prefix) or prefix.startswith(path)
            if wanted and (path > after or after.startswith(path)):
                yield from differences(store, *ids, prefix=prefix, after=after, at=path)
        elif path.startswith(prefix) and path > after:
            yield Difference(path, *ids)


def merge(store: TreeStore, base: bytes, destination: bytes, source: bytes, strategy: Strategy = "") -> Merged:
    """Bring what ``source`` changed since ``base`` into ``destination``.

    A path is a conflict when both changed it to different entries, or one deleted what the other changed;
    ``strategy`` decides such paths, and then none is reported.
    """
    conflicts: list[bytes] = []
    tree = _merge(store, (base, destination, source), strategy, b"", conflicts)
    return Merged(tree or store.empty, tuple(conflicts))


def _merge(
    store: TreeStore,
    sides: tuple[bytes | None, bytes | None, bytes | None],
    strategy: Strategy,
    at: bytes,
    conflicts: list[bytes],
) -> bytes | None:
    base, destination, source = (store.tree(side) for side in sides)
    merged = dict(destination.children)
    for key in _differing(base, source):
        was, ours, theirs = (side.children.get(key) for side in (base, destination, source))
        result = theirs
        if ours not in (was, theirs):
            if key.endswith(b"/"):
                result = _merge(store, (was, ours, theirs), strategy, at + key, conflicts)
            elif strategy != "source-wins":
                result = ours
                if not strategy:
                    conflicts.append(at + key)
        if result is None:
            merged.pop(key, None)
        else:
            merged[key] = result
    if merged == destination.children:
        return sides[1]
    return store.write_tree(merged) if merged else None

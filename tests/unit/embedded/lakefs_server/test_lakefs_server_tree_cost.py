"""What a change costs in a tree whose nodes are as large as the server makes them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from slipway.embedded.lakefs_server import nodes
from slipway.embedded.lakefs_server.compare import differences, merge
from slipway.embedded.lakefs_server.nodes import Node
from slipway.embedded.lakefs_server.trees import Trees
from tests.unit.embedded.lakefs_server.test_lakefs_server_trees import changed, opened, tree_of

PATHS = [f"{folder:04}/{name:02}".encode() for folder in range(400) for name in range(50)]


@pytest.fixture(scope="module")
def large() -> tuple[Trees, bytes]:
    """20,000 paths in nodes of the size the server uses."""
    trees = opened()
    return trees, tree_of(trees, dict.fromkeys(PATHS, 1))


def test_removing_borders_and_bringing_them_back_is_no_change(large: tuple[Trees, bytes]) -> None:
    trees, tree = large
    borders = [path for path in PATHS if nodes.border(path)]
    assert len(borders) > 100 and any(nodes.border(path) > 1 for path in borders)
    without = changed(trees, tree, dict.fromkeys(borders))
    kept = dict.fromkeys((path for path in PATHS if not nodes.border(path)), 1)
    assert without == tree_of(trees, kept)
    assert changed(trees, without, dict.fromkeys(borders, 1)) == tree


def touched(trees: Trees, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes each node that is read or written from now on."""
    found: list[str] = []
    read, write = trees.nodes.read, trees.nodes.write
    monkeypatch.setattr(trees.nodes, "read", lambda identity: (found.append("read"), read(identity))[1])
    monkeypatch.setattr(trees.nodes, "write", lambda node: (found.append("write"), write(node))[1])
    return found


def test_a_change_touches_only_the_nodes_on_its_path(
    large: tuple[Trees, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    trees, base = large
    leaves = sum(1 for _ in _leaves(trees, base))
    seen = touched(trees, monkeypatch)
    ours = changed(trees, base, {b"0007/01": 2})
    theirs = changed(trees, base, {b"0300/new": 2})
    assert [one.path for one in differences(trees, base, ours)] == [b"0007/01"]
    assert not merge(trees, base, ours, theirs).conflicts
    assert leaves > 200 and len(seen) < 80


def _leaves(trees: Trees, identity: bytes) -> Iterator[Node]:
    node = trees.nodes.read(identity)
    if not node.height:
        yield node
    for below in node.values if node.height else ():
        yield from _leaves(trees, below)

"""Trees, differences, listing and merge agree with plain dictionaries of paths."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.embedded.lakefs_server import nodes
from slipway.embedded.lakefs_server.compare import Strategy, differences, merge
from slipway.embedded.lakefs_server.database import SCHEMA
from slipway.embedded.lakefs_server.nodes import EMPTY, NodeCache
from slipway.embedded.lakefs_server.trees import NO_ENTRIES, Entry, Trees
from tests.unit.embedded.lakefs_server.model import merged as merged_model

SEGMENT = st.sampled_from(["a", "b", "a-", "a0", "", "+a", "=a", ".git", "é"])
PATH = st.lists(SEGMENT, min_size=1, max_size=4).map("/".join).filter(bool).map(str.encode)
VERSION = st.integers(0, 2)
MODEL = st.dictionaries(PATH, VERSION, max_size=40)
Model = dict[bytes, int]


def opened() -> Trees:
    connection = sqlite3.connect(":memory:")
    connection.executescript(SCHEMA)
    trees = Trees(connection, NodeCache())
    trees.nodes.write(EMPTY)
    return trees


@pytest.fixture(scope="module")
def trees() -> Iterator[Trees]:
    """With nodes of two rows on average, so that a few paths make many levels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nodes, "_BITS", 1)
        yield opened()


def entry(version: int) -> Entry:
    return Entry(f"{version:064x}", f"{version:032x}", version, "text/plain")


def changed(trees: Trees, tree: bytes, change: dict[bytes, int | None]) -> bytes:
    rows = {path: None if version is None else (entry(version).encode(), 7) for path, version in change.items()}
    return trees.apply(tree, rows)


def tree_of(trees: Trees, model: Model) -> bytes:
    return changed(trees, NO_ENTRIES, {**model})


def model_of(trees: Trees, tree: bytes) -> Model:
    return {path: Entry.decode(data).size for path, data, _ in trees.walk(tree)}


@given(
    size=st.integers(0, 2**40),
    text=st.text(max_size=20),
    metadata=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
)
def test_an_entry_is_what_its_encoding_says(size: int, text: str, metadata: dict[str, str]) -> None:
    made = Entry("ab" * 32, "cd" * 16, size, text, metadata)
    assert Entry.decode(made.encode()) == made
    backwards = Entry("ab" * 32, "cd" * 16, size, text, dict(reversed(metadata.items())))
    assert backwards.encode() == made.encode()


@settings(max_examples=60, deadline=None)
@given(model=MODEL)
def test_a_tree_holds_what_was_put_in_and_lists_it_in_byte_order(trees: Trees, model: Model) -> None:
    tree = tree_of(trees, model)
    assert list(model_of(trees, tree).items()) == sorted(model.items())
    for path, version in model.items():
        assert trees.lookup(tree, path) == (entry(version).encode(), 7)
    assert trees.lookup(tree, b"nowhere") is None


@settings(max_examples=200, deadline=None)
@given(model=MODEL, change=st.dictionaries(PATH, VERSION | st.none(), max_size=20))
def test_equal_content_has_equal_trees_whatever_the_way_there(
    trees: Trees, model: Model, change: dict[bytes, int | None]
) -> None:
    wanted = {path: version for path, version in {**model, **change}.items() if version is not None}
    assert changed(trees, tree_of(trees, model), change) == tree_of(trees, wanted)


@settings(max_examples=60, deadline=None)
@given(model=MODEL, prefix=st.just(b"") | PATH, start=st.just(b"") | PATH)
def test_walking_a_range_is_filtering_the_whole(trees: Trees, model: Model, prefix: bytes, start: bytes) -> None:
    expected = sorted(path for path in model if path.startswith(prefix) and path >= start)
    assert [path for path, _, _ in trees.walk(tree_of(trees, model), prefix, start)] == expected


@settings(max_examples=100, deadline=None)
@given(left=MODEL, right=MODEL, prefix=st.just(b"") | PATH, after=st.just(b"") | PATH, shared=st.booleans())
def test_differences_are_those_of_the_dictionaries(
    trees: Trees, left: Model, right: Model, prefix: bytes, after: bytes, shared: bool
) -> None:
    if shared:
        right = {**left, **dict(list(right.items())[:2])}
    found = differences(trees, tree_of(trees, left), tree_of(trees, right), prefix=prefix, after=after)
    paths = sorted(path for path in left.keys() | right.keys() if left.get(path) != right.get(path))
    kinds = {path: "added" if path not in left else "changed" if path in right else "removed" for path in paths}
    expected = [(path, kinds[path]) for path in paths if path.startswith(prefix) and path > after]
    assert [(one.path, one.kind) for one in found] == expected


@settings(max_examples=150, deadline=None)
@given(base=MODEL, ours=MODEL, theirs=MODEL, strategy=st.sampled_from(["", "source-wins", "dest-wins"]), data=st.data())
def test_merge_does_what_a_dictionary_merge_does(
    trees: Trees, base: Model, ours: Model, theirs: Model, strategy: Strategy, data: st.DataObject
) -> None:
    if data.draw(st.booleans()):  # sides that share most of the base, as real ones do
        ours, theirs = {**base, **dict(list(ours.items())[:2])}, {**base, **dict(list(theirs.items())[:2])}
    sides = [tree_of(trees, side) for side in (base, ours, theirs)]
    merged = merge(trees, sides[0], sides[1], sides[2], strategy)
    expected, conflicts = merged_model(base, ours, theirs, strategy)
    assert list(merged.conflicts) == conflicts
    assert merged.tree == tree_of(trees, expected)


def test_a_node_that_was_rolled_back_is_written_again() -> None:
    trees = opened()
    connection = trees.nodes._connection
    connection.commit()
    tree = tree_of(trees, {b"a": 1})
    connection.rollback()
    assert tree_of(trees, {b"a": 1}) == tree
    connection.commit()
    assert model_of(Trees(connection, NodeCache()), tree) == {b"a": 1}


def test_random_edits_keep_the_one_shape(trees: Trees) -> None:
    chance = random.Random(7)
    model: Model = {}
    tree = NO_ENTRIES
    paths = [f"{number:03}".encode() for number in range(300)]
    for _ in range(60):
        change = {chance.choice(paths): chance.choice([None, 1, 2]) for _ in range(chance.randint(1, 12))}
        tree = changed(trees, tree, change)
        model = {path: version for path, version in {**model, **change}.items() if version is not None}
        assert tree == tree_of(trees, model)
